"""How fast an artefact is, what it takes, and how many rays a call should have: measured, not guessed.

The record (plain JSON, `profile` in the manifest)
    rays_per_call        the size that the other figures are of
    rays_per_second      of the median pass over `rays` rays of the held-out views
    frame_ms             milliseconds of 800 x 800 rays at that speed: extrapolated, not rendered
    call_p50_ms, _p99_ms of `calls` calls
    settled              whether the median no longer moved when the time was over
    peak_memory_bytes    the most that a process with this artefact and its runtime alone had, and
    opened_memory_bytes  what it had before the first call; null where the system does not tell
    sizes                the sizes that were tried, with their speed and peak
    artefact_bytes, tensors  where the bytes go: the largest tensors by name, and how many others there are
    device, processor, processors  on what
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import export
from export.formats.base import Format
from export.parity.rays import view_rays
from neurocity.cameras import Rays
from neurocity.contract import View
from neurocity.errors import ExportError

FRAME_RAYS = 800 * 800
_POOL_RAYS = 1 << 16
_BLOCK = 4096
"""Rays of neighbouring pixels that stay together in the pool, as they do in a frame."""
_LARGEST = 8
"""Tensors that are named."""
_PATIENCE_SECONDS = 300.0
"""For starting a process and opening the artefact, beside the time that was given for measuring."""


def profile_artefact(
    target: Format,
    path: Path,
    views: tuple[View, ...],
    *,
    device: str,
    rays_per_call: int | None,
    seconds: float,
) -> dict[str, Any]:
    """The record of the artefact at `path`, measured in a process of its own.

    rays_per_call: the size to measure; without it, the best of a few. seconds: about how long to measure.
    Raises ExportError when the artefact cannot be opened or fails.
    """
    with tempfile.TemporaryDirectory(prefix="neurocity-profile-") as folder:
        rays = Path(folder) / "rays.npz"
        np.savez(rays, **dict(zip(("origins", "directions", "radii"), pool(views).arrays(), strict=False)))
        command = [sys.executable, "-m", "export.speed.measure", target.name, str(path), str(rays)]
        command += ["--device", device, "--seconds", str(seconds)]
        if rays_per_call is not None:
            command += ["--rays-per-call", str(rays_per_call)]
        figures = _run(command, seconds + _PATIENCE_SECONDS)
    tensors = sorted(target.tensor_bytes(path).items(), key=lambda item: (-item[1], item[0]))
    return {
        **figures,
        "frame_ms": 1e3 * FRAME_RAYS / figures["rays_per_second"],
        "artefact_bytes": path.stat().st_size,
        "tensors": [{"name": name, "bytes": size} for name, size in tensors[:_LARGEST]],
        "other_tensors": {"count": len(tensors[_LARGEST:]), "bytes": sum(n for _, n in tensors[_LARGEST:])},
        "device": device,
        "processor": processor(),
        "processors": os.cpu_count(),
    }


def pool(views: tuple[View, ...]) -> Rays:
    """At most `_POOL_RAYS` rays of the views: blocks of neighbouring pixels, evenly from all of them."""
    counts = np.array([view.width * view.height for view in views])
    total = int(counts.sum())
    if total <= _POOL_RAYS:
        chosen = np.arange(total)
    else:
        starts = np.linspace(0, total - _BLOCK, _POOL_RAYS // _BLOCK).astype(np.int64)
        chosen = (starts[:, None] + np.arange(_BLOCK)).reshape(-1)
    parts = []
    for view, end in zip(views, counts.cumsum(), strict=True):
        of_view = chosen[(chosen >= end - view.width * view.height) & (chosen < end)]
        if len(of_view):
            parts.append(view_rays(view)[of_view - (end - view.width * view.height)])
    return Rays.joined(parts)


def _run(command: list[str], patience: float) -> dict[str, Any]:
    root = str(Path(export.__path__[0]).parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=patience, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"the artefact was not measured within {patience:g} s; is it stuck?") from None
    if run.returncode != 0:
        reason = run.stderr.strip().splitlines() or [f"it ended with code {run.returncode}"]
        raise ExportError(f"the artefact could not be measured in a process of its own: {reason[-1]}")
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures


def processor() -> str:
    """The processor's name, as Linux or else Python has it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
