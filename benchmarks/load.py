"""The gateway under load: more clients than it can serve, unfair ones, and ones that leave.

    python -m benchmarks.load REPOSITORY --scene NAME
    python -m benchmarks.load REPOSITORY --scene NAME --seconds 60

It starts a gateway of its own, with no cache of pictures, so that every request is work. Clients are tasks of
this process, each from an address of its own; what it takes them is a part of every time. Only ratios within
one run count on a machine that is not quiet.
"""

import asyncio
import math
import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import psutil
import tyro

from benchmarks.gateway import served
from benchmarks.load_client import Answer, Connection, Pictures, ask_once, in_ms, look, percentile
from benchmarks.machine import facts
from neurocity.cameras import Camera, look_at
from neurocity.errors import NeuroCityError
from serving.engines.base import Engine, EngineOptions, open_engine
from serving.render.cost import TILE_SECONDS, SceneCost

ADDRESSES = [f"127.0.0.{number}" for number in range(1, 9)]
OK, REFUSED = 200, 503


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


@dataclass(frozen=True)
class Bench:
    """What the measurements share. tile_seconds: what a tile of a large picture takes, about."""

    arguments: Arguments
    process: psutil.Process
    pictures: Pictures
    tile_seconds: float

    @property
    def port(self) -> int:
        return self.arguments.port

    def memory(self) -> float:
        """Resident MiB of the gateway."""
        return float(self.process.memory_info().rss / 2**20)

    def cpu(self) -> float:
        """Processor seconds of the gateway so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def main() -> None:
    """Print one line or two for each kind of load."""
    arguments = tyro.cli(Arguments, description=__doc__)
    options = ["--engine", arguments.engine, "--queue-seconds", str(arguments.queue_seconds)]
    with served(arguments.repository, arguments.scene, arguments.port, *options, "--cache-bytes", "0") as (
        process,
        scene,
    ):
        print(f"{facts()}; {scene['engine']}, {arguments.size}x{arguments.size}\n", flush=True)
        asyncio.run(measure(arguments, process, look(scene)))


async def measure(arguments: Arguments, process: psutil.Process, pictures: Pictures) -> None:
    """All measurements, one after the other."""
    engine = await open_engine(arguments.engine, EngineOptions(repository=arguments.repository))
    manifest = engine.scenes()[arguments.scene]
    least = SceneCost(manifest, time.monotonic).least_tile_pixels
    warm = Bench(arguments, process, pictures, 0.0)
    for _ in range(20):
        await ask_once(warm.port, pictures, math.isqrt(least))
    tile = await ask_once(warm.port, pictures, math.isqrt(least))
    tile_seconds = max(TILE_SECONDS, float(tile.headers["x-render-ms"]) / 1e3)
    bench = Bench(arguments, process, pictures, tile_seconds)
    await overhead(bench, engine)
    await engine.close()
    capacity = await closed_loop(bench)
    await overload(bench, capacity)
    await burst(bench)
    await many_beside_one(bench)
    await small_beside_large(bench)
    await departed(bench)
    await equal(bench)


async def overhead(bench: Bench, engine: Engine) -> None:
    """The gateway's own time at 8x8: over the engine's, in turns with it, on a kept connection."""
    pictures, connection = bench.pictures, Connection(bench.port)
    info = engine.scenes()[bench.arguments.scene].info
    pose = look_at(pictures.eye, pictures.target, info.up)
    rays = Camera.from_fov_y(pose, 8, 8, 50.0).rays()
    whole, alone = [], []
    for _ in range(20 if bench.arguments.seconds < 1 else 200):
        began = time.perf_counter()
        await engine.render(bench.arguments.scene, rays, None)
        alone.append(time.perf_counter() - began)
        whole.append((await connection.post(pictures.path, pictures.body(8))).seconds)
    connection.close()
    by_gateway, by_engine = (1e3 * statistics.median(item) for item in (whole, alone))
    print(
        f"8x8: {by_gateway:.2f} ms, the engine alone {by_engine:.2f}: the gateway adds "
        f"{by_gateway - by_engine:.2f} ms at p50"
    )
    rates = []
    for clients in (1, 8, 32):
        answers = await loop_of(bench, 8, clients, bench.arguments.seconds / 5)
        rates.append(f"{len(ok(answers)) / bench.arguments.seconds * 5:.0f}/s at {clients}")
    print(f"8x8 by connections: {', '.join(rates)}", flush=True)


async def loop_of(
    bench: Bench, side: int, clients: int, seconds: float, sources: list[str] = ADDRESSES
) -> list[Answer]:
    """All answers of clients that ask again as soon as they are answered, after a pause where refused."""
    end, answers = time.perf_counter() + seconds, []

    async def client(number: int) -> None:
        connection = Connection(bench.port, sources[number % len(sources)])
        try:
            while time.perf_counter() < end:
                answer = await connection.post(bench.pictures.path, bench.pictures.body(side))
                answers.append(answer)
                if answer.status != OK:
                    await asyncio.sleep(0.05)
        finally:
            connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return answers


async def closed_loop(bench: Bench) -> float:
    """Pictures a second of a gateway that always has work."""
    seconds, rates = bench.arguments.seconds / 2, []
    for clients in (1, 4, 8):
        cpu = bench.cpu()
        answers = ok(await loop_of(bench, bench.arguments.size, clients, seconds))
        rates.append(len(answers) / seconds)
        each = (bench.cpu() - cpu) / max(1, len(answers)) * 1e3
        print(
            f"closed loop, {clients} clients: {rates[-1]:.1f} pictures/s, p50 / p95 "
            f"{in_ms(answer.seconds for answer in answers)}, {each:.1f} CPU ms each",
            flush=True,
        )
    return max(rates)


async def overload(bench: Bench, capacity: float) -> None:
    """Requests that come at random, at multiples of the capacity, whatever becomes of them."""
    first = 0.0
    for factor in bench.arguments.factors:
        memory, cpu, tasks = bench.memory(), bench.cpu(), []
        chance = random.Random(1)
        began, at = time.perf_counter(), 0.0
        while at < bench.arguments.seconds:
            await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
            source = ADDRESSES[len(tasks) % len(ADDRESSES)]
            ask = ask_once(bench.port, bench.pictures, bench.arguments.size, source)
            tasks.append(asyncio.create_task(ask))
            at += chance.expovariate(factor * capacity)
        in_time = len(ok([task.result() for task in tasks if task.done()]))
        elapsed = time.perf_counter() - began
        answers = await asyncio.gather(*tasks)
        each = (bench.cpu() - cpu) / max(1, len(ok(answers))) * 1e3
        recovered = await recovery(bench)
        admitted = [answer.seconds for answer in ok(answers)]
        p95 = percentile(admitted, 95)
        first = first or p95
        refused = [answer.seconds for answer in answers if answer.status == REFUSED]
        print(
            f"{factor:g} x capacity: sent {len(answers)}, statuses {statuses(answers)}; goodput "
            f"{in_time / elapsed / capacity:.2f} of capacity, {each:.1f} CPU ms each; admitted p50 / p95 "
            f"{in_ms(admitted)}, p95 x{p95 / first:.2f}; refused p50 / p95 {in_ms(refused)}; memory "
            f"{memory:.0f} -> {bench.memory():.0f} MiB; quick again after {recovered:.2f} s",
            flush=True,
        )


async def recovery(bench: Bench) -> float:
    """Seconds until a picture takes no longer than three tiles and twice its time alone."""
    began = time.perf_counter()
    while True:
        answer = await ask_once(bench.port, bench.pictures, bench.arguments.size)
        quick = float(answer.headers.get("x-render-ms", "inf")) * 2e-3 + 3 * bench.tile_seconds
        if answer.status == OK and answer.seconds <= quick:
            return time.perf_counter() - began - answer.seconds


async def burst(bench: Bench) -> None:
    """A hundred in one tick."""
    side = 2 * bench.arguments.size
    answers = await asyncio.gather(*(ask_once(bench.port, bench.pictures, side) for _ in range(100)))
    refused = [answer.seconds for answer in answers if answer.status == REFUSED]
    last = max((answer.seconds for answer in ok(answers)), default=math.nan)
    print(
        f"burst of 100 of {side}x{side}: statuses {statuses(answers)}; refused p50 / p95 {in_ms(refused)}; "
        f"the last admitted one took {last:.2f} s, the budget is {bench.arguments.queue_seconds:g} s"
    )
    await retry_after(bench)


async def retry_after(bench: Bench) -> None:
    """How long somebody who is refused has really to wait, behind work that nobody adds to."""
    ask = partial(ask_once, bench.port, bench.pictures, bench.arguments.large)
    found = []
    for _ in range(3):
        running = [asyncio.create_task(ask()) for _ in range(4)]
        await asyncio.sleep(0.2)
        began, told = time.perf_counter(), 0
        while True:
            asking = asyncio.create_task(ask())
            done, _ = await asyncio.wait({asking}, timeout=0.2)
            if not done or asking.result().status != REFUSED:
                break
            told = told or asking.result().retry_after
        waited = time.perf_counter() - began
        for task in (asking, *running):
            task.cancel()
        await asyncio.gather(asking, *running, return_exceptions=True)
        await asyncio.sleep(0.3)
        found.append(f"told {told} s, admitted after {waited:.1f} s" if told else "not refused")
    print(f"Retry-After: {'; '.join(found)}", flush=True)


async def many_beside_one(bench: Bench) -> None:
    """A client of one connection, alone and beside one of twenty."""
    seconds, size = bench.arguments.seconds / 2, bench.arguments.size
    alone = ok(await loop_of(bench, size, 1, seconds, ADDRESSES[1:2]))
    many, one = await asyncio.gather(
        loop_of(bench, size, 20, seconds, ADDRESSES[:1]), loop_of(bench, size, 1, seconds, ADDRESSES[1:2])
    )
    p95 = [percentile((answer.seconds for answer in ok(answers)), 95) for answers in (alone, one)]
    share = len(ok(one)) / max(1, len(ok(one)) + len(ok(many)))
    print(
        f"one connection: p50 / p95 {in_ms(a.seconds for a in alone)} alone, "
        f"{in_ms(a.seconds for a in ok(one))} beside twenty of another, p95 x{p95[1] / p95[0]:.2f}; it has "
        f"{share:.0%} of the pictures, the twenty {in_ms(a.seconds for a in ok(many))}",
        flush=True,
    )


async def small_beside_large(bench: Bench) -> None:
    """8x8 pictures of the same client beside large ones."""
    alone = await loop_of(bench, 8, 1, bench.arguments.seconds / 5, ADDRESSES[:1])
    seconds = bench.arguments.seconds
    large = asyncio.create_task(loop_of(bench, bench.arguments.large, 2, seconds, ADDRESSES[:1]))
    await asyncio.sleep(0.1)
    beside: list[Answer] = []
    connection, end = Connection(bench.port), time.perf_counter() + seconds - 0.1
    while time.perf_counter() < end:
        beside.append(await connection.post(bench.pictures.path, bench.pictures.body(8)))
        await asyncio.sleep(0.01)
    connection.close()
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)
    waits = [answer.seconds - statistics.median(a.seconds for a in alone) for answer in ok(beside)]
    tiles = percentile(waits, 95) / bench.tile_seconds
    most = max(waits, default=math.nan) / bench.tile_seconds
    print(
        f"8x8: p50 / p95 {in_ms(a.seconds for a in alone)} alone, beside {bench.arguments.large}x"
        f"{bench.arguments.large} {in_ms(a.seconds for a in ok(beside))} ({statuses(beside)}); waits "
        f"{tiles:.1f} tiles' time at p95, {most:.1f} at most (a tile {bench.tile_seconds * 1e3:.0f} ms)",
        flush=True,
    )


async def departed(bench: Bench) -> None:
    """A hundred ask for large pictures, each from another address, and leave after half a second."""
    memory = bench.memory()
    tasks = [
        asyncio.create_task(
            ask_once(bench.port, bench.pictures, bench.arguments.large, f"127.0.1.{number + 1}")
        )
        for number in range(100)
    ]
    await asyncio.sleep(0.5)
    waiting = [task for task in tasks if not task.done()]
    for task in waiting:
        task.cancel()
    cpu = bench.cpu()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(max(0.2, 4 * bench.tile_seconds))
    tail = bench.cpu() - cpu
    await asyncio.sleep(1.0)
    idle = bench.cpu() - cpu - tail
    print(
        f"100 ask for {bench.arguments.large}x{bench.arguments.large}: {100 - len(waiting)} are refused, "
        f"{len(waiting)} leave; after that {tail:.2f} CPU s, then {idle:.2f} in a second; memory "
        f"{memory:.0f} -> {bench.memory():.0f} MiB",
        flush=True,
    )


async def equal(bench: Bench) -> None:
    """A hundred ask for the same picture at once."""
    body = bench.pictures.body(bench.arguments.large, number=10**6)
    one = bench.cpu()
    await ask_once(bench.port, bench.pictures, bench.arguments.large)
    one, cpu = bench.cpu() - one, bench.cpu()
    connections = [Connection(bench.port) for _ in range(100)]
    answers = await asyncio.gather(*(item.post(bench.pictures.path, body) for item in connections))
    for connection in connections:
        connection.close()
    renders = {answer.headers.get("x-render-ms") for answer in answers}
    print(
        f"100 equal requests: statuses {statuses(answers)}, {len(renders)} renders, "
        f"{bench.cpu() - cpu:.2f} CPU s; one alone {one:.2f}"
    )


def ok(answers: list[Answer]) -> list[Answer]:
    """Those that are pictures."""
    return [answer for answer in answers if answer.status == OK]


def statuses(answers: list[Answer]) -> str:
    """How many there are of each status."""
    return ", ".join(f"{number} x {status}" for status, number in Counter(a.status for a in answers).items())


if __name__ == "__main__":
    try:
        main()
    except NeuroCityError as error:
        sys.exit(str(error))
