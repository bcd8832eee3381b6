"""More requests than the gateway has time for: what is made, how fast the rest is refused, what is left."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load.bench import Bench, in_ms, ok, percentile, refused, seconds_of, statuses
from benchmarks.load.client import ADDRESSES, OK, REFUSED, Answer, Connection, get

GOODPUT, TAIL, REFUSAL_SECONDS, RECOVERY_SECONDS, GROWTH = 0.9, 1.2, 0.05, 2.0, 0.05
FRESH = "127.0.0.99"
"""An address that no load comes from."""
ADMITTED_SECONDS = 0.05
"""Who is not refused in that time is admitted."""
MOST_LARGE = 200
CLIENTS = 8
"""Of the closed loop whose rate is the capacity."""
BACKLOG = "neurocity_queue_seconds_estimated"


@dataclass(frozen=True)
class Load:
    """What became of one load.

    p95, refused: seconds that 95 of 100 admitted, or refused, took at most.
    growth: of resident memory. recovery: seconds from its end until a new client is served quickly.
    """

    pictures_per_second: float
    p95: float
    refused: float
    growth: float
    recovery: float


async def closed_loops(bench: Bench) -> None:
    """Pictures a second for clients who ask again as soon as they are answered."""
    for clients in (1, 4, CLIENTS):
        cpu, began = bench.cpu(), time.perf_counter()
        answers = ok(await bench.closed_loop(bench.size, clients, bench.seconds / 2))
        each = (bench.cpu() - cpu) / max(1, len(answers)) * 1e3
        print(
            f"closed loop, {clients} clients: {len(answers) / (time.perf_counter() - began):.1f} pictures/s, "
            f"p50 / p95 {in_ms(seconds_of(answers))}, {each:.1f} CPU ms each",
            flush=True,
        )


async def _capacity(bench: Bench) -> float:
    """Pictures a second of a gateway that always has work."""
    began = time.perf_counter()
    answers = ok(await bench.closed_loop(bench.size, CLIENTS, bench.seconds / 2))
    return len(answers) / (time.perf_counter() - began)


async def overload(bench: Bench, factors: Sequence[float]) -> None:
    """Requests that come at random, at multiples of the capacity, whatever becomes of them.

    The capacity is what it was before and after a load: a machine's pace may be another one a minute later.
    Each load begins with as much work as the gateway takes on. At capacity it would have that by itself after
    so many requests as there are in the queue, squared: a walk at random takes that long.
    """
    first: Load | None = None
    rate = await _capacity(bench)
    for factor in factors:
        load = await _load(bench, rate, factor, first)
        after = await _capacity(bench)
        goodput = load.pictures_per_second / ((rate + after) / 2)
        print(
            f"  capacity {rate:.1f} before and {after:.1f} pictures/s after: goodput {goodput:.2f} of it",
            flush=True,
        )
        rate = after
        if first is None:
            first = load
            continue
        tail = load.p95 / first.p95
        for what, bar, got, holds in (
            ("goodput", ">= 0.9 of capacity", f"{goodput:.2f}", goodput >= GOODPUT),
            ("p95 of the admitted", "<= 1.2 of that at capacity", f"{tail:.2f}", tail <= TAIL),
            ("refusals, p95", "< 50 ms", f"{load.refused * 1e3:.0f} ms", load.refused < REFUSAL_SECONDS),
            ("memory", "flat, within 5 %", f"{load.growth:+.1%}", load.growth <= GROWTH),
            ("quick again", "within 2 s", f"{load.recovery:.2f} s", load.recovery <= RECOVERY_SECONDS),
        ):
            bench.check(f"{factor:g} x capacity: {what}", bar, got, holds)


async def _load(bench: Bench, rate: float, factor: float, first: Load | None) -> Load:
    before, cpu = bench.memory(), bench.cpu()
    fill = [_ask(bench, number) for number in range(math.ceil(1.2 * bench.queue_seconds * rate))]
    await asyncio.sleep(min(bench.seconds / 4, 0.5))
    tasks, chance = list[asyncio.Task[Answer]](), random.Random(1)
    began, at = time.perf_counter(), 0.0
    unfinished = [task for task in fill if not task.done()]
    while at < bench.seconds:
        await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
        tasks.append(_ask(bench, len(tasks)))
        at += chance.expovariate(factor * rate)
    made = ok(task.result() for task in (*unfinished, *tasks) if task.done())
    elapsed = time.perf_counter() - began
    recovery = await _recovery(bench)
    answers = await asyncio.gather(*tasks)
    pictures = len(ok([*answers, *await asyncio.gather(*fill)]))
    each = (bench.cpu() - cpu) / max(1, pictures) * 1e3
    admitted, turned_away, after = seconds_of(answers), refused(answers), bench.memory()
    load = Load(
        pictures_per_second=len(made) / elapsed,
        p95=percentile(admitted, 95),
        refused=percentile(turned_away, 95),
        growth=after / before - 1.0,
        recovery=recovery,
    )
    beside = f", p95 x{load.p95 / first.p95:.2f}" if first else ""
    print(
        f"{factor:g} x capacity: sent {len(answers)}, statuses {statuses(answers)}; "
        f"{load.pictures_per_second:.1f} pictures/s, {each:.1f} CPU ms each; admitted p50 / p95 "
        f"{in_ms(admitted)}"
        f"{beside}; refused p50 / p95 {in_ms(turned_away)}; memory {before:.0f} -> {after:.0f} MiB; "
        f"quick again after {recovery:.2f} s",
        flush=True,
    )
    return load


def _ask(bench: Bench, number: int) -> asyncio.Task[Answer]:
    """One request on a connection of its own, from the next address."""
    return asyncio.create_task(bench.ask(bench.size, ADDRESSES[number % len(ADDRESSES)]))


async def _recovery(bench: Bench) -> float:
    """Seconds until a picture of a new client takes no longer than three tiles and twice its time alone."""
    began = time.perf_counter()
    while True:
        answer = await bench.ask(bench.size, FRESH)
        quick = float(answer.headers.get("x-render-ms", "inf")) * 2e-3 + 3 * bench.tile_seconds
        if answer.status == OK and answer.seconds <= quick:
            return time.perf_counter() - began - answer.seconds
        await asyncio.sleep(0.01)


async def burst(bench: Bench) -> None:
    """A hundred in one tick, while the backlog is read from /metrics."""
    side, most = 2 * bench.size, 0.0
    connections, watcher = [Connection(bench.port) for _ in range(100)], Connection(bench.port)
    for connection in (*connections, watcher):
        await connection.open()
    asking = [asyncio.create_task(item.ask(bench.pictures.post(side))) for item in connections]
    while not all(task.done() for task in asking):
        text = (await watcher.ask(get("/metrics"))).body.decode()
        told = [line.split()[1] for line in text.splitlines() if line.startswith(f"{BACKLOG} ")]
        most = max(most, float(told[0]))
    answers = [task.result() for task in asking]
    for connection in (*connections, watcher):
        connection.close()
    last = max(seconds_of(answers), default=math.nan)
    print(
        f"burst of 100 of {side}x{side}: statuses {statuses(answers)}; refused p50 / p95 "
        f"{in_ms(refused(answers))}; reserved {most:.2f} s at most, the last admitted one took {last:.2f} s, "
        f"the budget is {bench.queue_seconds:g} s",
        flush=True,
    )
    bench.check(
        "burst of 100: reserved",
        f"<= {bench.queue_seconds:g} s",
        f"{most:.2f} s",
        0.0 < most <= bench.queue_seconds,
    )


async def retry_after(bench: Bench) -> None:
    """How long somebody who is refused has really to wait, behind work that nobody adds to."""
    found = [pair for _ in range(3) if (pair := await _told_and_waited(bench))]
    words = "; ".join(f"told {told} s, admitted after {waited:.1f} s" for told, waited in found)
    print(f"Retry-After: {words or 'nobody was refused'}", flush=True)
    off = max((abs(told - waited) for told, waited in found), default=math.inf)
    # A header's whole seconds, rounded up: under one, there is nothing to be exact about.
    near = [abs(told - waited) <= max(0.5 * waited, 1.0) for told, waited in found]
    bench.check(
        "Retry-After",
        "within half of the true wait, or 1 s",
        f"{off:.1f} s off at most" if found else "nobody was refused",
        bool(near) and all(near),
    )


async def _told_and_waited(bench: Bench) -> tuple[int, float] | None:
    """The Retry-After of the first large picture of many that is refused, and its true wait; None where all
    are admitted."""
    running: list[asyncio.Task[Answer]] = []
    try:
        while len(running) < MOST_LARGE:
            asking, refusal = await _ask_large(bench)
            if refusal is not None:
                return refusal.retry_after, await _wait_for_room(bench)
            running.append(asking)
        return None
    finally:
        await _leave(running)


async def _wait_for_room(bench: Bench) -> float:
    """Seconds until a large picture is admitted, which is then left."""
    began = time.perf_counter()
    while True:
        asking, refusal = await _ask_large(bench)
        if refusal is None:
            waited = time.perf_counter() - began - ADMITTED_SECONDS
            await _leave([asking])
            return waited
        await asyncio.sleep(ADMITTED_SECONDS)


async def _ask_large(bench: Bench) -> tuple[asyncio.Task[Answer], Answer | None]:
    """Ask for a large picture; with the refusal, where that comes."""
    asking = asyncio.create_task(bench.ask(bench.large))
    await asyncio.wait({asking}, timeout=ADMITTED_SECONDS)
    refused = asking.done() and asking.result().status == REFUSED
    return asking, asking.result() if refused else None


async def _leave(asking: list[asyncio.Task[Answer]]) -> None:
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await asyncio.sleep(0.3)
