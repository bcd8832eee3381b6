"""ONNX's reference evaluator: every node in numpy."""

from onnx.reference import ReferenceEvaluator

from serving.engines.in_process import InProcessEngine


class ToyEngine(InProcessEngine):
    name = "toy"
    formats = ("onnx",)
    library = "ONNX's reference"

    def load(self, version, _options):
        return ReferenceEvaluator(str(version.artefact))

    def prepare(self, program, inputs, _width):
        return lambda: program.run(["rgb", "depth", "opacity"], inputs), None
