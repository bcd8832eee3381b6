"""Calls on threads: in their order, left at once, and nothing is kept of those that were left."""

import asyncio
import threading
import time
import weakref
from functools import partial

import numpy as np
import pytest
from waiting import PATIENCE, until

from neurocity.errors import DeadlineExceededError
from serving.engines.call_threads import CallThreads


@pytest.fixture
def threads():
    """One thread."""
    made = CallThreads(1, "test")
    yield made
    made.close()


class Held:
    """A call that says when it has begun and goes on when it may, at the end of the test at the latest."""

    def __init__(self):
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        return self.go_on.wait(PATIENCE)


@pytest.fixture
def held():
    made = Held()
    yield made
    made.go_on.set()


@pytest.mark.parametrize("seconds", [None, 0.05], ids=["cancelled", "deadline"])
def test_what_waits_and_is_left_is_never_run_and_lets_its_arrays_go(threads, held, seconds):
    ran = []

    def call(_array, number):
        ran.append(number)

    async def session():
        running = asyncio.create_task(threads.call(held, None, None))
        await until(held.begun.is_set)
        array = np.zeros(10)
        kept = weakref.ref(array)
        deadline = None if seconds is None else time.monotonic() + seconds
        waiting = asyncio.create_task(threads.call(partial(call, array, 1), deadline, None))
        del array
        await asyncio.sleep(0)
        if seconds is None:
            waiting.cancel()
        try:  # not `pytest.raises`, which keeps the traceback, and by it what the call was given
            await waiting
        except (asyncio.CancelledError, DeadlineExceededError) as error:
            failure = type(error)
        assert failure is (asyncio.CancelledError if seconds is None else DeadlineExceededError)
        del waiting
        await asyncio.sleep(0.01)  # the loop itself has the failure for some turns
        assert kept() is None
        assert not running.done()
        held.go_on.set()
        assert await running
        await threads.call(partial(call, None, 2), None, None)

    asyncio.run(session())
    assert ran == [2]


def test_what_runs_and_is_left_is_abandoned(threads, held):
    left = []

    async def session():
        running = asyncio.create_task(threads.call(held, None, lambda: left.append(1)))
        await until(held.begun.is_set)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(session())
    assert left == [1]


def test_calls_run_in_their_order_and_raise_what_they_raise(threads):
    ran = []

    def fail():
        raise KeyError("found nothing")

    async def session():
        await asyncio.gather(*(threads.call(partial(ran.append, number), None, None) for number in range(5)))
        with pytest.raises(KeyError, match="found nothing"):
            await threads.call(fail, None, None)

    asyncio.run(session())
    assert ran == [0, 1, 2, 3, 4]
