"""Clients beside greedier ones, and small pictures beside large ones."""

import asyncio
import statistics
import time
from functools import partial

from benchmarks.load.bench import Bench, in_ms, ok, percentile, seconds_of, statuses
from benchmarks.load.client import ADDRESSES, Answer, Connection, get

BESIDE_MANY, TILES = 1.5, 3.0


async def many_beside_one(bench: Bench) -> None:
    """A client of one connection, alone and beside one of twenty."""
    seconds, size = bench.seconds / 2, bench.size
    alone = seconds_of(await bench.closed_loop(size, 1, seconds, ADDRESSES[1:2]))
    many, one = await asyncio.gather(
        bench.closed_loop(size, 20, seconds, ADDRESSES[:1]),
        bench.closed_loop(size, 1, seconds, ADDRESSES[1:2]),
    )
    beside = seconds_of(one)
    times = percentile(beside, 95) / percentile(alone, 95)
    share = len(beside) / max(1, len(beside) + len(ok(many)))
    print(
        f"one connection: p50 / p95 {in_ms(alone)} alone, {in_ms(beside)} beside twenty of another, "
        f"p95 x{times:.2f}; it has {share:.0%} of the pictures, the twenty {in_ms(seconds_of(many))}",
        flush=True,
    )
    bench.check("one connection beside twenty, p95", "<= 1.5 of alone", f"{times:.2f}", times <= BESIDE_MANY)


async def cheap_beside_many(bench: Bench) -> None:
    """Descriptions of the scene, which no budget counts: for a client of one connection, alone and beside one
    of two hundred."""
    seconds, described = bench.seconds / 4, partial(get, f"/v1/scenes/{bench.pictures.scene}")
    alone = await bench.closed_loop_of(described, 1, seconds, ADDRESSES[1:2])
    many, one = await asyncio.gather(
        bench.closed_loop_of(described, 200, seconds, ADDRESSES[:1]),
        bench.closed_loop_of(described, 1, seconds, ADDRESSES[1:2]),
    )
    print(
        f"descriptions: p50 / p95 {in_ms(seconds_of(alone))} for one connection alone, "
        f"{in_ms(seconds_of(one))} beside two hundred of another, which take {in_ms(seconds_of(many))}; "
        f"{(len(one) + len(many)) / seconds:.0f}/s together",
        flush=True,
    )


async def small_beside_large(bench: Bench) -> None:
    """8x8 pictures of the same client beside large ones."""
    alone = await bench.closed_loop(8, 1, bench.seconds / 5, ADDRESSES[:1])
    large = asyncio.create_task(bench.closed_loop(bench.large, 2, bench.seconds, ADDRESSES[:1]))
    await asyncio.sleep(0.1)
    beside: list[Answer] = []
    connection, end = Connection(bench.port), time.perf_counter() + bench.seconds - 0.1
    while time.perf_counter() < end:
        beside.append(await connection.ask(bench.pictures.post(8)))
        await asyncio.sleep(0.01)
    connection.close()
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)
    waits = [seconds - statistics.median(seconds_of(alone)) for seconds in seconds_of(beside)]
    tiles, most = percentile(waits, 95) / bench.tile_seconds, max(waits) / bench.tile_seconds
    print(
        f"8x8: p50 / p95 {in_ms(seconds_of(alone))} alone, beside {bench.large}x{bench.large} "
        f"{in_ms(seconds_of(beside))} ({statuses(beside)}); waits {tiles:.1f} tiles' time at p95, "
        f"{most:.1f} at most (a tile {bench.tile_seconds * 1e3:.0f} ms)",
        flush=True,
    )
    bench.check(
        f"8x8 beside {bench.large}x{bench.large}, p95", "within 3 tiles' time", f"{tiles:.1f}", tiles <= TILES
    )
