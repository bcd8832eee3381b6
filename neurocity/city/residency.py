"""Which models of cities are in memory: those that were used last, within a number of bytes.

A picture holds what it renders until its end. What does not fit beside that is loaded for it and not kept, so
that memory exceeds the limit by the models that are at work, one for each thread that renders or loads.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self

from neurocity.city.loading import LoadQueue, Task, Urgency
from neurocity.city.manifest import Cell
from neurocity.errors import NeuroCityError
from neurocity.kernels.voxels import VoxelScene

RETRY_SECONDS: Final = 30.0
"""For which a model that could not be loaded is not tried again."""

SHOWN_SECONDS: Final = 0.5
"""What was used within this makes no room for what a picture was shown without: the picture shows it."""
RECENT_SECONDS: Final = 2.0
"""Likewise for what may never be used."""

LOADERS: Final = 2
"""Models that are loaded at the same time."""

FIRST_SECONDS_PER_BYTE: Final = 5e-9
"""Of a load, until there was one."""
WEIGHT: Final = 0.2
"""Of a new load in the moving average."""


@dataclass(frozen=True)
class Loaded:
    """A model that is in memory: its scenes by cell, and their bytes."""

    scenes: Mapping[Cell, VoxelScene]
    bytes: int


@dataclass(frozen=True)
class Want:
    """A model that may be loaded.

    key: equal for what is the same in memory. name: for people. bytes: of its file.
    """

    key: str
    name: str
    bytes: int
    load: Callable[[], Loaded] = field(compare=False)


@dataclass
class Counts:
    """What happened so far. failures: loads that failed. seconds: that loads took."""

    loads: int = 0
    hits: int = 0
    evicted: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass
class _Kept:
    loaded: Loaded
    used_at: float
    holds: int = 0


class Residency:
    """Models by key. May be used from any thread."""

    def __init__(self, limit_bytes: int, failed: Callable[[str, str], None] = lambda *_: None) -> None:
        """failed: is told the name of a model that could not be loaded, and why, on the load's thread."""
        self.limit_bytes = limit_bytes
        self._tell_failed = failed
        self.counts = Counts()
        self.bytes = 0
        """Of what is kept."""
        self._kept: dict[str, _Kept] = {}
        self._sizes: dict[str, int] = {}
        self._failures: dict[str, tuple[float, str]] = {}
        """When a model is tried again, and why it could not be loaded."""
        self._users: Counter[str] = Counter()
        self._seconds_per_byte = FIRST_SECONDS_PER_BYTE
        self._lock = threading.RLock()
        self._queue = LoadQueue[Loaded](LOADERS, self._has_room)

    @property
    def models(self) -> int:
        """How many are in memory."""
        return len(self._kept)

    def kept(self, keys: Iterable[str]) -> tuple[int, int]:
        """How many of these are in memory, and their bytes."""
        with self._lock:
            found = [self._kept[key].loaded.bytes for key in keys if key in self._kept]
        return len(found), sum(found)

    def has(self, key: str) -> bool:
        """Whether a model is in memory."""
        return key in self._kept

    def failed(self, key: str) -> bool:
        """Whether a model could not be loaded a short time ago."""
        return self.failure(key) is not None

    def failure(self, key: str) -> str | None:
        """Why a model could not be loaded a short time ago; None where that was not so."""
        retry_at, reason = self._failures.get(key, (0.0, ""))
        return reason if time.monotonic() < retry_at else None

    def oldest_seconds(self) -> float:
        """Since the model that was not used for longest was; 0 where there is none."""
        with self._lock:
            used = [kept.used_at for kept in self._kept.values()]
        return time.monotonic() - min(used) if used else 0.0

    def size(self, want: Want) -> int:
        """What a model takes in memory, as it was measured, or else its file's bytes."""
        return self._sizes.get(want.key, want.bytes)

    def seconds(self, wants: Iterable[Want]) -> float:
        """What loads of those that are not in memory take, about."""
        sizes = sum(self.size(want) for want in wants if not self.has(want.key))
        return sizes * self._seconds_per_byte / LOADERS

    def fitting(self, wants: Iterable[Want]) -> list[Want]:
        """The first of these, as many as there is room for together."""
        found, left = [], self.limit_bytes
        for want in wants:
            left -= self.size(want)
            if left < 0:
                break
            found.append(want)
        return found

    def used(self, wants: Iterable[Want]) -> None:
        """Take these for used now, where they are in memory."""
        with self._lock:
            now = time.monotonic()
            for want in wants:
                if (kept := self._kept.get(want.key)) is not None:
                    kept.used_at = now

    def ask(self, want: Want, urgency: Urgency) -> "Future[Loaded | None]":
        """The model, once it is in memory.

        None where that failed, now or a short time ago, and where nobody waits and there is no room for it.
        """
        with self._lock:
            kept = self._kept.get(want.key)
        if kept is not None or self.failed(want.key):
            done: Future[Loaded | None] = Future()
            done.set_result(kept.loaded if kept else None)
            return done
        with self._lock:
            self._sizes.setdefault(want.key, want.bytes)
        return self._queue.ask(want.key, partial(self._load, want), urgency)

    def open(self, keys: Iterable[str]) -> None:
        """Somebody may want models by these keys, until `close`; others are not kept."""
        with self._lock:
            self._users.update(keys)

    def close(self, keys: Iterable[str]) -> None:
        """Models that nobody may want any more are let go."""
        with self._lock:
            self._users.subtract(keys)
            self._users += Counter()
            for key in [key for key, kept in self._kept.items() if not kept.holds]:
                if key not in self._users:
                    self._drop(key)
            self._sizes = {key: size for key, size in self._sizes.items() if key in self._users}
            self._failures = {key: found for key, found in self._failures.items() if key in self._users}

    def hold(self, key: str) -> Loaded | None:
        """The model where it is in memory, which stays there until `let_go`."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            kept.holds += 1
            self.counts.hits += 1
            return kept.loaded

    def let_go(self, key: str) -> None:
        """The end of a `hold`."""
        with self._lock:
            kept = self._kept[key]
            kept.holds -= 1
            if not kept.holds and key not in self._users:
                self._drop(key)

    def _load(self, want: Want, task: Task[Loaded]) -> Loaded | None:
        with self._lock:
            if (kept := self._kept.get(want.key)) is not None:  # since it was asked for
                return kept.loaded
        began = time.monotonic()
        try:
            loaded = want.load()
        except (NeuroCityError, OSError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            with self._lock:
                self.counts.failures += 1
                self._failures[want.key] = time.monotonic() + RETRY_SECONDS, reason
            self._tell_failed(want.name, reason)
            return None
        took = time.monotonic() - began
        with self._lock:
            self.counts.loads += 1
            self.counts.seconds += took
            self._failures.pop(want.key, None)
            self._sizes[want.key] = loaded.bytes
            weight = WEIGHT if self.counts.loads > 1 else 1.0
            self._seconds_per_byte += weight * (took / max(loaded.bytes, 1) - self._seconds_per_byte)
            victims = self._victims(loaded.bytes, task.urgency, task.asked_at)
            if victims is not None and want.key in self._users:
                for key in victims:
                    self._drop(key)
                    self.counts.evicted += 1
                self._kept[want.key] = _Kept(loaded, time.monotonic())
                self.bytes += loaded.bytes
        return loaded

    def _has_room(self, task: Task[Loaded]) -> bool:
        """Whether what nobody waits for has a place where nothing is that is wanted more."""
        with self._lock:
            return self._victims(self._sizes.get(task.key, 0), task.urgency, task.asked_at) is not None

    def _victims(self, size: int, urgency: Urgency, asked_at: float) -> list[str] | None:
        """What has to go for so many bytes, the oldest first; None where they have no place."""
        before = {
            Urgency.WAITED: math.inf,
            Urgency.SHOWN: asked_at - SHOWN_SECONDS,
            Urgency.EXPECTED: time.monotonic() - RECENT_SECONDS,
        }[urgency]
        victims, free = [], self.limit_bytes - self.bytes
        for key, kept in sorted(self._kept.items(), key=lambda item: item[1].used_at):
            if free >= size:
                break
            if not kept.holds and kept.used_at < before:
                victims.append(key)
                free += kept.loaded.bytes
        return victims if free >= size else None

    def _drop(self, key: str) -> None:
        self.bytes -= self._kept.pop(key).loaded.bytes


class Hold:
    """The models that one picture has: they stay in memory until its end.

    loads: that it waited for, which took `waited_seconds`.
    """

    def __init__(self, residency: Residency) -> None:
        self.residency = residency
        self.loads = 0
        self.waited_seconds = 0.0
        self._held: dict[str, Loaded] = {}
        self._end = Future[None]()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            held, self._held = self._held, {}
            self._end.set_result(None)
        for key in held:
            self.residency.let_go(key)

    def find(self, want: Want) -> Loaded | None:
        """The model, where it is in memory; nothing after the end, though a render still runs."""
        with self._lock:
            if self._end.done():
                return None
            if want.key not in self._held and (found := self.residency.hold(want.key)) is not None:
                self._held[want.key] = found
            return self._held.get(want.key)

    def get(self, want: Want, until: float) -> Loaded | None:
        """The model, loaded where it is not in memory.

        until: instant of `time.monotonic()` to which that is waited for. None where it failed, takes longer,
        or the picture is left meanwhile; it then goes on.
        """
        found, began = self.find(want), time.monotonic()
        left = until - began
        if found is not None or left <= 0.0 or self._end.done():
            return found
        future = self.residency.ask(want, Urgency.WAITED)
        if future.done():
            return future.result()
        either: tuple[Future[Any], ...] = (future, self._end)
        wait(either, min(left, threading.TIMEOUT_MAX), FIRST_COMPLETED)
        self.waited_seconds += time.monotonic() - began
        if not future.done():
            return None
        loaded = future.result()
        self.loads += loaded is not None
        return self.find(want) or loaded
