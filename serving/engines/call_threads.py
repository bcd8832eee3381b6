"""Calls on threads, so that the event loop never blocks."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from neurocity.errors import DeadlineExceededError
from serving.engines.base import seconds_left

Result = TypeVar("Result")


class CallThreads:
    """A number of threads; calls wait for one in their order."""

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def close(self) -> None:
        """End when what runs has ended; what waits is dropped. Blocks."""
        self._threads.shutdown(cancel_futures=True)

    async def call(
        self, call: Callable[[], Result], deadline: float | None, abandon: Callable[[], None] | None
    ) -> Result:
        """The result of `call`.

        When the deadline passes or the awaiting task is cancelled, a waiting call is dropped; a running one
        is abandoned. Raises DeadlineExceededError, or what `call` raises.
        """
        left = seconds_left(deadline)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        calls = [call]

        def next_call() -> Result:
            return calls.pop()()

        future = self._threads.submit(next_call)
        future.add_done_callback(lambda _: _wake(loop, ended))
        # Neither `asyncio.wait_for`, which takes two more turns of the event loop, nor `asyncio.timeout`: it
        # holds its task, and so an ended render's arrays.
        timer = None if left is None else loop.call_later(left, _tell, ended)
        try:
            await ended
        finally:
            if timer is not None:
                timer.cancel()
            done = future.done()
            if not done and future.cancel():
                calls.clear()  # it stays in the queue until its turn would be, its arrays need not
            elif not done and abandon is not None:
                abandon()
        if not done:
            raise DeadlineExceededError("the render did not end before its deadline")
        return future.result()


def _wake(loop: asyncio.AbstractEventLoop, ended: "asyncio.Future[None]") -> None:
    """From a thread: tell who waits, unless the loop has ended meanwhile."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_tell, ended)


def _tell(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)
