"""Waiting in tests: for what comes, and no fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 120.0
"""Seconds after which a test takes for lost what it waits for. It never waits so long unless something is
broken: a machine that is busy with other work needs many times what an idle one does."""


def wait_for(condition: Callable[[], Found], seconds: float = PATIENCE) -> Found:
    """What `condition()` is when it is true at last."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.01)
    return found


async def until(condition: Callable[[], object]) -> None:
    """The same where another task of this event loop does it."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def once(attempt: Callable[[], Awaitable[bool]], tries: int = 20) -> bool:
    """Whether `attempt()` is true once: it compares times, which other work on the machine makes longer."""
    for _ in range(tries):
        if await attempt():
            return True
    return False
