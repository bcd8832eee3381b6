"""TensorRT: an engine, and beside it the ONNX model that it was built from and can be built from again.

The artefact is the ONNX model: it is what ONNX Runtime proves equal to the model on any machine, and what
outlives the library version and the graphics card that an engine is bound to. Triton serves the engine.
"""

from pathlib import Path
from typing import Any

from export.job.config import DEFAULT_RAYS_PER_CALL, ExportConfig
from export.tensorrt.engine_file import ENGINE_TARGET, write_engine
from export.tensorrt.graph_file import FixedBudgetFile
from export.tensorrt.library import load_library
from export.tensorrt.rays import RayProfile


class TensorRTFormat(FixedBudgetFile):
    """`model.onnx` and the engine `model.plan` that TensorRT or TensorRT for RTX builds from it."""

    name = "tensorrt"
    triton = ENGINE_TARGET

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
