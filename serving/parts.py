"""Light that is computed in parts, some of them at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from neurocity.light import Light


async def fill_in_parts(
    whole: Light, parts: Iterable[slice], compute: Callable[[slice], Awaitable[Light]], at_once: int
) -> None:
    """Put the light of each part of `whole` [R] into its place.

    at_once: parts that are under way at the same time. The first that fails ends the others and is raised.
    """
    left = iter(parts)

    async def work() -> None:
        for part in left:
            for target, values in zip(whole, await compute(part), strict=True):
                target[part] = values

    if at_once == 1:
        await work()
        return
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
