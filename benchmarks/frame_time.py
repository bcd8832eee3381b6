"""Frame time of one checkpoint, side by side: naive reference, eager, TorchScript, ONNX Runtime.

python -m benchmarks.frame_time CHECKPOINT
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import tyro

from benchmarks.bounds import print_bounds
from benchmarks.machine import facts
from export.config import ExportConfig
from export.pipeline import export_checkpoint
from export.registry import get_format
from neurocity.cameras import Camera
from neurocity.checkpoint import load_checkpoint

# The oracle lives with the tests.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from reference import naive

Floats = npt.NDArray[np.float32]
RAYS_PER_CALL = 4096
NAIVE_RAYS_PER_CALL = 256


@dataclass(frozen=True)
class Arguments:
    """Measure the frame time of a bounded Instant-NGP checkpoint."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint (.ckpt) of `neurocity train`."""
    sizes: tuple[int, ...] = (200, 800)
    """Widths and heights of the square frames, in pixels."""
    repeats: int = 5
    """Frames a figure is the median of (the naive reference renders one)."""
    naive_rays: int = 4096
    """Most rays, drawn at random from the frame, that the naive reference renders; its time is scaled up."""


def main() -> None:
    """Print the table and what bounds ONNX Runtime."""
    arguments = tyro.cli(Arguments, description=__doc__)
    checkpoint = load_checkpoint(arguments.checkpoint)
    model = checkpoint.model
    with tempfile.TemporaryDirectory() as folder:
        config = ExportConfig(
            name="benchmark", out=Path(folder), rays_per_call=RAYS_PER_CALL, profile_seconds=0
        )
        exported = export_checkpoint(arguments.checkpoint, config)
        if exported.errors:
            raise SystemExit(str(exported.errors[0]))
        paths = {outcome.format: outcome.folder for outcome in exported.outcomes if outcome.folder}
        onnx_path = paths["onnx"] / get_format("onnx").file_name
        renderers: dict[str, Callable[[Floats, Floats], object]] = {
            "eager, compiled kernels": lambda origins, directions: model(
                torch.from_numpy(origins), torch.from_numpy(directions)
            ),
            "TorchScript": get_format("torchscript").open(
                paths["torchscript"] / get_format("torchscript").file_name, "cpu"
            ),
            "ONNX Runtime": get_format("onnx").open(onnx_path, "cpu"),
        }
        print(f"{facts()}; {RAYS_PER_CALL} rays a call; medians of {arguments.repeats} frames\n")
        print("| frame | renderer | seconds | times the naive reference's speed |\n|---|---|---|---|")
        for size in arguments.sizes:
            camera = Camera.from_view(checkpoint.info.views[0]).resized(size, size)
            origins, directions = camera.rays()
            slow = _naive_seconds(model, origins, directions, arguments.naive_rays)
            scaled = "" if size**2 <= arguments.naive_rays else f" ({arguments.naive_rays} rays, scaled)"
            print(f"| {size}x{size} | naive{scaled} | {slow:.1f} | 1 |", flush=True)
            for name, render in renderers.items():
                seconds = _frame_seconds(render, origins, directions, arguments.repeats)
                print(f"| {size}x{size} | {name} | {seconds:.3f} | {slow / seconds:.0f} |", flush=True)
        camera = Camera.from_view(checkpoint.info.views[0]).resized(arguments.sizes[0], arguments.sizes[0])
        print_bounds(onnx_path, model, camera.rays(), RAYS_PER_CALL)


@torch.no_grad()
def _naive_seconds(model: torch.nn.Module, origins: Floats, directions: Floats, most: int) -> float:
    chosen = np.random.default_rng(0).permutation(len(origins))[:most]
    parts = np.array_split(chosen, max(1, len(chosen) // NAIVE_RAYS_PER_CALL))
    began = time.perf_counter()
    for part in parts:
        naive.render(model, torch.from_numpy(origins[part]), torch.from_numpy(directions[part]))
    return (time.perf_counter() - began) * len(origins) / len(chosen)


@torch.no_grad()
def _frame_seconds(
    render: Callable[[Floats, Floats], object], origins: Floats, directions: Floats, repeats: int
) -> float:
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        for first in range(0, len(origins), RAYS_PER_CALL):
            part = slice(first, first + RAYS_PER_CALL)
            render(origins[part], directions[part])
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
