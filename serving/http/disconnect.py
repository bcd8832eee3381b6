"""Cancels work whose client has left. FastAPI itself lets the handler of a departed client run to its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from serving.render.cancel import Cancel


@asynccontextmanager
async def cancelled_on_disconnect(receive: Receive, cancel: Cancel) -> AsyncIterator[None]:
    """Inside the `async with`, cancel as soon as `receive` says that the client has left.

    `receive` is a request's ASGI channel whose body has been read.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        cancel.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
