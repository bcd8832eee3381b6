"""TensorRT: an engine, and beside it the ONNX model that it was built from and can be built from again.

The artefact is the ONNX model: it is what ONNX Runtime proves equal to the model on any machine, and what
outlives the library version and the graphics card that an engine is bound to. Triton serves the engine.
"""

from pathlib import Path

from export.format import Engine, EngineName
from export.renderer import RayProfile
from export.tensorrt.engine import ENGINE_TARGET, build_engine
from export.tensorrt.graph_file import FixedBudgetFile
from export.tensorrt.library import load_library


class TensorRTFormat(FixedBudgetFile):
    """`model.onnx` and the engine `model.plan` that TensorRT or TensorRT for RTX builds from it."""

    name = "tensorrt"
    triton = ENGINE_TARGET

    def check_engine(self, library: EngineName) -> None:
        load_library(library)

    def build_engine(self, artefact: Path, library: EngineName, rays: RayProfile) -> Engine:
        return build_engine(artefact.read_bytes(), load_library(library), rays)


FORMAT = TensorRTFormat()
