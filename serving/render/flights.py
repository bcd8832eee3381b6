"""Work that several wait for, and that is done once."""

import asyncio
import traceback
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from neurocity.errors import DeadlineExceededError, NeuroCityError
from serving.engines.base import seconds_left

Result = TypeVar("Result")

Start = Callable[["Flight[Result]"], Coroutine[Any, Any, Result]]


class Flight(Generic[Result]):
    """One piece of work, and those that wait for it.

    deadline: the latest of theirs, on the clock of `time.monotonic()`; None where one has none.
    """

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self.waiting: list[asyncio.Future[None]] = []
        self.task: asyncio.Task[Result]
        self._at_end: Callable[[], None] = _nothing

    def on_end(self, action: Callable[[], None]) -> None:
        """Have that done when the work has ended, in whatever way; also if it never got to its first step."""
        self._at_end = action

    def end(self) -> None:
        """For `Flights` alone. The action is done once; each call tells those that wait."""
        action, self._at_end = self._at_end, _nothing
        action()
        for landed in self.waiting:
            _tell(landed)

    def board(self, deadline: float | None) -> "asyncio.Future[None]":
        """One more waits, for what is given back: it is done when the work has ended."""
        landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(landed)
        if self.deadline is not None:
            self.deadline = None if deadline is None else max(self.deadline, deadline)
        return landed


class Flights(Generic[Result]):
    """The work under way, by what it is. Used from one event loop."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight[Result]] = {}

    async def join(self, key: Hashable, deadline: float | None, start: Start[Result]) -> Result:
        """The result of the work under way with that key, or else of what `start` begins.

        The work ends when the last one that waits is cancelled or has reached its deadline. Nothing is kept
        of it when it is done. `start` is called at once, and may raise in place of beginning.
        Raises DeadlineExceededError, and what the work raises.
        """
        left = seconds_left(deadline)
        joins = key in self._flights
        flight = self._flights.get(key) or self._begin(key, deadline, start)
        landed = flight.board(deadline)
        # Not `asyncio.wait`, which takes two more turns of the event loop.
        timer = None if left is None else landed.get_loop().call_later(left, _tell, landed)
        try:
            await landed
        finally:
            if timer is not None:
                timer.cancel()
            flight.waiting.remove(landed)
            done = flight.task.done()
            if not flight.waiting and not done:
                self._end(key, flight)
                flight.task.cancel()
        if not done:
            raise DeadlineExceededError("the render did not end before its deadline")
        try:
            return flight.task.result()
        except DeadlineExceededError:
            if not joins:
                raise
            self._end(key, flight)
        # What it called had the deadline of who began, which was sooner.
        return await self.join(key, deadline, start)

    def _begin(self, key: Hashable, deadline: float | None, start: Start[Result]) -> Flight[Result]:
        flight = Flight[Result](deadline)
        flight.task = asyncio.get_running_loop().create_task(_without_variables(start(flight), flight))
        self._flights[key] = flight
        flight.task.add_done_callback(partial(self._landed, key, flight))
        return flight

    def _landed(self, key: Hashable, flight: Flight[Result], task: asyncio.Task[Result]) -> None:
        self._end(key, flight)
        flight.end()
        if not task.cancelled():
            task.exception()  # so that asyncio does not report one that nobody waited for any more

    def _end(self, key: Hashable, flight: Flight[Result]) -> None:
        """Let the next one that asks begin anew."""
        if self._flights.get(key) is flight:
            del self._flights[key]


def _nothing() -> None:
    pass


def _tell(landed: "asyncio.Future[None]") -> None:
    if not landed.done():
        landed.set_result(None)


async def _without_variables(work: Coroutine[Any, Any, Result], flight: Flight[Result]) -> Result:
    """The result of the work; what it raises holds none of its variables.

    An exception's traceback holds the frames that it went through, with the arrays of the picture, and tasks
    and exceptions hold each other: all of it would stay until the collector's oldest generation runs. Only a
    failure that nobody foresaw keeps its traceback, for the log.
    """
    try:
        return await work
    except BaseException as error:
        foreseen = isinstance(error, asyncio.CancelledError | NeuroCityError)
        for found in _chain(error):
            traceback.clear_frames(found.__traceback__)
            if foreseen:
                found.__traceback__ = None
        raise
    finally:
        flight.end()  # here already: those that wait are told a turn of the event loop earlier


def _chain(error: BaseException) -> list[BaseException]:
    """The exception, and those that led to it."""
    chain: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        found = left.pop()
        if found is None or found in chain:
            continue
        chain.append(found)
        left += [found.__context__, found.__cause__]
        if isinstance(found, BaseExceptionGroup):
            left += found.exceptions
    return chain
