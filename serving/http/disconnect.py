"""Cancels work whose client has left. FastAPI itself lets the handler of a departed client run to its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from serving.render.cancel import Cancel

MOMENT_SECONDS = 0.005
"""A client that leaves at once is noticed after that."""


@asynccontextmanager
async def cancelled_on_disconnect(receive: Receive, cancel: Cancel) -> AsyncIterator[None]:
    """Inside the `async with`, cancel as soon as `receive` says that the client has left.

    `receive` is a request's ASGI channel whose body has been read.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        cancel.cancel()

    watchers: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    # What is done in a moment, or refused, or kept, needs no watcher: a task, and turns of the event loop.
    start = loop.call_later(MOMENT_SECONDS, lambda: watchers.append(loop.create_task(watch())))
    try:
        yield
    finally:
        start.cancel()
        for watcher in watchers:
            watcher.cancel()  # and not awaited: that it ends is sure, and takes turns of the event loop
