"""An ONNX artefact on disk: opened by ONNX Runtime, its signature and manifest read, its file checked.

Nothing here needs torch, which is imported where an artefact is written. Without NeuroCity, `inputs` being
the rays by name:

    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, inputs)
"""

from pathlib import Path

import numpy as np
import onnx

from export.checks import Check, equal
from export.format import Format, Signature
from export.renderer import Renderer
from neurocity.cameras import Rays
from neurocity.contract import MANIFEST_KEY, RENDER_OUTPUTS, TensorSpec
from neurocity.errors import ManifestError
from neurocity.light import Light
from neurocity.onnx_session import open_session

OPSET = 20
IR_VERSION = 10
"""The newest that ONNX Runtime 1.20, and with it every Triton release since 24.12, opens."""

_RANDOM_OPS = ("Random", "Bernoulli", "Multinomial")


class OnnxFile(Format):
    """The reading half of a format whose artefact is one self-contained ONNX file."""

    file_name = "model.onnx"
    packages = ("torch", "onnx", "onnxscript", "onnxruntime")

    def open(self, path: Path, device: str) -> Renderer:
        session = open_session(path, device)
        outputs = [spec.name for spec in RENDER_OUTPUTS]
        inputs = [spec.name for spec in session.get_inputs()]

        def render(rays: Rays) -> Light:
            return Light(*session.run(outputs, dict(zip(inputs, rays.arrays(), strict=True))))

        return render

    def signature(self, path: Path) -> Signature:
        graph = onnx.load(path).graph
        return Signature(tuple(map(_spec, graph.input)), tuple(map(_spec, graph.output)))

    def read_manifest(self, path: Path) -> str:
        for entry in onnx.load(path).metadata_props:
            if entry.key == MANIFEST_KEY:
                return str(entry.value)
        raise ManifestError(f"{path}: no {MANIFEST_KEY!r} in the ONNX metadata")

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        tensors = onnx.load(path).graph.initializer
        return {tensor.name: onnx.numpy_helper.to_array(tensor).nbytes for tensor in tensors}

    def inspect(self, path: Path) -> tuple[Check, ...]:
        """Versions that runtimes read, no random operators, and nothing in other files."""
        proto = onnx.load(path, load_external_data=False)
        opset = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import}
        nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
        random = sorted({node.op_type for node in nodes if node.op_type.startswith(_RANDOM_OPS)})
        external = sum(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer)
        return (
            equal("opset", self.file_name, opset.get("ai.onnx", 0), OPSET),
            equal("IR version", self.file_name, proto.ir_version, IR_VERSION),
            equal("random operators", self.file_name, " ".join(random) or "none", "none"),
            equal("tensors in other files", self.file_name, external, 0),
        )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    shape = tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)
