"""When work for a picture is given up: at its deadline, or because nobody waits for it any more."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from neurocity.errors import NeuroCityError

Result = TypeVar("Result")

_NOBODY = "nobody waits for this render any more"


class RenderCancelledError(NeuroCityError):
    """Whoever asked for a picture has left; nobody reads the answer."""


class Cancel:
    """A deadline, and a switch that ends the work that runs under it. Used from one event loop.

    One `Cancel` is made for each thing that somebody waits for: a request, a frame, a whole video.

    deadline: instant on the clock of `time.monotonic()`, or None.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self._cancelled = False
        self._running: list[asyncio.Task[Any]] = []

    @classmethod
    def after(cls, seconds: float) -> "Cancel":
        """One whose deadline is that far from now."""
        return cls(time.monotonic() + seconds)

    def cancel(self) -> None:
        """End what runs under this, and whatever is started under it later."""
        if not self._cancelled:
            self._cancelled = True
            for task in self._running:
                task.cancel()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`. Raises RenderCancelledError after `cancel`, or what `work` raises.

        It runs in its caller's task, as under `asyncio.timeout`: a task of its own would take longer than a
        small picture's way through the gateway ought to.
        """
        if self._cancelled:
            work.close()
            raise RenderCancelledError(_NOBODY)
        task = asyncio.current_task()
        assert task is not None
        self._running.append(task)
        try:
            return await work
        except asyncio.CancelledError:
            if self._cancelled and task.cancelling() == 1:  # by nobody else
                raise RenderCancelledError(_NOBODY) from None
            raise
        finally:
            self._running.remove(task)
            if self._cancelled:
                task.uncancel()
