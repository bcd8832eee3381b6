"""Blocking calls on threads, with deadline and cancellation."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from neurocity.errors import DeadlineExceededError
from serving.engines.base import seconds_left

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
        left = seconds_left(deadline)
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
