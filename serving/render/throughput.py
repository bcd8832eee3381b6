"""How much of the work that was reserved is done in a second, while there is enough of it.

A tile's time is measured from the beginning of its turn. What happens between turns, and on processors that
something else keeps busy meanwhile, is in no tile's time; it is in this.
"""

import math
from collections.abc import Callable

BACKLOG_SECONDS = 0.1
"""Work for which there is always a turn to give. With less, turns wait for clients and not for processors."""

MEMORY_SECONDS = 3.0
"""Of a backlog: after so many the average has come to two thirds of what is new."""

LEAST_SHARE = 0.25
"""Of what was expected: less is not believed."""


class Throughput:
    """A moving average. Used from one event loop.

    expected: seconds of work that are done in a second, by the number of turns at the same time: the first
    guess, and the most that is believed. clock: gives seconds.
    """

    def __init__(self, expected: float, clock: Callable[[], float]) -> None:
        self._expected, self._clock = expected, clock
        self._done = 0.0
        self._since: float | None = None
        self._ended = False
        self.per_second = expected

    @property
    def share(self) -> float:
        """What is done, of what was expected."""
        return self.per_second / self._expected

    def did(self, seconds: float) -> None:
        """So much of the reserved work was done; `reserved` follows, with what is left."""
        if self._since is not None:
            self._done += seconds
            self._ended = True

    def left(self) -> None:
        """A tile was left before its end: nobody knows how much of it was done, so it does not count."""
        if self._since is not None:
            self._done, self._since = 0.0, self._clock()

    def reserved(self, seconds: float) -> None:
        """Work is reserved that takes so long, all of it together."""
        now = self._clock()
        if self._since is not None and self._ended:  # between two ends nobody knows how much is done
            elapsed = now - self._since
            if elapsed >= BACKLOG_SECONDS or seconds < BACKLOG_SECONDS:
                self._learn(elapsed)
                self._since = now
        self._ended = False
        if seconds < BACKLOG_SECONDS:
            self._done, self._since = 0.0, None
        elif self._since is None:
            self._since = now

    def _learn(self, elapsed: float) -> None:
        if elapsed > 0:
            weight = -math.expm1(-elapsed / MEMORY_SECONDS)
            self.per_second += weight * (self._done / elapsed - self.per_second)
            self.per_second = max(LEAST_SHARE * self._expected, min(self._expected, self.per_second))
        self._done = 0.0
