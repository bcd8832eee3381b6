"""Those who leave before they are answered, and those who ask for the same."""

import asyncio

from benchmarks.load.bench import Bench, statuses
from benchmarks.load.client import Connection

LEAVE, STOPPED = 100, 95
IDLE_SHARE = 0.25
"""Of one processor, at most, where no render is running any more."""


async def departed(bench: Bench) -> None:
    """A hundred ask for a large picture, one after the other, and leave while it is rendered.

    Each must be at an end a tile's time later: then the gateway takes next to no processor time.
    """
    number = LEAVE if bench.seconds >= 1 else 5
    memory, stopped, window = bench.memory(), 0, max(0.1, bench.tile_seconds)
    for _ in range(number):
        task = asyncio.create_task(bench.ask(bench.large))
        await asyncio.sleep(3 * bench.tile_seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(bench.tile_seconds)
        cpu = bench.cpu()
        await asyncio.sleep(window)
        stopped += bench.cpu() - cpu <= IDLE_SHARE * window
    cpu = bench.cpu()
    await asyncio.sleep(1.0)
    idle = bench.cpu() - cpu
    print(
        f"{number} leave renders of {bench.large}x{bench.large}: {stopped} stop within a tile's time; "
        f"then {idle:.2f} CPU s in a second; memory {memory:.0f} -> {bench.memory():.0f} MiB",
        flush=True,
    )
    enough = stopped * LEAVE >= STOPPED * number
    bench.check(
        "departed renders that stop within a tile", f"{STOPPED} of {LEAVE}", f"{stopped} of {number}", enough
    )
    bench.check("processor time after they left", "idle", f"{idle:.2f} s in a second", idle <= 0.1)


async def equal(bench: Bench) -> None:
    """A hundred ask for the same picture at once."""
    request = bench.pictures.post(bench.large, number=10**6)
    one = bench.cpu()
    await bench.ask(bench.large)
    one, cpu = bench.cpu() - one, bench.cpu()
    connections = [Connection(bench.port) for _ in range(100)]
    answers = await asyncio.gather(*(item.ask(request) for item in connections))
    for connection in connections:
        connection.close()
    renders = {answer.headers.get("x-render-ms") for answer in answers}
    print(
        f"100 equal requests: statuses {statuses(answers)}, {len(renders)} renders, "
        f"{bench.cpu() - cpu:.2f} CPU s; one alone {one:.2f}",
        flush=True,
    )
    bench.check("100 equal requests", "1 render", f"{len(renders)}", len(renders) == 1)
