"""Pictures are encoded in turns, as they are rendered: strips of one picture at a time, on all processors.

Whose turns they are is for the caller to say. In turns of their own, strips run beside the engine's calls and
keep the processors busy from one call to the next; in the engine's turns they are done sooner. A step that a
library does whole fills one processor for as long as it takes: where that is longer than a turn, it waits for
one of another kind, and runs beside the others.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from neurocity.pictures.steps import Piece, Steps, Whole
from neurocity.resources import available_processors
from serving.render.turns import Place, Ticket, Turns

Result = TypeVar("Result")


@dataclass(frozen=True)
class Encoders:
    """What the encodings of all pictures share.

    turns: that strips take. threads: that work on one picture in a turn. beside: turns of what runs beside.
    """

    turns: Turns
    threads: int
    beside: Turns = field(default_factory=lambda: Turns(max(1, available_processors() // 2)))


class Encoding:
    """The encoding of one picture. Used from one event loop.

    place: where it waits for turns. expected: processor seconds of all of it. turn_seconds: of a turn.
    seconds: processor seconds that it took so far.
    """

    def __init__(self, encoders: Encoders, place: Place, expected: float, turn_seconds: float) -> None:
        self._encoders, self._place = encoders, place
        self._expected, self._turn_seconds = expected, turn_seconds
        self._ticket: Ticket | None = None
        self.seconds = 0.0

    def ask(self) -> None:
        """Wait for a turn from now on, see `Turns.ask`; `run` takes it."""
        left = max(0.0, self._expected - self.seconds)
        seconds = min(self._turn_seconds, left / self._encoders.threads)
        self._ticket = self._encoders.turns.ask(self._place, seconds)

    def leave(self) -> None:
        """Wait for none any more."""
        if self._ticket is not None:
            self._encoders.turns.leave(self._ticket)
        self._ticket = None

    async def run(self, steps: Steps[Result]) -> Result:
        """What the work becomes.

        Cancelling the awaiting task drops the pieces that are left, and waits for those that have begun.
        """
        work = _Work(steps)
        try:
            while work.step is not None:
                if self._is_long(work.step):
                    self.leave()
                    async with self._encoders.beside.turn(self._place, self._expected):
                        await self._do(work, 1, math.inf)
                else:
                    await self._turn(work)
            return work.result
        finally:
            self.leave()

    async def _turn(self, work: "_Work[Any]") -> None:
        """Do what can be done in one turn, one piece at least, and ask for the next one before its end."""
        if self._ticket is None:
            self.ask()
        ticket = self._ticket
        assert ticket is not None
        async with self._encoders.turns.taken(ticket):
            ends = time.perf_counter() + self._turn_seconds
            while True:
                await self._do(work, self._encoders.threads, ends)
                if work.step is None or self._is_long(work.step):
                    break
                if time.perf_counter() >= ends:
                    return self.ask()
        self._ticket = None

    def _is_long(self, step: "_Step") -> bool:
        """Whether one processor has more to do than fits into a turn."""
        return step.whole and self._expected > self._turn_seconds

    async def _do(self, work: "_Work[Any]", threads: int, ends: float) -> None:
        """Do pieces of the step under way, and begin none after that instant of `time.perf_counter()`."""
        assert work.step is not None
        step = work.step
        running = asyncio.gather(
            *(asyncio.to_thread(step.work, ends) for _ in range(min(threads, step.left))),
            return_exceptions=True,
        )
        try:
            ended = await asyncio.shield(running)
        except asyncio.CancelledError:
            step.stopped = True
            await asyncio.shield(running)  # no thread can be stopped: until then the turn is not free
            raise
        for seconds in ended:
            if isinstance(seconds, BaseException):
                raise seconds
            self.seconds += seconds
        if not step.left:
            work.go_on()


class _Work(Generic[Result]):
    """Work and the step of it that is under way; None at its end, when the result is there."""

    def __init__(self, steps: Steps[Result]) -> None:
        self._steps = steps
        self.step: _Step | None = None
        self.result: Result
        self.go_on()

    def go_on(self) -> None:
        """Begin the next step; the one under way is done."""
        try:
            self.step = _Step(self._steps.send(self.step.results if self.step else None))  # type: ignore[arg-type]
        except StopIteration as end:
            self.step, self.result = None, end.value


class _Step:
    """The pieces of a step, which threads take one after the other.

    results: of the pieces, in their order. whole: whether it cannot be shared out.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._left = deque(enumerate(pieces))
        self.results: list[Any] = [None] * len(pieces)
        self.whole = isinstance(pieces, Whole)
        self.stopped = False

    @property
    def left(self) -> int:
        """Pieces that no thread has taken."""
        return len(self._left)

    def work(self, ends: float) -> float:
        """Do pieces, one at least, and begin none after that instant; gives the seconds that it took."""
        began = now = time.perf_counter()
        while not self.stopped and (now < ends or now == began):
            try:
                number, piece = self._left.popleft()
            except IndexError:
                break
            self.results[number] = piece()
            now = time.perf_counter()
        return now - began
