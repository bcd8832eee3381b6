"""The model on the device: is its light that of the CPU, and how many frames a second does it make."""

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.checks import Check
from export.parity.compare import view_checks, view_figures
from export.parity.rays import view_rays
from export.parity.tolerances import FP32
from export.renderer import Renderer, render_in_chunks
from neurocity.cameras import Camera, Rays
from neurocity.checkpoint import Checkpoint, load_checkpoint
from neurocity.contract import View
from neurocity.deviation import scene_diagonal
from neurocity.device import check_device
from neurocity.light import Light
from neurocity.rendering.cpu_kernels import without_kernels

REPEATS = 3
"""Frames that a figure is the median of, after one that does not count."""
SECONDS_A_FRAME = 10.0
"""A frame that takes longer is not repeated."""


def eager(values: dict[str, Any]) -> dict[str, Any]:
    """The model run by PyTorch, operator by operator, on the device; keeps the CPU's views for all others.

    On the CPU they are of the compiled kernels where the family has them, so that they are another
    computation even where the device is the CPU.
    """
    check_device(values["device"])
    checkpoint = trained(values)
    kept = _views_file(values)
    views = checkpoint.info.views[: values["views"]]
    lights = [render_in_chunks(_model(checkpoint, "cpu"), _rays(checkpoint, view), 65536) for view in views]
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez(kept, **{f"{name}{i}": part for i, light in enumerate(lights) for name, part in _named(light)})
    with without_kernels():
        return with_kernels(values)


def with_kernels(values: dict[str, Any]) -> dict[str, Any]:
    """The model run by PyTorch on the device, with the kernels that its family has there."""
    device = values["device"]
    check_device(device)
    model = load_checkpoint(checkpoint_file(values), device)
    torch.set_float32_matmul_precision("highest")
    return compared(_model(model, device), trained(values), values)


def compared(render: Renderer, checkpoint: Checkpoint, values: dict[str, Any]) -> dict[str, Any]:
    """Errors against the CPU's views, and frames per second at the sizes of `values`.

    Frames are from arrays of rays to arrays of light: copies to the GPU and back are in them.
    equal: whether errors are within what any artefact in float32 may have; `reason` says what is not.
    """
    views = checkpoint.info.views[: values["views"]]
    diagonal = scene_diagonal(checkpoint.info.bounds)
    calls, memory, stopped = _fastest(render, checkpoint, values)
    with np.load(_views_file(values)) as kept:
        expected = [Light(*(kept[f"{name}{i}"] for name in Light._fields)) for i in range(len(views))]
    found = [
        view_figures(view, render_in_chunks(render, _rays(checkpoint, view), calls), light, diagonal)
        for view, light in zip(views, expected, strict=True)
    ]
    failed = [check for check in view_checks(found, FP32) if not check.passed]
    return {
        "psnr_db": min(view["psnr_db"] for view in found),
        "rgb_error": max(view["rgb"] for view in found),
        "opacity_error": max(view["opacity"] for view in found),
        "equal": not failed,
        **_unequal(failed),
        "frames_per_second": {
            size: 1.0 / _seconds(render, first_frame(checkpoint, size), calls) for size in values["sizes"]
        },
        "rays_per_call": calls,
        "memory_mib": memory,
        "larger_calls": stopped,
    }


def trained(values: dict[str, Any]) -> Checkpoint:
    """The family's checkpoint, on the CPU."""
    return load_checkpoint(checkpoint_file(values))


def checkpoint_file(values: dict[str, Any]) -> Path:
    """Where the training stage leaves it."""
    return Path(values["out"]) / "runs" / values["family"] / "checkpoints" / "last.ckpt"


def _unequal(failed: Sequence[Check]) -> dict[str, str]:
    return {"reason": "; ".join(map(str, failed))} if failed else {}


def _views_file(values: dict[str, Any]) -> Path:
    return Path(values["out"]) / "views" / f"{values['family']}.npz"


def _named(light: Light) -> Iterator[tuple[str, np.ndarray]]:
    return zip(Light._fields, light, strict=True)


def _model(checkpoint: Checkpoint, device: str) -> Renderer:
    def render(rays: Rays) -> Light:
        with torch.inference_mode():
            outputs = checkpoint.model(*(torch.from_numpy(part).to(device) for part in rays.arrays()))
            return Light(*(output.cpu().numpy() for output in outputs))

    return render


def _rays(checkpoint: Checkpoint, view: View) -> Rays:
    return view_rays(view, radii=bool(checkpoint.model.needs_ray_radii))


def first_frame(checkpoint: Checkpoint, size: str) -> Rays:
    """The first held-out view at another size, such as 1920x1080."""
    width, height = map(int, size.split("x"))
    camera = Camera.from_view(checkpoint.info.views[0]).resized(width, height)
    return camera.rays(radii=bool(checkpoint.model.needs_ray_radii))


def _fastest(render: Renderer, checkpoint: Checkpoint, values: dict[str, Any]) -> tuple[int, float, str]:
    """The number of rays in a call that is fastest for the first size, the device's peak MiB with it, and why
    no larger one was taken.

    Larger calls are tried until one is slower, or fails as memory does not hold it: runtimes have no common
    error for that.
    """
    rays = first_frame(checkpoint, values["sizes"][0])
    best: tuple[float, int, float] | None = None
    stopped = "none was tried"
    for calls in values["calls"]:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        try:
            render(rays[:calls])  # a runtime plans its first call
            began = time.perf_counter()
            render_in_chunks(render, rays, calls)
        except Exception as error:
            if best is None:
                raise
            stopped = f"{calls} failed: {type(error).__name__}: {error}"
            print(stopped, flush=True)
            break
        seconds = time.perf_counter() - began
        if best is not None and seconds >= best[0]:
            stopped = f"{calls} took {seconds / best[0]:.2f} times as long"
            break
        memory = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
        best = seconds, calls, memory
    assert best is not None, "there are sizes to try"
    return best[1], best[2], stopped


def _seconds(render: Renderer, frame: Rays, calls: int) -> float:
    """The median of frames, after one that does not count."""
    times: list[float] = []
    while len(times) <= REPEATS and not (times and times[-1] > SECONDS_A_FRAME):
        began = time.perf_counter()
        render_in_chunks(render, frame, calls)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:] or times)
