"""The process that has one artefact and measures it: `python -m export.speed.measure`, see `profile`.

In that process there is the artefact with its runtime and nothing else, so that its memory is the artefact's.
Time is measured in passes over all rays, in calls of one size: single calls differ, as what their rays meet
differs.
"""

import json
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export.renderer import Renderer, chunks
from neurocity.cameras import Rays

SIZES = (1024, 4096, 16384, 65536)
"""Numbers of rays in a call that are tried."""
_FEWEST_RAYS = 4096
"""A pass has at least so many rays, however slow the artefact is."""
_GOOD_ENOUGH = 1.05
"""A smaller call is preferred to the fastest when it takes no longer than this times as long."""
_SETTLED = 0.02
"""The median of passes has settled when another pass moves it by less than this share."""
_PASSES = 3
"""Passes that are measured at least, and tried with every size."""
_PROCESSES = Path("/proc")

Clock = Callable[[], float]
Memory = Callable[[], int | None]


def measure(
    render: Renderer,
    rays: Rays,
    *,
    rays_per_call: int | None,
    seconds: float,
    clock: Clock = time.perf_counter,
    memory: Memory,
) -> dict[str, Any]:
    """Figures of an opened artefact, plain JSON data; see `export.speed.profile` for their meaning.

    rays_per_call: the only size to measure, or None to choose one of `SIZES`. seconds: about how long to
    measure, half of it for the choice.
    """
    opened = memory()
    sizes: list[dict[str, Any]] = []
    if rays_per_call is None:
        peaks = _probe(render, rays, seconds, clock, memory)
        rays = rays[: max(peaks)]
        sizes = _try_sizes(render, rays, peaks, clock)
        rays_per_call = choose([(row["rays_per_call"], row["rays_per_second"]) for row in sizes])
        peak = peaks[rays_per_call]
    else:
        rays = rays[: max(rays_per_call, _FEWEST_RAYS)]
        _pass(render, rays, rays_per_call, clock)
        peak = memory()
    return {
        **_measure_size(render, rays, rays_per_call, seconds / 2, clock),
        "opened_memory_bytes": opened,
        "peak_memory_bytes": peak,
        "sizes": sizes,
    }


def _measure_size(render: Renderer, rays: Rays, size: int, seconds: float, clock: Clock) -> dict[str, Any]:
    """Speed in calls of `size` rays, in passes until their median has settled or `seconds` are over."""
    passes: list[float] = []
    calls: list[float] = []
    started, settled = clock(), False
    while len(passes) < _PASSES or not (settled or clock() - started > seconds):
        median = float(np.median(passes)) if passes else 0.0
        durations = _pass(render, rays, size, clock)
        calls += durations
        passes.append(sum(durations))
        settled = abs(float(np.median(passes)) - median) <= _SETTLED * median
    return {
        "rays_per_call": size,
        "rays_per_second": round(len(rays) / float(np.median(passes))),
        "call_p50_ms": 1e3 * float(np.quantile(calls, 0.5)),
        "call_p99_ms": 1e3 * float(np.quantile(calls, 0.99)),
        "calls": len(calls),
        "rays": len(rays),
        "settled": settled,
    }


def choose(tried: list[tuple[int, int]]) -> int:
    """Of (rays in a call, rays per second), the smallest call that is about as fast as the fastest."""
    fastest = max(speed for _, speed in tried)
    return min(size for size, speed in tried if speed * _GOOD_ENOUGH >= fastest)


def peak_memory(process: int | str = "self") -> int | None:
    """The most memory that a process has had, in bytes; None where the system does not tell."""
    status = _PROCESSES / str(process) / "status"
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _probe(
    render: Renderer, rays: Rays, seconds: float, clock: Clock, memory: Memory
) -> dict[int, int | None]:
    """The sizes whose passes fit into half of the time, each with the peak of memory after its first call.

    Sizes grow, so that the peak is their own.
    """
    sizes = [size for size in SIZES if size <= len(rays)] or [len(rays)]
    budget = seconds / 2 / (len(SIZES) * _PASSES)
    render(rays[: sizes[0]])  # a runtime plans its first call
    peaks: dict[int, int | None] = {}
    for size, larger in zip(sizes, [*sizes[1:], sizes[-1]], strict=True):
        few = rays[:size]
        started = clock()
        render(few)
        took = clock() - started
        peaks[size] = memory()
        if larger > _FEWEST_RAYS and took * larger / size > budget:
            break
    return peaks


def _try_sizes(
    render: Renderer, rays: Rays, peaks: dict[int, int | None], clock: Clock
) -> list[dict[str, Any]]:
    """The best pass of every size; they take turns, so that a busy moment of the machine meets them all."""
    best = dict.fromkeys(peaks, float("inf"))
    for _ in range(_PASSES):
        for size in peaks:
            best[size] = min(best[size], sum(_pass(render, rays, size, clock)))
    return [
        {
            "rays_per_call": size,
            "rays_per_second": round(len(rays) / best[size]),
            "peak_memory_bytes": peak,
        }
        for size, peak in peaks.items()
    ]


def _pass(render: Renderer, rays: Rays, size: int, clock: Clock) -> list[float]:
    """Seconds of each call."""
    durations = []
    for chunk in chunks(rays, size):
        started = clock()
        render(chunk)
        durations.append(clock() - started)
    return durations


def main() -> None:
    """Does the task whose pickle is the only argument; prints the figures as the last line."""
    with Path(sys.argv[1]).open("rb") as file:
        open_artefact, path, device, options = pickle.load(file)
    print(json.dumps(measure(open_artefact(path, device), **options, memory=peak_memory)))


if __name__ == "__main__":
    main()
