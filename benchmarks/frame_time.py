"""Frame times of checkpoints on the CPU: the model itself, its graph run by PyTorch, and its artefacts.

Each is measured alone, and its largest frame once more beside busy neighbours, one for each core.

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
from benchmarks.neighbours import busy_neighbours
from export.format import Precision
from export.formats.registry import get_format
from export.job.source import render_graph
from export.parity.metrics import psnr_db
from export.renderer import Renderer as Render
from export.renderer import render_in_chunks
from neurocity.cameras import Camera, Rays
from neurocity.checkpoint import Checkpoint, load_checkpoint
from neurocity.contract import ray_inputs
from neurocity.errors import UnsupportedError
from neurocity.light import Light
from neurocity.rendering.cpu_kernels import without_kernels

KERNELS, GRAPH = "eager, compiled kernels", "eager graph, PyTorch"


@dataclass(frozen=True)
class Arguments:
    """Measure the frame times of checkpoints of any family."""

    checkpoints: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Checkpoints (.ckpt) of `neurocity train`."""
    sizes: tuple[str, ...] = ("200x200", "800x800")
    """Widths and heights of the frames in pixels, the largest last."""
    formats: tuple[str, ...] = ("torchscript", "onnx", "aotinductor", "native")
    """Artefacts to write and run, where the family has them."""
    graph: bool = True
    """Measure the graph run by PyTorch as well, which takes longest; without it kernels are compared with."""
    precision: Precision = "fp32"
    """Of the artefacts; the model itself is always fp32."""
    repeats: int = 3
    """Frames that a figure is the median of, after one that does not count."""
    rays_per_call: int = 4096
    """Rays in one call of a graph; a native artefact takes a frame as a whole."""


@dataclass(frozen=True, kw_only=True)
class Renderer:
    """A way to render: its name and how, and what is known of its file: seconds to write it, bytes.

    rays_per_call: None for a frame as a whole.
    """

    name: str
    render: Render
    rays_per_call: int | None
    seconds: float = math.nan
    bytes: int = 0

    def picture(self, frame: Rays) -> Light:
        """The light of a whole frame."""
        if self.rays_per_call is None:
            return self.render(frame)
        return render_in_chunks(self.render, frame, self.rays_per_call)


def main() -> None:
    """Print one table for all checkpoints."""
    arguments = tyro.cli(Arguments, description=__doc__)
    print(f"{facts()}; {arguments.rays_per_call} rays a call; medians of {arguments.repeats} frames\n")
    names = [f"{size}, ms" for size in arguments.sizes]
    heads = ["family", "renderer", "PSNR against eager, dB", *names, "beside neighbours, ms", "ratio"]
    heads += ["rays/s", "times the eager graph", "written in, s", "MiB"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for path in arguments.checkpoints:
        checkpoint = load_checkpoint(path)
        with tempfile.TemporaryDirectory() as folder:
            _print_rows(checkpoint, arguments, Path(folder))


def _print_rows(checkpoint: Checkpoint, arguments: Arguments, folder: Path) -> None:
    """The rows of a checkpoint, each as soon as it is measured."""
    camera = Camera.from_view(checkpoint.info.views[0])
    radii = bool(checkpoint.model.needs_ray_radii)
    sizes = [tuple(map(int, size.split("x"))) for size in arguments.sizes]
    frames = [camera.resized(width, height).rays(radii=radii) for width, height in sizes]
    first, graph = None, 0.0
    for renderer in _renderers(checkpoint, arguments, folder):
        with torch.no_grad():
            picture = renderer.picture(frames[0]).rgb
            times = [_seconds(renderer, frame, arguments.repeats) for frame in frames]
            with busy_neighbours():
                beside = _seconds(renderer, frames[-1], arguments.repeats)
        first = picture if first is None else first
        graph = times[-1] if renderer.name == GRAPH else graph
        row = [checkpoint.family, renderer.name, f"{psnr_db(picture, first):.0f}"]
        row += [f"{1000 * seconds:.0f}" for seconds in (*times, beside)]
        row += [
            f"{beside / times[-1]:.2f}",
            f"{len(frames[-1]) / times[-1]:,.0f}",
            f"{graph / times[-1]:.2f}" if graph else "",
        ]
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

    size = arguments.rays_per_call
    if arguments.graph:
        yield Renderer(name=GRAPH, render=run_graph, rays_per_call=size)
    yield Renderer(name=KERNELS, render=run_model, rays_per_call=size)
    for name in arguments.formats:
        target = get_format(name)
        path = folder / target.file_name
        inputs = ray_inputs(bool(checkpoint.model.needs_ray_radii))
        began = time.perf_counter()
        try:
            content = target.encode(render_graph(checkpoint.model, arguments.precision), "{}", inputs)
        except UnsupportedError:  # not every family has every format
            continue
        path.write_bytes(content)
        yield Renderer(
            name=f"{name} {arguments.precision}",
            render=target.open(path, "cpu"),
            rays_per_call=None if name == "native" else size,
            seconds=time.perf_counter() - began,
            bytes=len(content),
        )


def _seconds(renderer: Renderer, frame: Rays, repeats: int) -> float:
    """The median of so many frames, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        renderer.picture(frame)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
