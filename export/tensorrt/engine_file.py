"""The engine file beside an ONNX model, and what the manifest says of it."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.formats.base import TritonTarget
from export.repository.publish import write_synced
from export.tensorrt.library import EngineLibrary, has_cuda_device
from export.tensorrt.network import build, message_log
from export.tensorrt.rays import RayProfile
from neurocity.contract import SceneManifest
from neurocity.errors import ExportError

ENGINE_FILE = "model.plan"
ENGINE_TARGET = TritonTarget(backend="tensorrt", platform="tensorrt_plan", file_name=ENGINE_FILE)
PORTABLE_TARGETS = "CUDA compute capabilities 8.0, 8.6, 8.9 and 12.0"
"""What TensorRT for RTX builds for by default; see its documentation of CPU-only engines."""


def with_engine(manifest: SceneManifest, engine: dict[str, Any]) -> SceneManifest:
    """The manifest with the record of another engine, whose library is among the tools."""
    others = {name: tool for name, tool in manifest.tools.items() if name != manifest.engine.get("library")}
    tools = {**others, engine["library"]: engine["library_version"]}
    return replace(manifest, engine=engine, tools=tools)


def write_engine(model: Path, library: EngineLibrary, profile: RayProfile) -> dict[str, Any]:
    """Builds the engine of the ONNX file `model` into its folder, and returns its record.

    An engine that is there already is replaced in one step. Raises what `network.build` raises, and
    ExportError when there is a device and the engine does not open on it.
    """
    plan = build(model.read_bytes(), library, profile)
    opened = opens_here(plan, library)
    target = model.with_name(ENGINE_FILE)
    fresh = target.with_name(f".{ENGINE_FILE}.{os.getpid()}")
    try:
        write_synced(fresh, plan)
        fresh.rename(target)
    finally:
        fresh.unlink(missing_ok=True)
    return {
        "file": ENGINE_FILE,
        "sha256": hashlib.sha256(plan).hexdigest(),
        "bytes": len(plan),
        "built_from_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "library": library.name,
        "library_version": library.version,
        "rays": {"min": profile.least, "opt": profile.usual, "max": profile.most},
        "runs_on": PORTABLE_TARGETS if library.name == "tensorrt-rtx" else "the GPU model it was built on",
        "triton": library.name == "tensorrt",
        "opened": opened,
        "executed": False,
    }


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
