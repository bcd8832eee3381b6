"""Who is next: classes, clients and pictures take turns, and who leaves has left."""

import asyncio
import math
import time
from itertools import count

import pytest
from waiting import PATIENCE

from serving.render.turns import CLASSES, PATIENT, SHARES, Place, Turns, size_class

NUMBERS = count()


def place(client="a", number_of_class=0):
    """Of a picture that was asked for after all others."""
    return Place(number_of_class, client, next(NUMBERS))


def order(wanted, at_once=1):
    """The names of turns in the order in which they were given, of (name, place, seconds) that wait."""
    given = []

    async def session():
        turns = Turns(at_once)

        async def one(name, where, seconds):
            async with turns.turn(where, seconds):
                given.append(name)
                await asyncio.sleep(0)

        async with turns.turn(place("first"), 0.0):
            tasks = [asyncio.create_task(one(*item)) for item in wanted]
            await asyncio.sleep(0)
            assert turns.waiting() == len(wanted)
        await asyncio.gather(*tasks)
        assert turns.waiting() == 0

    asyncio.run(session())
    return "".join(given)


def test_classes_of_size():
    assert [size_class(tiles) for tiles in (1, 2, 16, 17, 1000)] == [0, 1, 1, 2, 2]
    assert size_class(10**9) == PATIENT - 1 == CLASSES - 2


def test_one_client_is_served_in_the_order_of_asking():
    assert order([(name, place(), 1.0) for name in "abc"]) == "abc"


def test_a_picture_is_finished_before_a_later_one_of_its_client():
    first, second = place(), place()
    wanted = [("x", first, 1.0), ("y", second, 1.0)] * 2
    assert order(wanted) == "xxyy"


def test_clients_take_turns():
    wanted = [("m", place("many"), 1.0) for _ in range(6)] + [("o", place("other"), 1.0) for _ in range(3)]
    assert order(wanted)[:5] == "momom"


def test_turns_are_shared_by_time():
    """One client's turns are three times as long, so it has a third as many."""
    wanted = [("L", place("long"), 3.0) for _ in range(5)] + [("s", place("short"), 1.0) for _ in range(9)]
    given = order(wanted)
    assert sorted(given[:4]) == ["L", "s", "s", "s"]
    assert sorted(given[:8]) == ["L", "L", "s", "s", "s", "s", "s", "s"]


def test_one_that_waits_for_a_single_picture_has_a_larger_share_and_not_all():
    single = place("single")
    wanted = [("m", place("many"), 1.0) for _ in range(6)] + [("s", single, 1.0)] * 24
    given = order(wanted)
    assert given[:9].count("s") == 8
    assert given[:27].count("m") == 3


def test_small_pictures_and_large_ones_take_turns_whoever_asks():
    large = [("L", place(f"client {i}", 2), 1.0) for i in range(5)]
    small = [("s", place("client 0", 0), 0.01)]
    assert order(large + small)[:2] in ("sL", "Ls")
    medium = [("m", place("client 1", 1), 1.0) for _ in range(2)]
    assert sorted(order(large + medium)[:4]) == ["L", "L", "m", "m"]


def test_what_nobody_waits_for_gives_way_and_is_not_starved():
    wanted = [("f", place("film", PATIENT), 1.0) for _ in range(4)]
    wanted += [("p", place("person", 1), 1.0) for _ in range(20)]
    given = order(wanted)
    assert given.count("f", 0, 20) == 1 + round(20 * SHARES[PATIENT])
    assert order(wanted[:4]) == "ffff"


def test_who_was_away_does_not_catch_up():
    async def session():
        turns, given = Turns(1), []

        async def one(name):
            async with turns.turn(place(name), 1.0):
                given.append(name)
                await asyncio.sleep(0)

        for _ in range(10):
            await one("early")
        async with turns.turn(place("first"), 0.0):
            tasks = [asyncio.create_task(one(name)) for name in ["early"] * 3 + ["late"] * 3]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return given[10:]

    given = asyncio.run(session())
    assert [given[:2].count("late"), given[:4].count("late")] == [1, 2]


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_turns_at_once_than_there_are(at_once):
    async def session():
        turns, running, most = Turns(at_once), 0, 0

        async def one():
            nonlocal running, most
            async with turns.turn(place(), 1.0):
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1

        await asyncio.gather(*(one() for _ in range(10)))
        return most

    assert asyncio.run(session()) == at_once


def test_who_leaves_has_left_the_queue():
    async def session():
        turns, given = Turns(1), []

        async def one(name):
            async with turns.turn(place(name), 1.0):
                given.append(name)

        async with turns.turn(place("first"), 0.0):
            leaving = [asyncio.create_task(one("leaving")) for _ in range(5)]
            staying = asyncio.create_task(one("staying"))
            await asyncio.sleep(0)
            for task in leaving:
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
            assert turns.waiting() == 1
        await staying
        return given

    assert asyncio.run(session()) == ["staying"]


def test_who_leaves_in_the_moment_of_its_turn_hands_it_on():
    async def session():
        turns = Turns(1)
        first = turns.turn(place(), 1.0)
        await first.__aenter__()

        async def one():
            async with turns.turn(place(), 1.0):
                return "had its turn"

        leaving, staying = asyncio.create_task(one()), asyncio.create_task(one())
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)  # which gives the turn to the one that leaves
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await asyncio.wait_for(staying, PATIENCE)

    assert asyncio.run(session()) == "had its turn"


def test_clients_that_are_gone_are_forgotten():
    async def session():
        turns = Turns(1)
        for number in range(1000):
            async with turns.turn(place(f"client {number}"), 1.0):
                pass
        return sum(len(queue._flows) for queue in turns._queues)

    assert asyncio.run(session()) < 10


def test_who_leaves_in_the_moment_of_its_turn_has_left():
    """Its turn is passed over before it knows that it is cancelled."""

    async def session():
        turns = Turns(1)

        async def wait():
            async with turns.turn(Place(0, "somebody", 1), 0.01):
                raise AssertionError("it has left")

        async with turns.turn(Place(0, "another", 0), 0.01):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert turns.waiting() == 0
        async with turns.turn(Place(0, "somebody", 2), 0.01):
            pass

    asyncio.run(session())


def test_the_next_one_is_told_before_there_is_a_turn_for_it():
    """One at a time; its turn begins when the other's ends, and who leaves it makes room for another."""

    async def session():
        turns = Turns(1, early=lambda where: where.client != "late")
        first, second, third = (turns.ask(place(name), 1.0, "queue") for name in "abc")
        assert [each.told.done() for each in (first, second, third)] == [True, True, False]
        assert second.began == math.inf
        turns.leave(first)
        assert first.began < second.began < time.perf_counter()
        assert (third.told.done(), third.began) == (True, math.inf)
        fourth = turns.ask(place("d"), 1.0, "queue")
        turns.leave(third)
        assert (fourth.told.done(), fourth.began) == (True, math.inf)
        late = turns.ask(place("late"), 1.0, "queue")
        turns.leave(second)
        assert (fourth.began < time.perf_counter(), late.told.done()) == (True, False)
        turns.leave(fourth)
        assert late.began < time.perf_counter()
        turns.leave(late)
        assert turns.waiting() == 0
        assert (await first.told, turns.ask(place(), 1.0).began < math.inf) == (None, True)

    asyncio.run(session())


def test_nobody_is_told_early_behind_what_waits_elsewhere():
    async def session():
        turns = Turns(1, early=lambda _: True)
        tile = turns.ask(place(), 1.0, "queue")
        encoding, other = turns.ask(place(), 1.0), turns.ask(place(), 1.0, "other queue")
        assert [each.told.done() for each in (tile, encoding, other)] == [True, False, False]
        turns.leave(tile)
        assert [each.told.done() for each in (encoding, other)] == [True, False]
        turns.leave(encoding)
        assert other.began < time.perf_counter()

    asyncio.run(session())


def test_who_leaves_before_his_turn_costs_his_class_nothing():
    async def session():
        turns = Turns(1, early=lambda _: True)
        running = turns.ask(place("one", 2), 0.05, "queue")
        for ticket in [turns.ask(place("many"), 1.0, "queue") for _ in range(50)]:
            turns.leave(ticket)
        large, small = turns.ask(place("one", 2), 0.05), turns.ask(place("other"), 0.05)
        turns.leave(running)
        assert (small.told.done(), large.told.done()) == (True, False)

    asyncio.run(session())
