"""Loads of models by threads, the most urgent first; of several that want the same, it is loaded once."""

import heapq
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Generic, TypeVar

Result = TypeVar("Result")

STALE_SECONDS: Final = 2.0
"""After which nobody wants any more what nobody waits for; who still does has asked again."""


class Urgency(IntEnum):
    """Why something is to be loaded: a picture waits for it, one was shown without it, or one may come."""

    WAITED = 0
    SHOWN = 1
    EXPECTED = 2


@dataclass(eq=False)
class Task(Generic[Result]):
    """Something that is to be loaded. asked_at: last, on the clock of `time.monotonic()`."""

    key: str
    work: "Callable[[Task[Result]], Result | None]"
    urgency: Urgency
    asked_at: float
    future: "Future[Result | None]" = field(default_factory=Future)
    begun: bool = False


class LoadQueue(Generic[Result]):
    """Tasks by their urgency, and the newest first among equals.

    Threads are there while there is something to do. May be used from any thread.
    """

    def __init__(self, threads: int, wanted: Callable[[Task[Result]], bool]) -> None:
        """wanted: whether a task that nobody waits for is still to be done, when its turn comes; it must not
        ask for anything.
        """
        self._most, self._wanted = threads, wanted
        self._lock = threading.Lock()
        self._heap: list[tuple[Urgency, int, Task[Result]]] = []
        self._tasks: dict[str, Task[Result]] = {}
        self._running = 0
        self._number = 0

    def ask(
        self, key: str, work: Callable[[Task[Result]], Result | None], urgency: Urgency
    ) -> "Future[Result | None]":
        """What the work gives, once it is done; None where it was given up as nobody waits for it."""
        with self._lock:
            task = self._tasks.get(key)
            if task is None:
                task = self._tasks[key] = Task(key, work, urgency, time.monotonic())
                self._push(task)
            else:
                task.asked_at = time.monotonic()
                if urgency < task.urgency:
                    task.urgency = urgency
                    if not task.begun:
                        self._push(task)
            if self._running < min(self._most, len(self._tasks)):
                self._running += 1
                threading.Thread(target=self._run, name="blocks", daemon=True).start()
            return task.future

    def _push(self, task: Task[Result]) -> None:
        self._number += 1
        heapq.heappush(self._heap, (task.urgency, -self._number, task))

    def _run(self) -> None:
        while True:
            with self._lock:
                task = self._pop()
                if task is None:
                    self._running -= 1
                    return
                # In one step, so that who asks from now on either has it loaded or asks anew.
                if not (is_wanted := self._is_wanted(task)):
                    del self._tasks[task.key]
            if not is_wanted:
                task.future.set_result(None)
                continue
            try:
                done = task.work(task)
            except BaseException as error:  # it is raised where it is waited for
                self._end(task)
                task.future.set_exception(error)
            else:
                self._end(task)
                task.future.set_result(done)

    def _pop(self) -> Task[Result] | None:
        while self._heap:
            _, _, task = heapq.heappop(self._heap)
            if not task.begun:  # else it was asked for more urgently, and this is its first place
                task.begun = task.future.set_running_or_notify_cancel()
                return task
        return None

    def _is_wanted(self, task: Task[Result]) -> bool:
        if task.urgency == Urgency.WAITED:
            return True
        return time.monotonic() - task.asked_at < STALE_SECONDS and self._wanted(task)

    def _end(self, task: Task[Result]) -> None:
        """Let the next one that asks have it begun anew."""
        with self._lock:
            del self._tasks[task.key]
