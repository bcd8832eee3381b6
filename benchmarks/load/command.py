"""The gateway under load: more clients than it can serve, unfair ones, and ones that leave.

    python -m benchmarks.load REPOSITORY --scene NAME
    python -m benchmarks.load REPOSITORY --scene NAME --seconds 60

It starts a gateway of its own, with no cache of pictures, so that every request is work. Clients are tasks of
this process, each from an address of its own, and take a share of the same processors. Only ratios within one
run count on a machine that is not quiet. The last thing printed is a table of what the gateway must show.
"""

import asyncio
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import psutil
import tyro

from benchmarks.gateway import served
from benchmarks.load import ending, fairness, overload, own_time, sharing
from benchmarks.load.bench import Bench, table
from benchmarks.load.client import Pictures, look
from benchmarks.machine import facts
from serving.render.cost import TILE_SECONDS


@dataclass(frozen=True)
class Arguments:
    """Measure `neurocity-serve` under load."""

    repository: Annotated[Path, tyro.conf.Positional]
    """Model repository of `neurocity-export`."""
    scene: str
    """Scene to render."""
    engine: str = "auto"
    """Engine of the gateway."""
    size: int = 256
    """Width and height of the usual picture, in pixels."""
    large: int = 2048
    """Width and height of a large one."""
    factors: tuple[float, ...] = (1.0, 3.0, 5.0)
    """Multiples of the capacity that are offered; the first is what the others are compared with."""
    seconds: float = 10.0
    """Length of each load."""
    port: int = 8766
    """Port for the gateway."""
    queue_seconds: float = 3.0
    """The gateway's setting of that name."""


def main() -> None:
    """Print one line or two for each kind of load, then which bars hold."""
    arguments = tyro.cli(Arguments, description=__doc__)
    options = ["--engine", arguments.engine, "--queue-seconds", str(arguments.queue_seconds)]
    with served(arguments.repository, arguments.scene, arguments.port, *options, "--cache-bytes", "0") as (
        process,
        scene,
    ):
        print(f"{facts()}; {scene['engine']}, {arguments.size}x{arguments.size}\n", flush=True)
        bench = asyncio.run(measure(arguments, process, look(scene)))
        print(f"\n{table(bench.bars)}", flush=True)


async def measure(arguments: Arguments, process: psutil.Process, pictures: Pictures) -> Bench:
    """All measurements, one after the other."""
    cold = Bench(
        port=arguments.port,
        process=process,
        pictures=pictures,
        size=arguments.size,
        large=arguments.large,
        seconds=arguments.seconds,
        queue_seconds=arguments.queue_seconds,
    )
    pixels = await own_time.least_tile(arguments.repository, arguments.engine, arguments.scene)
    bench = replace(cold, tile_seconds=await _tile_seconds(cold, math.isqrt(pixels)))
    await own_time.own_time(bench, arguments.repository, arguments.engine)
    await own_time.rates(bench)
    await overload.closed_loops(bench)
    await overload.overload(bench, arguments.factors)
    await overload.burst(bench)
    await overload.retry_after(bench)
    await fairness.many_beside_one(bench)
    await fairness.cheap_beside_many(bench)
    await fairness.small_beside_large(bench)
    await sharing.departed(bench)
    await sharing.equal(bench)
    await ending.ending(bench)
    return bench


async def _tile_seconds(bench: Bench, side: int) -> float:
    """What a tile takes, on a gateway that is warm from then on."""
    for _ in range(20):
        await bench.ask(side)
    tile = await bench.ask(side)
    return max(TILE_SECONDS, float(tile.headers["x-render-ms"]) / 1e3)
