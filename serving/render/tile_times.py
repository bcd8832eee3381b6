"""When the tiles of a picture were rendered, for its trace."""

import time

from serving.spans import Span

MOST_SPANS = 16
"""Tiles of a picture that are spans of their own. Those of a larger picture are events of one span."""


class TileTimes:
    """Of one picture, from when it was asked for. Instants of `time.perf_counter()`."""

    def __init__(self) -> None:
        self._asked = time.perf_counter()
        self._tiles: list[tuple[float, float]] = []

    def add(self, begin: float, end: float) -> None:
        """A tile had its turn then."""
        self._tiles.append((begin, end))

    def trace(self, span: Span) -> None:
        """Tell how long the picture waited for its first turn, and when it had its tiles until now."""
        now = time.perf_counter()
        first = min((begin for begin, _ in self._tiles), default=now)
        span.past("queue", self._asked, first)
        if not self._tiles:
            return
        last, count = max(end for _, end in self._tiles), len(self._tiles)
        if count > MOST_SPANS:
            span.past("tiles", first, last, [("tile", end) for _, end in self._tiles], count=count)
            return
        tiles = span.past("tiles", first, last, count=count)
        for begin, end in self._tiles:
            tiles.past("tile", begin, end)
