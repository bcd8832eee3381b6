"""An ONNX artefact on disk: opened by ONNX Runtime, its signature and manifest read, its file checked.

Nothing here needs torch, which is imported where an artefact is written.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from export.checks import Check, equal
from export.formats.base import Signature
from export.renderer import Renderer
from neurocity.cameras import Rays
from neurocity.contract import MANIFEST_KEY, RAY_DIRECTIONS, RAY_ORIGINS, RENDER_OUTPUTS, TensorSpec
from neurocity.errors import ManifestError, MissingDependencyError
from neurocity.light import Light

OPSET = 20
IR_VERSION = 10
"""The newest that ONNX Runtime 1.20, and with it every Triton release since 24.12, opens."""

_RANDOM_OPS = ("Random", "Bernoulli", "Multinomial")
_PROVIDERS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "cpu": [("CPUExecutionProvider", {})],
    # TensorFloat-32 keeps 10 bits of a product; the artefact is verified, and served, in float32.
    "cuda": [("CUDAExecutionProvider", {"use_tf32": "0"}), ("CPUExecutionProvider", {})],
}


class OnnxFile:
    """The reading half of a format whose artefact is one self-contained ONNX file."""

    file_name = "model.onnx"
    packages: tuple[str, ...] = ("torch", "onnx", "onnxscript", "onnxruntime")

    def open(self, path: Path, device: str) -> Renderer:
        """The artefact in ONNX Runtime on `device` and nowhere else."""
        providers = _PROVIDERS[device]
        wanted = providers[0][0]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if wanted not in onnxruntime.get_available_providers():
            raise MissingDependencyError(
                f"ONNX Runtime has no {wanted} here; pip install 'neurocity[gpu]' brings one with CUDA"
            )
        session = onnxruntime.InferenceSession(path, options, providers=providers)
        if session.get_providers()[0] != wanted:
            raise MissingDependencyError(
                f"ONNX Runtime could not start {wanted} and would run on {session.get_providers()[0]}; "
                "its CUDA libraries are missing or too old"
            )

        def render(rays: Rays) -> Light:
            inputs = dict(zip((RAY_ORIGINS, RAY_DIRECTIONS), rays.arrays(), strict=True))
            return Light(*session.run([spec.name for spec in RENDER_OUTPUTS], inputs))

        return render

    def signature(self, path: Path) -> Signature:
        """Inputs and outputs of the graph."""
        graph = onnx.load(path).graph
        return Signature(tuple(map(_spec, graph.input)), tuple(map(_spec, graph.output)))

    def read_manifest(self, path: Path) -> str:
        """The manifest in the metadata. Raises ManifestError when there is none."""
        for entry in onnx.load(path).metadata_props:
            if entry.key == MANIFEST_KEY:
                return str(entry.value)
        raise ManifestError(f"{path}: no {MANIFEST_KEY!r} in the ONNX metadata")

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        """Sizes of the weights by name."""
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
