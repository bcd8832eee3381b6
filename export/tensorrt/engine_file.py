"""The engine of an ONNX model, and what the manifest says of it."""

import hashlib

from export.format import Engine, TritonTarget
from export.ray_profile import RayProfile
from export.tensorrt.library import EngineLibrary, has_cuda_device
from export.tensorrt.network import build, message_log
from neurocity.errors import ExportError

ENGINE_FILE = "model.plan"
ENGINE_TARGET = TritonTarget(backend="tensorrt", platform="tensorrt_plan", file_name=ENGINE_FILE)
PORTABLE_TARGETS = "CUDA compute capabilities 8.0, 8.6, 8.9 and 12.0"
"""What TensorRT for RTX builds for by default; see its documentation of CPU-only engines."""


def build_engine(model: bytes, library: EngineLibrary, profile: RayProfile) -> Engine:
    """The engine of the ONNX file `model`, and its record.

    Raises what `network.build` raises, and ExportError when there is a device and the engine does not open
    on it.
    """
    plan = build(model, library, profile)
    record = {
        "file": ENGINE_FILE,
        "sha256": hashlib.sha256(plan).hexdigest(),
        "bytes": len(plan),
        "built_from_sha256": hashlib.sha256(model).hexdigest(),
        "library": library.name,
        "library_version": library.version,
        "rays": {"min": profile.least, "opt": profile.usual, "max": profile.most},
        "runs_on": PORTABLE_TARGETS if library.name == "tensorrt-rtx" else "the GPU model it was built on",
        "triton": library.name == "tensorrt",
        "opened": opens_here(plan, library),
        "executed": False,
    }
    return Engine(plan, record)


def opens_here(plan: bytes, library: EngineLibrary) -> bool:
    """Whether the engine was deserialised; False where no CUDA device is, which even that needs.

    Raises ExportError when there is a device and the engine does not open.
    """
    if not has_cuda_device():
        return False
    log = message_log(library.module)
    if library.module.Runtime(log).deserialize_cuda_engine(plan) is None:
        raise ExportError(f"{library.name} {library.version} cannot open its own engine: {log.report()}")
    return True
