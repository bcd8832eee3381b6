"""Encoding in turns: shared out to threads, between the tiles of others, and at an end when nobody waits."""

import asyncio
import threading
import time

import analytic_scene
import numpy as np
import pytest
from waiting import PATIENCE

from neurocity.light import Light
from neurocity.pictures.encode import encode, encoding
from neurocity.pictures.options import RenderOptions
from neurocity.pictures.steps import Whole
from serving.render.encoders import Encoders, Encoding
from serving.render.turns import Place, Turns

ENDLESS = 1e9
PLACE = Place(2, "somebody", 0)


class Pieces:
    """Pieces that note who does them, and wait for a word where they are told to."""

    def __init__(self, number: int, *, waits: bool = False) -> None:
        self.begun: list[int] = []
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.all = [lambda number=number: self._do(number) for number in range(number)]
        if not waits:
            self.go_on.set()

    def _do(self, number: int) -> int:
        self.begun.append(number)
        self.threads.add(threading.get_ident())
        assert self.go_on.wait(PATIENCE)
        return number

    def steps(self, kind=list):
        results = yield kind(self.all)
        (total,) = yield [lambda: sum(results)]
        return results, total


def one_turn(threads=2):
    return Encoders(Turns(1), threads)


def run(session):
    return asyncio.run(asyncio.wait_for(session(), PATIENCE))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def test_pieces_are_shared_out_and_results_keep_their_order():
    pieces = Pieces(6, waits=True)

    async def session():
        work = Encoding(one_turn(3), PLACE, 1.0, ENDLESS)
        task = asyncio.create_task(work.run(pieces.steps()))
        await until(lambda: len(pieces.begun) == 3)
        assert len(pieces.threads) == 3
        pieces.go_on.set()
        assert await task == (list(range(6)), 15)
        assert work.seconds > 0

    run(session)


def test_another_has_its_turn_between_two_pieces():
    """A turn of no time is one piece of each thread."""
    pieces, order = Pieces(3), []

    async def session():
        encoders = one_turn(1)
        async with encoders.turns.turn(Place(0, "first", 0), 0.0):
            work = Encoding(encoders, PLACE, 1.0, 0.0)
            task = asyncio.create_task(work.run(pieces.steps()))
            await until(lambda: encoders.turns.waiting() == 1)
            small = asyncio.create_task(tile(encoders.turns))
        await small
        assert order == [1]
        await task
        assert len(pieces.begun) == 3

    async def tile(turns):
        async with turns.turn(Place(0, "other", 1), 0.001):
            order.append(len(pieces.begun))

    run(session)


def test_who_asks_before_the_end_of_a_turn_is_before_those_who_had_more():
    order = []

    async def session():
        encoders = one_turn()
        work = Encoding(encoders, Place(0, "one", 0), 0.001, 1.0)

        async def others(number):
            async with encoders.turns.turn(Place(0, "many", number), 1.0):
                order.append("many")

        async with encoders.turns.turn(Place(0, "one", 0), 0.001):
            tasks = [asyncio.create_task(others(number)) for number in (1, 2)]
            await until(lambda: encoders.turns.waiting() == 2)
            work.ask()

        def steps():
            yield [lambda: order.append("one")]

        await asyncio.gather(work.run(steps()), *tasks)

    run(session)
    assert order.index("one") < 2


@pytest.mark.parametrize("kind", [list, Whole])
def test_who_leaves_ends_the_work_between_two_pieces_and_gives_its_turn_back(kind):
    pieces = Pieces(1 if kind is Whole else 50, waits=True)

    async def session():
        encoders = one_turn(1)
        work = Encoding(encoders, PLACE, 1.0 if kind is list else ENDLESS, 60.0)
        task = asyncio.create_task(work.run(pieces.steps(kind)))
        await until(lambda: pieces.begun)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done(), "a thread is at work for it"
        pieces.go_on.set()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        for turns in (encoders.turns, encoders.beside):
            async with turns.turn(PLACE, 0.0):
                assert turns.waiting() == 0
        await asyncio.to_thread(time.sleep, 0.05)
        assert pieces.begun == [0]

    run(session)


def test_who_leaves_while_it_waits_has_begun_nothing():
    pieces = Pieces(2)

    async def session():
        encoders = one_turn()
        async with encoders.turns.turn(Place(0, "first", 0), 0.0):
            task = asyncio.create_task(Encoding(encoders, PLACE, 1.0, 1.0).run(pieces.steps()))
            await until(lambda: encoders.turns.waiting() == 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert encoders.turns.waiting() == 0
        async with encoders.turns.turn(PLACE, 0.0):
            pass
        assert not pieces.begun

    run(session)


def test_a_turn_that_was_asked_for_and_is_not_needed_is_given_back():
    async def session():
        encoders = one_turn()
        work = Encoding(encoders, PLACE, 1.0, 1.0)
        work.ask()
        work.leave()
        work.leave()
        async with encoders.turns.turn(PLACE, 0.0):
            pass

    run(session)


def test_what_a_library_does_whole_leaves_the_engine_its_turns():
    pieces = Pieces(1, waits=True)

    async def session():
        encoders = one_turn()
        work = Encoding(encoders, PLACE, expected=1.0, turn_seconds=0.01)
        task = asyncio.create_task(work.run(pieces.steps(Whole)))
        await until(lambda: pieces.begun)
        async with encoders.turns.turn(Place(0, "other", 1), 0.0):
            pass
        pieces.go_on.set()
        assert await task == ([0], 0)

    run(session)


def test_a_failure_is_raised_and_gives_the_turn_back():
    def fails():
        yield [lambda: 1 / 0]

    async def session():
        encoders = one_turn()
        with pytest.raises(ZeroDivisionError):
            await Encoding(encoders, PLACE, 1.0, 1.0).run(fails())
        async with encoders.turns.turn(PLACE, 0.0):
            pass

    run(session)


@pytest.mark.parametrize("name", ["png", "jpeg", "npy"])
def test_pictures_are_those_of_one_thread(name):
    size = (260, 300)
    rgb = np.random.default_rng(0).random((*size, 3), np.float32)
    light = Light(rgb, np.ones(size, np.float32), np.ones(size, np.float32))
    wanted = light, analytic_scene.camera(300, 260), analytic_scene.manifest("onnx", b"").info
    options = RenderOptions(format=name)

    async def session():
        work = Encoding(one_turn(), PLACE, 0.1, 0.001)
        assert await work.run(encoding(*wanted, options)) == encode(*wanted, options)

    run(session)
