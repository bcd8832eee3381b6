"""Calls of kernels, whose parts threads take from a shared counter.

A slow core, or one that a neighbour keeps busy, then takes fewer parts, and nobody waits for it longer than
for one part.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache

from neurocity.errors import EngineError
from neurocity.kernels.library import function
from neurocity.resources import available_processors

STOPPED = 1
_FAILURES = {-1: "out of memory", -2: "an argument is not what the kernel takes"}


class Work(ctypes.Structure):
    """`Work` of cpp/work.hpp: what threads share that work on one call. `stop` makes them end soon."""

    _fields_ = (("parts", ctypes.c_int64), ("next", ctypes.c_int64), ("stop", ctypes.c_int32))


def call(
    name: str, arguments: ctypes.Structure, parts: int, *, threads: int, work: Work | None = None
) -> bool:
    """Call kernel `name` for all parts, by this thread and `threads - 1` others; False if it was stopped.

    work: to stop the call by, from any thread. Raises EngineError when the kernel reports a failure.
    """
    kernel = function(name)
    work = work or Work()
    work.parts, work.next = parts, 0
    pointers = ctypes.byref(arguments), ctypes.byref(work)

    def run() -> int:
        status: int = kernel(*pointers)
        return status

    others = min(threads, parts) - 1
    statuses = _on_threads(run, others, work) if others > 0 else [run()]
    if failed := [status for status in statuses if status < 0]:
        raise EngineError(f"{name}: {_FAILURES.get(failed[0], f'status {failed[0]}')}")
    return STOPPED not in statuses


def _on_threads(run: Callable[[], int], others: int, work: Work) -> list[int]:
    futures: list[Future[int]] = []
    try:
        for _ in range(others):
            futures.append(_pool().submit(run))
        statuses = [run()]
        # What the pool has not begun has nothing left to do.
        return statuses + [future.result() for future in futures if not future.cancel()]
    except BaseException:  # an interrupt, or no memory for a thread
        # The caller gives up arrays that other threads still write to.
        work.stop = 1
        wait([future for future in futures if not future.cancel()])
        raise


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_processors(), thread_name_prefix="kernels")


# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_pool.cache_clear)
