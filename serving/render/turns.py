"""Whose tile the engine renders next.

Pictures are in three classes of size, and a fourth has those that nobody waits for at this moment, such as
the frames of a film. The classes with waiting tiles take turns by time, so that a small picture never waits
for more than a tile of a large one, and a large one never for all small ones; the fourth has a smaller share.
Inside a class, clients take turns by time (start-time fair queueing: Goyal, Vin and Cheng 1996), and one that
waits for a single picture, as people do, has a larger share. Inside a client's class, the picture that was
asked for first is finished first, so that few are under way.
"""

import asyncio
import heapq
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

CLASS_TILES = (1, 16)
"""The most tiles of a picture of the first class and of the second; the third has the others."""

PATIENT = len(CLASS_TILES) + 1
"""The class of what nobody waits for at this moment."""

SHARES = (1.0, 1.0, 1.0, 1 / 8)
"""Of the engine's time, of each class that has waiting tiles."""

CLASSES = len(SHARES)

SINGLE_SHARE = 8.0
"""The share of a client that waits for one picture, in shares of one that waits for several."""


def size_class(tiles: int) -> int:
    """The class of a picture of so many tiles."""
    return bisect_left(CLASS_TILES, tiles)


@dataclass(frozen=True, eq=False)
class Place:
    """Where the tiles of one picture wait. number: of the picture, in the order of asking."""

    size_class: int
    client: Hashable
    number: int


_Entry = tuple[int, int, float, "asyncio.Future[float]"]
"""Number of the picture and of the entry, which sort a flow; seconds; who is told when its turn began."""


@dataclass(eq=False)
class Ticket:
    """A turn that somebody waits for, or has. left: whether nobody does any more."""

    place: Place
    entry: _Entry
    left: bool = False


@dataclass
class _Flow:
    """What waits of one client, and the engine's seconds that it was given, on the scale of its rivals."""

    given: float = 0.0
    waiting: list[_Entry] = field(default_factory=list)


class _FairQueue:
    """Flows of which the one that was given least is the next."""

    def __init__(self) -> None:
        self._flows: dict[Hashable, _Flow] = {}
        self._now = 0.0
        self.waiting = 0

    def add(self, key: Hashable, entry: _Entry) -> None:
        flow = self._flows.setdefault(key, _Flow())
        if not flow.waiting:  # who was away does not catch up
            flow.given = max(flow.given, self._now)
        heapq.heappush(flow.waiting, entry)
        self.waiting += 1

    def discard(self, key: Hashable, entry: _Entry) -> None:
        """Take out what nobody waits for any more, unless its turn came in the same moment."""
        flow = self._flows.get(key)
        if flow is None or entry not in flow.waiting:
            return
        flow.waiting.remove(entry)
        heapq.heapify(flow.waiting)
        self.waiting -= 1
        self._forget()

    def pop(self) -> _Entry:
        """What is next, charged to its flow."""
        waiting = [flow for flow in self._flows.values() if flow.waiting]
        flow = min(waiting, key=lambda flow: flow.given)
        entry = heapq.heappop(flow.waiting)
        self.waiting -= 1
        self._now = flow.given
        several = any(other[0] != entry[0] for other in flow.waiting)
        flow.given += entry[2] if several else entry[2] / SINGLE_SHARE
        self._forget()
        return entry

    def _forget(self) -> None:
        """Drop flows that would come back as new ones, so that they do not become ever more."""
        if not self.waiting:
            self._now = max(flow.given for flow in self._flows.values())
        self._flows = {
            key: flow for key, flow in self._flows.items() if flow.waiting or flow.given > self._now
        }


class Turns:
    """Gives out `at_once` turns at the same time; see the module's text. Used from one event loop."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._queues = [_FairQueue() for _ in range(CLASSES)]
        self._given = [0.0] * CLASSES
        self._now = 0.0
        self._entries = count()

    def ask(self, place: Place, seconds: float) -> "Ticket":
        """Wait for a turn from now on, which is for `taken`, or else for `leave`. seconds: it takes, about.

        Who has a turn and wants another asks before the end of the first: else it goes to somebody else.
        """
        number, queue = place.size_class, self._queues[place.size_class]
        if not queue.waiting:
            self._given[number] = max(self._given[number], self._now)
        entry = (place.number, next(self._entries), seconds, asyncio.get_running_loop().create_future())
        queue.add(place.client, entry)
        self._hand_out()
        return Ticket(place, entry)

    @asynccontextmanager
    async def taken(self, ticket: "Ticket") -> AsyncIterator[float]:
        """Inside the `async with`, it is this picture's turn.

        Gives when the turn began, on the clock of `time.perf_counter()`: earlier than its owner knew, where
        the event loop is busy. Who is cancelled while it waits has left the queue.
        """
        try:
            yield await self.begun(ticket)
        finally:
            self.leave(ticket)

    async def begun(self, ticket: "Ticket") -> float:
        """When the turn began, as soon as it has; whoever waits gives it back by `taken` or `leave`."""
        return await ticket.entry[-1]

    @asynccontextmanager
    async def turn(self, place: Place, seconds: float) -> AsyncIterator[float]:
        """See `ask` and `taken`."""
        async with self.taken(self.ask(place, seconds)) as began:
            yield began

    def leave(self, ticket: "Ticket") -> None:
        """Give back a turn, or want none any more; later calls do nothing."""
        if ticket.left:
            return
        ticket.left = True
        *_, future = ticket.entry
        if future.done() and not future.cancelled():
            self._free += 1
            self._hand_out()
        else:
            future.cancel()
            self._queues[ticket.place.size_class].discard(ticket.place.client, ticket.entry)

    def waiting(self) -> int:
        """Tiles that wait."""
        return sum(queue.waiting for queue in self._queues)

    def _hand_out(self) -> None:
        while self._free:
            waiting = [number for number, queue in enumerate(self._queues) if queue.waiting]
            if not waiting:
                return
            number = min(waiting, key=self._given.__getitem__)
            *_, seconds, future = self._queues[number].pop()
            self._now = self._given[number]
            self._given[number] += seconds / SHARES[number]
            if not future.done():  # else it has left, in this moment
                self._free -= 1
                future.set_result(time.perf_counter())
