"""Frame times of checkpoints on the CPU: the model itself, its graph run by PyTorch, and its artefacts.

python -m benchmarks.frame_time CHECKPOINT...
"""

import gc
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from benchmarks.machine import facts
from export.format import Precision
from export.formats.registry import get_format
from export.job.source import render_graph
from export.parity.metrics import psnr_db
from export.renderer import Renderer as Render
from export.renderer import render_in_chunks
from neurocity.cameras import Camera, Rays
from neurocity.checkpoint import Checkpoint, load_checkpoint
from neurocity.contract import ray_inputs
from neurocity.light import Light
from neurocity.rendering.cpu_kernels import without_kernels

KERNELS, GRAPH = "eager, compiled kernels", "eager graph, PyTorch"


@dataclass(frozen=True)
class Arguments:
    """Measure the frame times of checkpoints of any family."""

    checkpoints: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Checkpoints (.ckpt) of `neurocity train`."""
    sizes: tuple[int, ...] = (200, 800)
    """Widths and heights of the square frames, in pixels."""
    formats: tuple[str, ...] = ("torchscript", "onnx", "aotinductor")
    """Artefacts to write and run."""
    precision: Precision = "fp32"
    """Of the artefacts; the model itself is always fp32."""
    repeats: int = 3
    """Frames that a figure is the median of, after one that does not count."""
    rays_per_call: int = 4096
    """Rays in one call."""


@dataclass(frozen=True, kw_only=True)
class Renderer:
    """A way to render: its name, how, and what of its file is known: seconds to write it, bytes."""

    name: str
    render: Render
    seconds: float = math.nan
    bytes: int = 0


def main() -> None:
    """Print one table for all checkpoints."""
    arguments = tyro.cli(Arguments, description=__doc__)
    print(f"{facts()}; {arguments.rays_per_call} rays a call; medians of {arguments.repeats} frames\n")
    names = [f"{size}x{size}, ms" for size in arguments.sizes]
    heads = ["family", "renderer", "PSNR against eager, dB", *names, "rays/s", "times the eager graph"]
    heads += ["written in, s", "MiB"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for path in arguments.checkpoints:
        checkpoint = load_checkpoint(path)
        with tempfile.TemporaryDirectory() as folder:
            _print_rows(checkpoint, arguments, Path(folder))


def _print_rows(checkpoint: Checkpoint, arguments: Arguments, folder: Path) -> None:
    """The rows of a checkpoint, each as soon as it is measured."""
    camera = Camera.from_view(checkpoint.info.views[0])
    radii = bool(checkpoint.model.needs_ray_radii)
    frames = [camera.resized(size, size).rays(radii=radii) for size in arguments.sizes]
    first, graph = None, 0.0
    for renderer in _renderers(checkpoint, arguments, folder):
        with torch.no_grad():
            picture = render_in_chunks(renderer.render, frames[0], arguments.rays_per_call).rgb
            times = [_seconds(renderer.render, frame, arguments) for frame in frames]
        first = picture if first is None else first
        graph = times[-1] if renderer.name == GRAPH else graph
        row = [checkpoint.family, renderer.name, f"{psnr_db(picture, first):.0f}"]
        row += [f"{1000 * seconds:.0f}" for seconds in times]
        row += [f"{len(frames[-1]) / times[-1]:,.0f}", f"{graph / times[-1]:.2f}" if graph else ""]
        row += [f"{renderer.seconds:.1f}", f"{renderer.bytes / 2**20:.1f}"] if renderer.bytes else ["", ""]
        print(f"| {' | '.join(row)} |", flush=True)
        gc.collect()


def _renderers(checkpoint: Checkpoint, arguments: Arguments, folder: Path) -> Iterator[Renderer]:
    """The renderers, the graph before all artefacts, which are written when it is their turn."""

    def run_model(rays: Rays) -> Light:
        outputs = checkpoint.model(*map(torch.from_numpy, rays.arrays()))
        return Light(*(output.numpy() for output in outputs))

    def run_graph(rays: Rays) -> Light:
        with without_kernels():
            return run_model(rays)

    yield Renderer(name=GRAPH, render=run_graph)
    yield Renderer(name=KERNELS, render=run_model)
    for name in arguments.formats:
        target = get_format(name)
        path = folder / target.file_name
        began = time.perf_counter()
        inputs = ray_inputs(bool(checkpoint.model.needs_ray_radii))
        path.write_bytes(target.encode(render_graph(checkpoint.model, arguments.precision), "{}", inputs))
        seconds = time.perf_counter() - began
        title = f"{name} {arguments.precision}"
        render = target.open(path, "cpu")
        yield Renderer(name=title, render=render, seconds=seconds, bytes=path.stat().st_size)


def _seconds(render: Render, frame: Rays, arguments: Arguments) -> float:
    times = []
    for _ in range(arguments.repeats + 1):
        began = time.perf_counter()
        render_in_chunks(render, frame, arguments.rays_per_call)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
