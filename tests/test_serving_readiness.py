"""Readiness: little work however many ask, no scene for ever unseen, and the truth within a second."""

import asyncio

import pytest

from neurocity.errors import EngineUnavailableError
from serving.render import readiness
from serving.render.readiness import SCENES_AT_ONCE, Readiness


class Watched:
    """An engine that remembers which scenes it was asked for."""

    def __init__(self, scenes: int) -> None:
        self.names = [f"scene {number}" for number in range(scenes)]
        self.asked: list[set[str]] = []
        self.broken: set[str] = set()

    def scenes(self):
        return dict.fromkeys(self.names)

    async def ready(self, scenes=None):
        self.asked.append(set(scenes))
        await asyncio.sleep(0.01)
        if found := self.broken & set(scenes):
            raise EngineUnavailableError(f"{sorted(found)}")


@pytest.fixture
def at_once(monkeypatch):
    """Answers hold for no time."""
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.0)


def test_many_that_ask_at_once_cost_one_look():
    async def session():
        engine = Watched(3)
        check = Readiness(engine).check
        await asyncio.gather(*(check() for _ in range(50)))
        await check()
        return engine.asked

    assert asyncio.run(session()) == [{"scene 0", "scene 1", "scene 2"}]


@pytest.mark.usefixtures("at_once")
def test_all_are_looked_at_first_and_then_some_in_turn():
    async def session():
        engine = Watched(10)
        check = Readiness(engine).check
        for _ in range(4):
            await check()
        engine.names.append("new")
        await check()
        return engine.asked

    first, *others, last = asyncio.run(session())
    assert len(first) == 10
    assert [len(item) for item in others] == [SCENES_AT_ONCE] * 3
    assert set().union(*others) == first
    assert "new" in last


@pytest.mark.usefixtures("at_once")
def test_a_failure_is_said_until_it_is_over():
    async def session():
        engine = Watched(10)
        check = Readiness(engine).check
        await check()
        engine.broken = {"scene 7"}
        failures = 0
        for _ in range(6):
            try:
                await check()
            except EngineUnavailableError:
                failures += 1
        assert failures >= 4
        engine.broken = set()
        await check()
        await check()

    asyncio.run(session())


def test_a_failure_is_kept_no_longer_than_an_answer(monkeypatch):
    async def session():
        engine = Watched(1)
        engine.broken = {"scene 0"}
        check = Readiness(engine).check
        for _ in range(2):
            with pytest.raises(EngineUnavailableError, match="scene 0"):
                await check()
        assert len(engine.asked) == 1
        engine.broken = set()
        monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.0)
        await check()

    asyncio.run(session())


def test_one_that_leaves_does_not_end_it_for_others():
    async def session():
        check = Readiness(Watched(1)).check
        leaving, staying = asyncio.create_task(check()), asyncio.create_task(check())
        await asyncio.sleep(0)
        leaving.cancel()
        await staying

    asyncio.run(session())
