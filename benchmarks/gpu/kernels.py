"""Kernels for CUDA devices beside the PyTorch definitions that they replace: are they equal, and how fast."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu.frames import REPEATS, first_frame, trained
from neurocity.device import check_device
from neurocity.rendering.marched_field import MarchedField
from neurocity.rendering.marching import PackedSamples
from neurocity.svraster.core import SVRaster

LARGEST_ERROR = 1e-3
"""Of light and features: a GPU multiplies and adds at once, which moves places in the smallest voxels. Of the
march it is the share of rays with another number of samples: those that meet the borders of cells."""


class Pair(NamedTuple):
    """A kernel and its definition, which give tensors of the same kind; count: rays or points that they take.

    error: of the two results.
    """

    name: str
    count: int
    kernel: Callable[[], Any]
    definition: Callable[[], Any]
    error: Callable[[Any, Any], float]


def kernels(values: dict[str, Any]) -> dict[str, Any]:
    """A row for each kernel of the family, on rays of a held-out view.

    Without a GPU the kernels are interpreted (TRITON_INTERPRET=1): equality counts then, time does not.
    """
    import triton  # noqa: F401, PLC0415, without which there are none

    device = values["device"]
    check_device(device)
    checkpoint = trained(values)
    frame = first_frame(checkpoint, values["sizes"][0])
    # Rays from all over the picture.
    chosen = frame[:: max(1, len(frame) // values["rays"])]
    rays = [torch.from_numpy(part).to(device) for part in chosen.arrays()]
    rows = []
    with torch.no_grad():
        for pair in pairs(checkpoint.model.to(device).eval(), *rays):
            (got, kernel), (expected, definition) = (
                _measured(each, device) for each in (pair.kernel, pair.definition)
            )
            error = pair.error(got, expected)
            row = {"kernel": pair.name, "count": pair.count, "error": error, "equal": error <= LARGEST_ERROR}
            rows.append({**row, "seconds": kernel, "definition_seconds": definition})
    unequal = [f"{row['kernel']}: got {row['error']:.1e}" for row in rows if not row["equal"]]
    reason = {"reason": f"{'; '.join(unequal)}, expected at most {LARGEST_ERROR:g}"} if unequal else {}
    return {"kernels": rows, "equal": not unequal, **reason}


def pairs(model: torch.nn.Module, origins: Tensor, directions: Tensor) -> Iterator[Pair]:
    """The kernels of a model for rays [R, 3], [R, 3]."""
    count, planes = len(origins), (origins.t(), directions.t())
    if isinstance(model, SVRaster):
        yield Pair(
            "walk",
            count,
            lambda: model.render_on_cuda(origins, directions),
            lambda: model.render_in_rounds(*planes),
            largest_difference,
        )
    if isinstance(model, MarchedField):
        marcher, jump, middles = model.marcher, model.occupancy.jump, torch.full_like(origins[:, 0], 0.5)
        march = (*planes, jump, middles)
        yield Pair(
            "march",
            count,
            lambda: marcher.march_on_cuda(*march),
            lambda: marcher.march(*march),
            other_samples,
        )
        points = marcher.march(*march).points
        if grid := getattr(model, "encoding", None):
            yield Pair(
                "hash grid",
                points.shape[1],
                lambda: grid.encode_on_cuda(points),
                lambda: grid.encode(points),
                lambda *found: largest_difference(*([each] for each in found)),
            )


def largest_difference(got: Any, expected: Any) -> float:
    """Of tensors, as a share of the largest number in each."""
    found = [
        (a - b).abs().max() / b.abs().max().clamp_min(1e-12)
        for a, b in zip(got, expected, strict=True)
        if b.numel()
    ]
    return float(torch.stack(found).max()) if found else 0.0  # NaN stays


def other_samples(got: PackedSamples, expected: PackedSamples) -> float:
    """The share of rays with another number of samples."""
    return float((got.offsets.diff() != expected.offsets.diff()).float().mean())


def _measured(call: Callable[[], Any], device: str) -> tuple[Any, float]:
    """The result of calls, and their median seconds: on a GPU of some after the first, else of one."""
    times = []
    for _ in range(1 + (REPEATS if device == "cuda" else 0)):
        began = time.perf_counter()
        result = call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return result, statistics.median(times[1:] or times)
