"""TensorRT: an engine, and beside it the ONNX model that it was built from and can be built from again.

The artefact is the ONNX model: it is what ONNX Runtime proves equal to the model on any machine, and what
outlives the library version and the graphics card that an engine is bound to. Triton serves the engine.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.config import DEFAULT_RAYS_PER_CALL, ExportConfig
from export.onnx_file import OnnxFile
from export.tensorrt.engine_file import ENGINE_TARGET, write_engine
from export.tensorrt.library import load_library
from export.tensorrt.preflight import refuse_unsupported
from export.tensorrt.rays import RayProfile

if TYPE_CHECKING:
    from torch import nn


class TensorRTFormat(OnnxFile):
    """`model.onnx` and the engine `model.plan` that TensorRT or TensorRT for RTX builds from it."""

    name = "tensorrt"
    triton = ENGINE_TARGET
    fixed_budget = True

    def encode(self, model: "nn.Module", manifest_json: str) -> bytes:
        """The ONNX model that an engine can be built from; see `Format.encode`.

        Raises UnsupportedError that names each node which TensorRT does not take.
        """
        from export.onnx_graph import finish, trace  # noqa: PLC0415, torch only when it is needed

        proto = trace(model)
        refuse_unsupported(proto)
        return finish(proto, manifest_json)

    def check_engine(self, config: ExportConfig) -> None:
        """See `BuildsEngine`."""
        load_library(config.engine)

    def build_engine(self, artefact: Path, config: ExportConfig) -> dict[str, Any]:
        """Builds the engine beside the artefact; see `BuildsEngine`."""
        library = load_library(config.engine)
        return write_engine(
            artefact, library, RayProfile.for_calls(config.rays_per_call or DEFAULT_RAYS_PER_CALL)
        )


FORMAT = TensorRTFormat()
