"""Triton backend `onnxruntime`, python-based: runs `model.onnx` with ONNX Runtime.

It takes the `config.pbtxt` of NVIDIA's C++ backend of that name: inputs and outputs by their names in the
graph, instances on CPU or GPU, and the parameter `intra_op_thread_count`. Unlike the C++ backend it stops a
run whose request was cancelled.
"""

from typing import Any

import onnxruntime
from neurocity_backend import Arrays, Instance, answer, check_names, when_cancelled

from neurocity.onnx_session import open_session


class TritonPythonModel:
    """One instance of a model. Triton makes `instance_group.count` of them, each in a process of its own."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Open the session; raises what Triton reports when file, configuration and machine do not fit."""
        instance = Instance.from_arguments(arguments, default_file="model.onnx")
        threads = instance.integer_parameter("intra_op_thread_count", 0)
        self._session = open_session(instance.artefact, instance.device, threads=threads)
        check_names("inputs", instance.inputs, [item.name for item in self._session.get_inputs()])
        check_names("outputs", instance.outputs, [item.name for item in self._session.get_outputs()])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        options = onnxruntime.RunOptions()

        def run(inputs: Arrays, names: list[str]) -> Arrays:
            return dict(zip(names, self._session.run(names, inputs, options), strict=True))

        def stop() -> None:
            options.terminate = True

        with when_cancelled(request, stop):
            return answer(request, run)
