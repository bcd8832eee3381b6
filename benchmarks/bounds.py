"""What bounds a frame of Instant-NGP in ONNX Runtime, and how far from that bound the machine runs it.

python -m benchmarks.bounds CHECKPOINT
"""

import json
import tempfile
import time
import timeit
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
import tyro

from benchmarks.machine import facts
from export.formats.registry import get_format
from neurocity.cameras import Camera
from neurocity.checkpoint import load_checkpoint
from neurocity.rendering.cpu_kernels import without_kernels

Floats = npt.NDArray[np.float32]

_GROUPS = {
    "corner gathers": ("Gather", "GatherND", "GatherElements"),
    "corner products and sums": ("Mul", "Add", "Sub", "Transpose"),
    "networks": ("MatMul", "Gemm", "FusedGemm", "FusedMatMul", "Sigmoid", "Relu"),
    "index arithmetic": ("Mod", "Cast", "Floor", "Div"),
}


@dataclass(frozen=True)
class Arguments:
    """Take ONNX Runtime's time for a bounded Instant-NGP checkpoint apart."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint (.ckpt) of `neurocity train`."""
    size: int = 200
    """Width and height of the square frame, in pixels."""
    rays_per_call: int = 4096
    """Rays in one call."""


def main() -> None:
    """Write the ONNX artefact into a temporary folder and print its bounds."""
    arguments = tyro.cli(Arguments, description=__doc__)
    checkpoint = load_checkpoint(arguments.checkpoint)
    camera = Camera.from_view(checkpoint.info.views[0]).resized(arguments.size, arguments.size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(get_format("onnx").encode(checkpoint.model, "{}"))
        print(facts())
        print_bounds(path, checkpoint.model, camera.rays().arrays(), arguments.rays_per_call)


def print_bounds(path: Path, model: Any, rays: tuple[Floats, Floats], rays_per_call: int) -> None:
    """Print ONNX Runtime's time by kind of node beside the least time that the machine needs for the work.

    The least times are measured here: the same number of table rows gathered by `index_select` at random,
    and the networks' multiply-adds at the speed of a large matrix product.
    """
    times, wall = _node_seconds(path, rays, rays_per_call)
    samples, seen = _samples(model, rays)
    grid = model.encoding
    levels, rows, features = grid.table.shape
    gathers = samples * levels * 8
    macs = samples * _macs(model.density_net) + seen * _macs(model.color_net)
    table = grid.table.detach().view(-1, features)
    index = torch.randint(levels * rows, (1_000_000,))
    gather_seconds = _best(lambda: table.index_select(0, index)) / len(index) * gathers
    left, right = torch.randn(2048, 2048), torch.randn(2048, 2048)
    product_seconds = _best(lambda: left @ right) / 2048**3 * macs
    total = sum(times.values())
    print(f"\nONNX Runtime, one frame of {len(rays[0])} rays: {samples} samples, {seen} of them coloured; "
          f"{gathers / 1e6:.0f} M row gathers, {macs / 1e9:.2f} G multiply-adds; {wall:.3f} s\n")  # fmt: skip
    print("| part | seconds in nodes | share | least time here |\n|---|---|---|---|")
    least = {"corner gathers": gather_seconds, "networks": product_seconds}
    grouped = {name: sum(times[op] for op in operators) for name, operators in _GROUPS.items()}
    grouped["march, packing, compositing and the rest"] = total - sum(grouped.values())
    for name, seconds in sorted(grouped.items(), key=lambda item: -item[1]):
        bound = f"{least[name]:.3f}" if name in least else ""
        print(f"| {name} | {seconds:.3f} | {100 * seconds / total:.0f} % | {bound} |")
    bound = gather_seconds + product_seconds
    print(f"\nThe frame takes {wall / bound:.1f} times its bound of {bound:.3f} s (gathers and networks).")


def _node_seconds(path: Path, rays: tuple[Floats, Floats], rays_per_call: int) -> tuple[Counter[str], float]:
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_inputs()]
        began = time.perf_counter()
        for first in range(0, len(rays[0]), rays_per_call):
            part = slice(first, first + rays_per_call)
            session.run(None, {name: plane[part] for name, plane in zip(names, rays, strict=True)})
        wall = time.perf_counter() - began
        events = json.loads(Path(session.end_profiling()).read_text())
    times: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            times[event["args"]["op_name"]] += event["dur"] / 1e6
    return times, wall


@torch.no_grad()
def _samples(model: Any, rays: tuple[Floats, Floats]) -> tuple[int, int]:
    """Samples of the rays, and those whose colour is evaluated."""
    methods = {name: mock.Mock(side_effect=getattr(model, name)) for name in ("density", "color")}
    with mock.patch.multiple(model, **methods), without_kernels():
        model(*map(torch.from_numpy, rays))
    seen, colored = (sum(call.args[0].shape[1] for call in m.call_args_list) for m in methods.values())
    return seen, colored


def _macs(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def _best(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=1, repeat=6))


if __name__ == "__main__":
    main()
