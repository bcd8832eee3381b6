"""Measures one artefact in a process of its own: `python -m export.speed.measure`.

`export.speed.profile` starts it.

In that process there is the artefact with its runtime and nothing else, so that its memory is the artefact's.
Time is measured in passes over all rays, in calls of one size: single calls differ, as what their rays meet
differs.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export.formats.registry import get_format
from export.renderer import Renderer
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
    """Figures of an opened artefact, plain JSON data; see `export.speed.profile` for their meaning.

    rays_per_call: the only size to measure, or None to choose one of `SIZES`. seconds: about how long to
    measure, half of it for the choice.
    """
    opened = memory()
    tried: list[dict[str, Any]] = []
    if rays_per_call is None:
        peaks = _probe(render, rays, seconds, clock, memory)
        rays = rays[: max(peaks)]
        tried = _try_sizes(render, rays, peaks, clock)
        rays_per_call = choose([(row["rays_per_call"], row["rays_per_second"]) for row in tried])
        peak = peaks[rays_per_call]
    else:
        rays = rays[: max(rays_per_call, _FEWEST_RAYS)]
        _pass(render, rays, rays_per_call, clock)
        peak = memory()
    passes: list[float] = []
    calls: list[float] = []
    started, settled = clock(), False
    while len(passes) < _PASSES or not (settled or clock() - started > seconds / 2):
        median = float(np.median(passes)) if passes else 0.0
        durations = _pass(render, rays, rays_per_call, clock)
        calls += durations
        passes.append(sum(durations))
        settled = abs(float(np.median(passes)) - median) <= _SETTLED * median
    return {
        "rays_per_call": rays_per_call,
        "rays_per_second": round(len(rays) / float(np.median(passes))),
        "call_p50_ms": 1e3 * float(np.quantile(calls, 0.5)),
        "call_p99_ms": 1e3 * float(np.quantile(calls, 0.99)),
        "calls": len(calls),
        "rays": len(rays),
        "settled": settled,
        "opened_memory_bytes": opened,
        "peak_memory_bytes": peak,
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
    for start in range(0, len(rays), size):
        chunk = rays[start : start + size]
        started = clock()
        render(chunk)
        durations.append(clock() - started)
    return durations


def main() -> None:
    """Reads the rays, opens the artefact, prints the figures as the last line of standard output."""
    parser = argparse.ArgumentParser(prog="python -m export.speed.measure")
    parser.add_argument("format")
    parser.add_argument("artefact", type=Path)
    parser.add_argument("rays", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rays-per-call", type=int)
    arguments = parser.parse_args()
    with np.load(arguments.rays) as arrays:
        rays = Rays(**arrays)
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
