"""Whose tile the engine renders next.

Pictures are in three classes of size, and a fourth has those that nobody waits for at this moment, such as
the frames of a film. The classes with waiting tiles take turns by time, so that a small picture never waits
for more than two tiles of a large one, and a large one never for all small ones; the fourth has a smaller
share. Inside a class, clients take turns by time (start-time fair queueing: Goyal, Vin and Cheng 1996), and
one that waits for a single picture, as people do, has a larger share. Inside a client's class, the picture
that was asked for first is finished first, so that few are under way.
"""

import asyncio
import heapq
import math
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Hashable
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


@dataclass(eq=False)
class Ticket:
    """A turn that somebody waits for, or has.

    seconds: it takes, about. told: done when its owner may begin. began: when its turn began, on the clock of
    `time.perf_counter()`; of one that was told early, infinite until then.
    queue: where what it does waits for what others do, in the order of beginning; None for nowhere.
    left: whether nobody wants it any more.
    """

    place: Place
    seconds: float
    told: asyncio.Future[None]
    queue: Hashable | None = None
    began: float = math.inf
    left: bool = False


_Entry = tuple[int, int, Ticket]
"""Number of the picture and of the entry, which sort a flow."""


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

    def discard(self, key: Hashable, ticket: Ticket) -> None:
        """Take out what nobody waits for any more, unless its turn came in the same moment."""
        flow = self._flows.get(key)
        entry = next((entry for entry in flow.waiting if entry[-1] is ticket), None) if flow else None
        if flow is None or entry is None:
            return
        flow.waiting.remove(entry)
        heapq.heapify(flow.waiting)
        self.waiting -= 1
        self._forget()

    def first(self) -> Ticket:
        """What is next."""
        return self._next_flow().waiting[0][-1]

    def pop(self) -> Ticket:
        """What is next, charged to its flow."""
        flow = self._next_flow()
        picture, _, ticket = heapq.heappop(flow.waiting)
        self.waiting -= 1
        self._now = flow.given
        several = any(other[0] != picture for other in flow.waiting)
        flow.given += ticket.seconds if several else ticket.seconds / SINGLE_SHARE
        self._forget()
        return ticket

    def _next_flow(self) -> _Flow:
        waiting = [flow for flow in self._flows.values() if flow.waiting]
        return min(waiting, key=lambda flow: flow.given)

    def _forget(self) -> None:
        """Drop flows that would come back as new ones, so that they do not become ever more."""
        if not self.waiting:
            self._now = max(flow.given for flow in self._flows.values())
        self._flows = {
            key: flow for key, flow in self._flows.items() if flow.waiting or flow.given > self._now
        }


class Turns:
    """Gives out `at_once` turns at the same time; see the module's text. Used from one event loop.

    early: whether who is the next one at a place may be told before there is a turn for it, so that its work
    waits where it is done, and not for the event loop. One at a time is, behind work of the same queue alone;
    a newcomer comes behind it.
    """

    def __init__(self, at_once: int, early: Callable[[Place], bool] = lambda _: False) -> None:
        self._at_once = at_once
        self._running: set[Ticket] = set()
        self._early = early
        self._told_early: Ticket | None = None
        self._queues = [_FairQueue() for _ in range(CLASSES)]
        self._given = [0.0] * CLASSES
        self._now = 0.0
        self._entries = count()

    def ask(self, place: Place, seconds: float, queue: Hashable | None = None) -> Ticket:
        """Wait for a turn from now on, which is for `taken`, or else for `leave`; see `Ticket`.

        Who has a turn and wants another asks before the end of the first: else it goes to somebody else.
        """
        number, rivals = place.size_class, self._queues[place.size_class]
        if not rivals.waiting:
            self._given[number] = max(self._given[number], self._now)
        ticket = Ticket(place, seconds, asyncio.get_running_loop().create_future(), queue)
        rivals.add(place.client, (place.number, next(self._entries), ticket))
        self._hand_out()
        return ticket

    @asynccontextmanager
    async def taken(self, ticket: Ticket) -> AsyncIterator[None]:
        """Inside the `async with`, it is this picture's turn, or it was told early.

        Who is cancelled while it waits has left the queue.
        """
        try:
            await ticket.told
            yield
        finally:
            self.leave(ticket)

    @asynccontextmanager
    async def turn(self, place: Place, seconds: float) -> AsyncIterator[None]:
        """See `ask` and `taken`."""
        async with self.taken(self.ask(place, seconds)):
            yield

    def leave(self, ticket: Ticket) -> None:
        """Give back a turn, or want none any more; later calls do nothing."""
        if ticket.left:
            return
        ticket.left = True
        if not ticket.told.done() or ticket.told.cancelled():
            ticket.told.cancel()
            self._queues[ticket.place.size_class].discard(ticket.place.client, ticket)
            return
        if ticket is self._told_early:  # it has used nothing
            self._told_early = None
            self._given[ticket.place.size_class] -= _charge(ticket)
        else:
            self._running.discard(ticket)
            if self._told_early is not None:
                self._begin(self._told_early)
                self._told_early = None
        self._hand_out()

    def waiting(self) -> int:
        """Tiles that wait."""
        return sum(queue.waiting for queue in self._queues)

    def _hand_out(self) -> None:
        while (free := len(self._running) < self._at_once) or self._told_early is None:
            waiting = [number for number, queue in enumerate(self._queues) if queue.waiting]
            if not waiting:
                return
            number = min(waiting, key=self._given.__getitem__)
            if not free and not self._may_be_early(self._queues[number].first()):
                return
            ticket = self._queues[number].pop()
            if ticket.told.done():  # it has left, in this moment
                continue
            self._now = self._given[number]
            self._given[number] += _charge(ticket)
            if free:
                self._begin(ticket)
            else:
                self._told_early = ticket
            ticket.told.set_result(None)

    def _begin(self, ticket: Ticket) -> None:
        ticket.began = time.perf_counter()
        self._running.add(ticket)

    def _may_be_early(self, ticket: Ticket) -> bool:
        queues = {running.queue for running in self._running}
        return ticket.queue is not None and queues == {ticket.queue} and self._early(ticket.place)


def _charge(ticket: Ticket) -> float:
    """What a turn counts for its class."""
    return ticket.seconds / SHARES[ticket.place.size_class]
