"""How fast an artefact is, what it takes, and how many rays a call should have: measured, not guessed.

The record (plain JSON, `profile` in the manifest)
    rays_per_call        rays in one call; the other figures are of calls of this size
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
import pickle
import platform
import site
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from export.renderer import Painter, Renderer
from neurocity.cameras import Camera, Rays
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


class Measured(Protocol):
    """What opens artefacts and knows their tensors: a format. It is pickled for the process that measures."""

    def open(self, path: Path, device: str) -> Renderer | Painter:
        """The artefact at `path`, ready to render on `device`."""

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        """Bytes of each stored tensor by its name; empty when the format keeps that to itself."""


def profile_artefact(
    target: Measured,
    path: Path,
    views: tuple[View, ...],
    *,
    radii: bool = False,
    device: str,
    rays_per_call: int | None,
    seconds: float,
) -> dict[str, Any]:
    """The record of the artefact at `path`, measured in a process of its own.

    radii: whether the artefact takes those of the views' cones. rays_per_call: the size to measure; without
    it, the best of a few. seconds: about how long to measure.
    Raises ExportError when the artefact cannot be opened or fails.
    """
    with tempfile.TemporaryDirectory(prefix="neurocity-profile-") as folder:
        task = Path(folder) / "task.pickle"
        options = {"rays": pool(views, radii=radii), "rays_per_call": rays_per_call, "seconds": seconds}
        task.write_bytes(pickle.dumps((target.open, path, device, options)))
        figures = _run([sys.executable, "-m", "export.speed.measure", str(task)], seconds + _PATIENCE_SECONDS)
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


def pool(views: tuple[View, ...], *, radii: bool = False) -> Rays:
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
            parts.append(Camera.from_view(view).rays(radii=radii)[of_view - (end - view.width * view.height)])
    return Rays.joined(parts)


def _run(command: list[str], patience: float) -> dict[str, Any]:
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=patience, env=own_code(), check=False
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"the artefact was not measured within {patience:g} s; is it stuck?") from None
    if run.returncode != 0:
        reason = run.stderr.strip().splitlines() or [f"it ended with code {run.returncode}"]
        raise ExportError(f"the artefact could not be measured in a process of its own: {reason[-1]}")
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures


def own_code() -> dict[str, str]:
    """An environment in which Python imports the very code that runs here, wherever it was started."""
    own = str(Path(__file__).parents[2])
    paths = [os.environ.get("PYTHONPATH", "")]
    if own not in site.getsitepackages():  # where it is found anyhow, behind the standard library
        paths.insert(0, own)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def processor() -> str:
    """The processor's name, as Linux or else Python has it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
