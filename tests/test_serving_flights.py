"""Work that several wait for: done once, ended by the last that leaves, and forgotten."""

import asyncio
import gc
import time
import weakref

import numpy as np
import pytest

from neurocity.errors import DeadlineExceededError, EngineError
from serving.render.flights import Flights


class Counted:
    """Work that counts its starts and ends, and waits until it may go on."""

    def __init__(self) -> None:
        self.started, self.cancelled, self.ended = 0, 0, 0
        self.go_on = asyncio.Event()

    def start(self, flight):
        self.started += 1
        flight.on_end(self._end)
        return self._work()

    def _end(self):
        self.ended += 1

    async def _work(self):
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"


def test_equal_work_is_done_once():
    async def session():
        flights, work = Flights(), Counted()
        tasks = [asyncio.create_task(flights.join("key", None, work.start)) for _ in range(100)]
        other = asyncio.create_task(flights.join("other", None, work.start))
        await asyncio.sleep(0)
        work.go_on.set()
        assert await asyncio.gather(*tasks, other) == ["done"] * 101
        assert work.started == 2
        await flights.join("key", None, work.start)
        return work.started, work.ended

    assert asyncio.run(session()) == (3, 3)


def test_the_last_that_leaves_ends_it_and_the_next_begins_anew():
    async def session():
        flights, work = Flights(), Counted()
        tasks = [asyncio.create_task(flights.join("key", None, work.start)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in tasks[:2]:
            task.cancel()
        await asyncio.sleep(0.01)
        assert work.cancelled == 0
        tasks[2].cancel()
        later = asyncio.create_task(flights.join("key", None, work.start))
        await asyncio.sleep(0.01)
        assert (work.started, work.cancelled, work.ended) == (2, 1, 1)
        work.go_on.set()
        return await later

    assert asyncio.run(session()) == "done"


def test_work_that_is_left_before_its_first_step_is_ended_too():
    async def session():
        flights, work = Flights(), Counted()
        task = asyncio.create_task(flights.join("key", None, work.start))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0.01)
        return work.started, work.ended

    assert asyncio.run(session()) == (1, 1)


def test_who_has_more_time_begins_anew_where_the_first_one_s_ran_out():
    """A call keeps the deadline that it began with."""

    async def session():
        flights, begun = Flights(), []

        async def call(deadline):
            begun.append(deadline)
            if len(begun) == 1:
                await asyncio.sleep(0.01)
                raise DeadlineExceededError("as long as it had")
            return "done"

        def start(flight):
            return call(flight.deadline)

        now = time.monotonic()
        first = asyncio.create_task(flights.join("key", now + 90.0, start))
        await asyncio.sleep(0)
        second = asyncio.create_task(flights.join("key", now + 99.0, start))
        third = asyncio.create_task(flights.join("key", None, start))
        with pytest.raises(DeadlineExceededError):
            await first
        assert await asyncio.gather(second, third) == ["done"] * 2
        return len(begun)

    assert asyncio.run(session()) == 2


def test_each_has_its_own_deadline_and_the_work_the_latest():
    async def session():
        flights, work, deadlines = Flights(), Counted(), []

        def start(flight):
            deadlines.append(flight)
            return work.start(flight)

        now = time.monotonic()
        first = asyncio.create_task(flights.join("key", now + 0.5, start))
        second = asyncio.create_task(flights.join("key", now + 90.0, start))
        await asyncio.sleep(0)
        assert deadlines[0].deadline == now + 90.0
        third = asyncio.create_task(flights.join("key", None, start))
        await asyncio.sleep(0)
        assert deadlines[0].deadline is None
        with pytest.raises(DeadlineExceededError):
            await first
        work.go_on.set()
        assert await asyncio.gather(second, third) == ["done", "done"]
        with pytest.raises(DeadlineExceededError):
            await flights.join("key", now, start)
        return work.started

    assert asyncio.run(session()) == 1


def test_a_failure_is_everybodys_and_is_not_kept():
    async def session():
        flights, starts = Flights(), []

        def start(_flight):
            starts.append(1)
            return fail()

        async def fail():
            await asyncio.sleep(0)
            raise EngineError("broken")

        results = await asyncio.gather(
            *(flights.join("key", None, start) for _ in range(3)), return_exceptions=True
        )
        assert [str(error) for error in results] == ["broken"] * 3
        with pytest.raises(EngineError):
            await flights.join("key", None, start)
        return len(starts)

    assert asyncio.run(session()) == 2


def test_a_start_that_raises_begins_nothing():
    async def session():
        flights, work = Flights(), Counted()

        def refuse(_flight):
            raise EngineError("no room")

        with pytest.raises(EngineError, match="no room"):
            await flights.join("key", None, refuse)
        work.go_on.set()
        return await flights.join("key", None, work.start)

    assert asyncio.run(session()) == "done"


@pytest.mark.parametrize("ending", ["cancelled", "failed", "late"])
def test_nothing_of_ended_work_stays_in_memory(ending):
    """Without the garbage collector, which in a server comes late to what is old."""
    arrays = []

    async def deep(event):
        array = np.zeros(1000)
        arrays.append(weakref.ref(array))
        try:
            async with asyncio.timeout(None), asyncio.TaskGroup() as group:
                group.create_task(inner(event))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return array, asyncio.current_task()

    async def inner(event):
        array = np.zeros(1000)
        arrays.append(weakref.ref(array))
        await event.wait()
        try:
            raise TimeoutError
        except TimeoutError as error:
            raise EngineError("broken") from error
        return array

    async def session():
        flights, event = Flights(), asyncio.Event()
        deadline = time.monotonic() + 0.5 if ending == "late" else None
        task = asyncio.create_task(flights.join("key", deadline, lambda _: deep(event)))
        await asyncio.sleep(0.01)
        if ending == "cancelled":
            task.cancel()
        elif ending == "failed":
            event.set()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(result, BaseException)
        await asyncio.sleep(0.01)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(session())
        assert len(arrays) == 2
        assert all(array() is None for array in arrays)
    finally:
        gc.enable()
