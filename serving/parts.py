"""Light that is computed in parts, some of them at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import cache

from neurocity.light import Light


async def in_parts(
    rays: int, parts: Iterable[slice], compute: Callable[[slice], Awaitable[Light]], at_once: int
) -> Light:
    """The light of so many rays, from that of each part of them.

    at_once: parts that are under way at the same time. The first that fails ends the others and is raised.
    Room for the whole is taken when the first part is there: what waits takes none.
    """
    left = iter(parts)
    room = cache(lambda: Light.empty(rays))

    async def work() -> None:
        for part in left:
            light = await compute(part)
            for target, values in zip(room(), light, strict=True):
                target[part] = values

    if at_once == 1:
        await work()
        return room()
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return room()
