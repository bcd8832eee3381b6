"""What the in-process engines share: blocking calls on threads, with deadline and cancellation, in tiles."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from neurocity.errors import DeadlineExceededError
from serving.engines.base import Float32, RenderedRays

Result = TypeVar("Result")


class CallThreads:
    """Threads that run calls one after the other, so that the event loop never blocks."""

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(
        self, call: Callable[[], Result], deadline: float | None, abandon: Callable[[], None] | None = None
    ) -> Result:
        """The result of `call` from a thread.

        When the deadline passes or the awaiting task is cancelled, a waiting call is dropped; for a running
        one `abandon` is called, which should make it end soon. Raises DeadlineExceededError, or what `call`
        raises.
        """
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceededError("the deadline of the render has passed")
        future = self._executor.submit(call)
        try:
            async with asyncio.timeout(left) as limit:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if limit.expired():
                raise DeadlineExceededError("the render did not end before its deadline") from None
            raise
        finally:
            if not future.done() and not future.cancel() and abandon is not None:
                abandon()

    def close(self) -> None:
        """Wait for the running calls and end the threads; waiting calls are dropped."""
        self._executor.shutdown(cancel_futures=True)


async def render_in_tiles(
    render_tile: Callable[[Float32, Float32], Awaitable[RenderedRays]],
    rays_per_call: int,
    ray_origins: Float32,
    ray_directions: Float32,
) -> RenderedRays:
    """Light of R rays by calls of `render_tile` with at most `rays_per_call` of them, one after the other."""
    rays = len(ray_origins)
    whole = RenderedRays(
        np.empty((rays, 3), np.float32), np.empty(rays, np.float32), np.empty(rays, np.float32)
    )
    for start in range(0, rays, rays_per_call):
        tile = slice(start, start + rays_per_call)
        part = await render_tile(ray_origins[tile], ray_directions[tile])
        for target, values in zip(whole, part, strict=True):
            target[tile] = values
    return whole
