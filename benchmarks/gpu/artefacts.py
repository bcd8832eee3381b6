"""Artefacts of the check: written on this machine for its device, opened again, compared and timed."""

import copy
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.frames import compared, trained
from export.format import Format
from export.formats.registry import get_format
from export.job.sample_budget import choose_budget
from export.job.source import render_graph
from export.parity.reference import Reference
from export.renderer import DEFAULT_RAYS_PER_CALL, RayProfile, Renderer
from export.tensorrt.engine import ENGINE_FILE, build
from export.tensorrt.execution import open_engine
from export.tensorrt.library import EngineLibrary, load_library
from neurocity.checkpoint import Checkpoint
from neurocity.contract import ray_inputs
from neurocity.device import check_device
from neurocity.errors import MissingDependencyError


def write(values: dict[str, Any]) -> dict[str, Any]:
    """Seconds and MiB of the artefact, and of a TensorRT engine instead of its ONNX model.

    Raises MissingDependencyError where the machine lacks what writes or runs it, and UnsupportedError.
    """
    device = values["device"]
    check_device(device)
    checkpoint = trained(values)
    target = get_format(values["format"])
    target.check_machine()
    if values["format"] == "onnx":
        from neurocity.onnx_session import require_device  # noqa: PLC0415, where ONNX Runtime is

        require_device(device)  # nothing else would run it here
    library = _library() if values["format"] == "tensorrt" else None
    path = _file(values, target)
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    samples = _samples(checkpoint, device) if target.fixed_budget else None
    graph = render_graph(checkpoint.model, "fp32", samples)
    if target.triton.device_bound and device != "cpu":
        graph = copy.deepcopy(graph).to(device)
    content = target.encode(graph, "{}", ray_inputs(bool(checkpoint.model.needs_ray_radii)))
    path.write_bytes(content)
    if library is not None:
        content = build(content, library, RayProfile.for_calls(DEFAULT_RAYS_PER_CALL))
        path.with_name(ENGINE_FILE).write_bytes(content)
    seconds = time.perf_counter() - began
    return {"written_in": seconds, "mib": len(content) / 2**20, "by": library.name if library else "torch"}


def run(values: dict[str, Any]) -> dict[str, Any]:
    """What `frames.compared` says of the artefact. Raises MissingDependencyError where it cannot run here."""
    check_device(values["device"])
    checkpoint = trained(values)
    target = get_format(values["format"])
    if values["format"] != "tensorrt":
        return compared(target.open(_file(values, target), values["device"]), checkpoint, values)
    profile = RayProfile.for_calls(DEFAULT_RAYS_PER_CALL)
    calls = [calls for calls in values["calls"] if calls <= profile.most]
    return compared(_engine(values, target), checkpoint, {**values, "calls": calls})


def _engine(values: dict[str, Any], target: Format) -> Renderer:
    if values["device"] != "cuda":
        raise MissingDependencyError("an engine runs on GPUs only; it was built and not run")
    return open_engine(_file(values, target).with_name(ENGINE_FILE).read_bytes(), _library())


def _library() -> EngineLibrary:
    """TensorRT for RTX, or else TensorRT itself: whichever is there."""
    try:
        return load_library("tensorrt-rtx")
    except MissingDependencyError as missing:
        try:
            return load_library("tensorrt")
        except MissingDependencyError:
            raise missing from None


def _file(values: dict[str, Any], target: Format) -> Path:
    folder = Path(values["out"]) / "artefacts" / f"{values['family']}-{values['format']}"
    return folder / target.file_name


def _samples(checkpoint: Checkpoint, device: str) -> int:
    """As many samples of a ray as the held-out views need."""
    with tempfile.TemporaryDirectory() as kept:
        reference = Reference(checkpoint.model, device=device, rays_per_call=4096, kept=Path(kept))
        return choose_budget(reference, checkpoint.info, None).samples
