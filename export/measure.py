"""Measures one artefact in a process of its own: `python -m export.measure`, started by `export.profile`.

In that process there is the artefact with its runtime and nothing else, so that its memory is the artefact's.
Time is measured in passes over all rays, in calls of one size: single calls differ, as what their rays meet
differs.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from export.format import Renderer
from export.rays import Rays
from export.registry import get_format

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
_STATUS = Path("/proc/self/status")

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
    """Figures of an opened artefact, plain JSON data; see `export.profile` for their meaning.

    rays_per_call: the only size to measure, or None to choose one of `SIZES`. seconds: about how long to
    measure, half of it for the choice.
    """
    opened = memory()
    count = max(_affordable(render, rays, seconds, clock), rays_per_call or 0)
    rays = rays.take(np.arange(min(count, len(rays.origins))))
    tried: list[dict[str, Any]] = []
    if rays_per_call is None:
        sizes = [size for size in SIZES if size <= len(rays.origins)] or [len(rays.origins)]
        tried = _try_sizes(render, rays, sizes, clock, memory)
        rays_per_call = choose([(row["rays_per_call"], row["rays_per_second"]) for row in tried])
    passes: list[float] = []
    calls: list[float] = []
    started, settled = clock(), False
    while len(passes) < _PASSES or not (settled or clock() - started > seconds / 2):
        median = float(np.median(passes)) if passes else 0.0
        durations = _pass(render, rays, rays_per_call, clock)
        calls += durations
        passes.append(sum(durations))
        settled = abs(float(np.median(passes)) - median) <= _SETTLED * median
    peaks = [row["peak_memory_bytes"] for row in tried if row["rays_per_call"] == rays_per_call]
    return {
        "rays_per_call": rays_per_call,
        "rays_per_second": round(len(rays.origins) / float(np.median(passes))),
        "call_p50_ms": 1e3 * float(np.quantile(calls, 0.5)),
        "call_p99_ms": 1e3 * float(np.quantile(calls, 0.99)),
        "calls": len(calls),
        "rays": len(rays.origins),
        "settled": settled,
        "opened_memory_bytes": opened,
        "peak_memory_bytes": peaks[0] if peaks else memory(),
        "sizes": tried,
    }


def choose(tried: list[tuple[int, int]]) -> int:
    """Of (rays in a call, rays per second), the smallest call that is about as fast as the fastest."""
    fastest = max(speed for _, speed in tried)
    return min(size for size, speed in tried if speed * _GOOD_ENOUGH >= fastest)


def peak_memory() -> int | None:
    """The most memory that this process has had, in bytes; None where the system does not tell."""
    if not _STATUS.exists():
        return None
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _affordable(render: Renderer, rays: Rays, seconds: float, clock: Clock) -> int:
    """How many rays a pass may have for every size to get its passes in half of the time."""
    budget = seconds / 2 / (len(SIZES) * _PASSES)
    render(*rays.take(np.arange(min(SIZES[0], len(rays.origins)))))  # a runtime plans its first call
    for size, larger in pairwise(SIZES):
        few = rays.take(np.arange(min(size, len(rays.origins))))
        started = clock()
        render(*few)
        if (clock() - started) * larger / size > budget:
            return max(size, _FEWEST_RAYS)
    return SIZES[-1]


def _try_sizes(
    render: Renderer, rays: Rays, sizes: list[int], clock: Clock, memory: Memory
) -> list[dict[str, Any]]:
    """The best pass of every size.

    Sizes take turns, so that a busy moment of the machine meets them all; they grow, so that the peak of
    memory after the first pass of one is its own.
    """
    best = dict.fromkeys(sizes, float("inf"))
    peaks: dict[int, int | None] = {}
    for _ in range(_PASSES):
        for size in sizes:
            best[size] = min(best[size], sum(_pass(render, rays, size, clock)))
            peaks.setdefault(size, memory())
    return [
        {
            "rays_per_call": size,
            "rays_per_second": round(len(rays.origins) / best[size]),
            "peak_memory_bytes": peaks[size],
        }
        for size in sizes
    ]


def _pass(render: Renderer, rays: Rays, size: int, clock: Clock) -> list[float]:
    """Seconds of each call."""
    durations = []
    for start in range(0, len(rays.origins), size):
        chunk = Rays(rays.origins[start : start + size], rays.directions[start : start + size])
        started = clock()
        render(*chunk)
        durations.append(clock() - started)
    return durations


def main() -> None:
    """Reads the rays, opens the artefact, prints the figures as the last line of standard output."""
    parser = argparse.ArgumentParser(prog="python -m export.measure")
    parser.add_argument("format")
    parser.add_argument("artefact", type=Path)
    parser.add_argument("rays", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rays-per-call", type=int)
    arguments = parser.parse_args()
    with np.load(arguments.rays) as arrays:
        rays = Rays(arrays["origins"], arrays["directions"])
    render = get_format(arguments.format).open(arguments.artefact, arguments.device)
    figures = measure(
        render,
        rays,
        rays_per_call=arguments.rays_per_call,
        seconds=arguments.seconds,
        memory=peak_memory,
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
