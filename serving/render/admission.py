"""How much work the gateway takes on: seconds of the engine, and bytes, reserved in the step that looks.

Each class of size (see `turns`) has a budget of seconds for what runs and what waits. A client may have up to
`SHARE` times what is free of it (dynamic thresholds: Choudhury and Hahne 1998), so that one that floods never
takes the place of others. An empty class takes anything.
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import count

from neurocity.errors import DeadlineExceededError, NeuroCityError
from serving.render.throughput import Throughput
from serving.render.turns import CLASSES, PATIENT, SHARES, Place

SHARE = 2.0
"""One client alone may have two thirds of a budget, two clients four fifths together."""

BYTES_PER_PIXEL = 64
"""What a picture takes while it is made and encoded: 53 to 57 were measured, by the format."""


SHARED_SECONDS = 1.0
"""How long clients count as there after they last had work: between two pictures, one has none."""


class OverloadedError(NeuroCityError):
    """The gateway has as much work as it takes on; the same request will be met later.

    retry_after_seconds: when there will be room for it, about.
    """

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = max(1, math.ceil(retry_after_seconds))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a gateway takes on.

    queue_seconds: of the engine's work, running or waiting, in each class of size.
    memory_bytes: for pictures that are being made, and answers that are being read.
    cache_bytes: for encoded pictures that are kept.
    """

    queue_seconds: float = 3.0
    memory_bytes: int = 2**30
    cache_bytes: int = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Work:
    """A picture that somebody asks for: whose, its class, its pixels and the seconds that it will take.

    certain: whether the seconds were measured lately.
    """

    client: Hashable
    size_class: int
    pixels: int
    seconds: float
    certain: bool

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return self.pixels * BYTES_PER_PIXEL


class Reservation:
    """A share of the budget, until `release`. seconds: what is left of it."""

    def __init__(self, admission: "Admission", work: Work, number: int) -> None:
        self.place = Place(work.size_class, work.client, number)
        self._admission = admission
        self.seconds, self._bytes = work.seconds, work.bytes
        self._released = False

    def done(self, seconds: float) -> None:
        """Give back what was done of it, such as a tile."""
        given = min(seconds, self.seconds)
        self.seconds -= given
        self._admission.did(given)
        self._admission.give_back(self.place, given, 0)

    def left(self) -> None:
        """A tile of it was begun, and left before its end."""
        self._admission.left()

    def release(self) -> None:
        """Give back what is left; later calls do nothing."""
        self._admission.give_back(self.place, self.seconds, self._bytes)
        self.seconds, self._bytes = 0.0, 0
        if not self._released:
            self._released = True
            self._admission.released(self.place)


class Admission:
    """Reserves work within a budget. Used from one event loop.

    How long work takes is known by what was done in a second lately (see `throughput`), beside whatever else
    was running.

    at_once: tiles that the engine renders at the same time. clock: gives seconds.
    """

    def __init__(self, budget: Budget, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._seconds: list[defaultdict[Hashable, float]] = [defaultdict(float) for _ in range(CLASSES)]
        self._totals = [0.0] * CLASSES
        """Of each class: to add up its clients' would take ever longer, the more there are."""
        self._bytes = 0
        self._open: Counter[Hashable] = Counter()
        self._several_at: dict[Hashable, float] = {}
        """When clients that have work last had several pictures at once."""
        self._numbers = count()
        self._clock = clock
        self._throughput = Throughput(at_once, clock)
        self._asked_at = self._shared_at = self._one_beside_others_at = -math.inf
        self._beside_smaller_at = [-math.inf] * PATIENT
        """When pictures of a class last had smaller ones beside them."""

    def is_shared(self) -> bool:
        """Whether several clients have work, or had a moment ago."""
        return self._clock() - self._shared_at < SHARED_SECONDS

    def waits_for_one(self, client: Hashable) -> bool:
        """Whether a client has no more than one picture under way or waiting, films aside."""
        return self._open.get(client, 0) <= 1

    def gives_way(self, place: Place) -> bool:
        """Whether a picture is to have the engine for a moment at a time, since somebody waits for another.

        Such as a smaller picture, its owner's too, or a single one of somebody else while its owner waits for
        several. Where all wait for the like, nobody would be sooner done. What nobody waits for gives way to
        all pictures.
        """
        latest = self._clock() - SHARED_SECONDS
        if place.size_class == PATIENT:
            return bool(self._open) or self._asked_at > latest
        smaller = any(self._seconds[: place.size_class])
        if smaller or self._beside_smaller_at[place.size_class] > latest:
            return True
        return self._one_beside_others_at > latest and not self.waits_for_one(place.client)

    def reserved_seconds(self) -> float:
        """Work that is running or waiting."""
        return sum(self._totals)

    def limit_seconds(self) -> float:
        """What each class of size may reserve: less than its budget where that takes longer than it says."""
        return self._budget.queue_seconds * self._throughput.share

    def queue_share(self) -> float:
        """What the fullest class has reserved, of what it may reserve; one picture may be more than all."""
        return max(self._totals) / self.limit_seconds()

    def reserve(self, work: Work, seconds_left: float | None) -> Reservation:
        """A share for the work, at once. seconds_left: until its deadline, or None.

        Raises OverloadedError when it must come again later, and DeadlineExceededError when it takes longer
        than its deadline allows even alone.
        """
        self._check_room(work)
        self._check_deadline(work, seconds_left)
        if self._bytes and self._bytes + work.bytes > self._budget.memory_bytes:
            wait = self._wait(self._totals[work.size_class], work.size_class)
            raise OverloadedError(
                f"pictures that are made or read take {self._bytes // 2**20} MiB, this one "
                f"{work.bytes // 2**20} more; the limit is {self._budget.memory_bytes // 2**20}",
                wait,
            )
        self._seconds[work.size_class][work.client] += work.seconds
        self._totals[work.size_class] += work.seconds
        self._bytes += work.bytes
        self._throughput.reserved(self.reserved_seconds())
        self._see(work)
        return Reservation(self, work, next(self._numbers))

    def reserved_bytes(self) -> int:
        """Memory of pictures that are being made, and of what is held."""
        return self._bytes

    def hold(self, size: int) -> None:
        """Count bytes that are there already; a negative number gives them back."""
        self._bytes += size

    def did(self, seconds: float) -> None:
        """For `Reservation` alone: so much was done of what was reserved."""
        self._throughput.did(seconds)

    def left(self) -> None:
        """For `Reservation` alone: a tile was left before its end."""
        self._throughput.left()

    def released(self, place: Place) -> None:
        """For `Reservation` alone: it has ended."""
        if place.size_class == PATIENT:
            return
        self._open[place.client] -= 1
        if not self._open[place.client]:
            del self._open[place.client]
            self._several_at.pop(place.client, None)

    def give_back(self, place: Place, seconds: float, size: int) -> None:
        """For `Reservation` alone."""
        clients = self._seconds[place.size_class]
        clients[place.client] -= seconds
        if clients[place.client] < 1e-9:  # what rounding leaves
            del clients[place.client]
        total = self._totals[place.size_class] - seconds
        self._totals[place.size_class] = max(total, 0.0) if clients else 0.0
        self._bytes -= size
        self._throughput.reserved(self.reserved_seconds())

    def _see(self, work: Work) -> None:
        """Note who is there."""
        now = self._clock()
        if work.size_class != PATIENT:
            self._open[work.client] += 1
            self._asked_at = now
            if self._open[work.client] > 1:
                self._several_at[work.client] = now
        if any(client != work.client for clients in self._seconds for client in clients):
            self._shared_at = now
        for number in range(max(1, work.size_class), PATIENT):
            if self._seconds[number] and any(self._seconds[:number]):
                self._beside_smaller_at[number] = now
        if len(self._open) > 1 and any(self._is_single(client, now) for client in self._open):
            self._one_beside_others_at = now

    def _is_single(self, client: Hashable, now: float) -> bool:
        """Whether a client waits for one picture, and does not merely have one left of several."""
        return self._open[client] == 1 and now - self._several_at.get(client, -math.inf) >= SHARED_SECONDS

    def _check_room(self, work: Work) -> None:
        """Raise OverloadedError unless the class is empty, or the client's part of what is free is enough."""
        total = self._totals[work.size_class]
        mine = self._seconds[work.size_class].get(work.client, 0.0)
        limit = self.limit_seconds()
        free = limit - total
        if total and (mine + work.seconds > SHARE * free or work.seconds > free):
            # All shrink alike while they are rendered: down to this total, it would have been admitted.
            enough = (SHARE * limit - work.seconds) / (SHARE + mine / total)
            enough = max(0.0, min(enough, limit - work.seconds))
            wait = self._wait(total - enough, work.size_class)
            raise OverloadedError(
                f"the gateway has {total:.1f} s of such work, of which {mine:.1f} s are this client's; "
                f"there is no room for {work.seconds:.2g} s more before {max(1, math.ceil(wait))} s",
                wait,
            )

    def _check_deadline(self, work: Work, seconds_left: float | None) -> None:
        if seconds_left is None:
            return
        own = work.seconds / self._throughput.per_second if work.certain else 0.0
        if own > seconds_left:
            raise DeadlineExceededError(
                f"{work.pixels} pixels takes {own:.1f} s, its deadline leaves {seconds_left:.1f} s; "
                "ask for fewer pixels or give it more time"
            )
        clients = self._seconds[work.size_class]
        share = clients.get(work.client, 0.0) + work.seconds
        before = sum(min(other, share) for client, other in clients.items() if client != work.client)
        wait = self._wait(before + clients.get(work.client, 0.0), work.size_class)
        if wait + own > seconds_left:
            raise OverloadedError(
                f"the picture's turn would end in {wait + own:.1f} s, its deadline leaves {seconds_left:.1f}",
                wait + own - seconds_left,
            )

    def _wait(self, seconds: float, size_class: int) -> float:
        """How long the engine takes for so much work of a class, beside the other classes."""
        others = sum(
            SHARES[number] for number, clients in enumerate(self._seconds) if clients and number != size_class
        )
        return seconds * (1 + others / SHARES[size_class]) / self._throughput.per_second
