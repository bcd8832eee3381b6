"""Readiness: little work however many ask, no scene for ever unseen, and the truth within a second."""

import asyncio

import analytic_scene
import pytest

from neurocity.errors import EngineError, EngineUnavailableError
from neurocity.light import Light
from serving.engines.base import Found, Offer, asked_for
from serving.render import readiness
from serving.render.readiness import SCENES_AT_ONCE, Readiness
from serving.scenes.scenes import Scenes


class Watched(Scenes):
    """Scenes that remember which of them were rendered. loads: whether they must be loaded first."""

    def __init__(self, scenes: int, *, loads: bool = False) -> None:
        self.names = [f"scene {number}" for number in range(scenes)]
        self.rendered: list[str] = []
        self.broken: set[str] = set()
        self.unloadable: set[str] = set()
        super().__init__(WatchedSource(self, loads))

    def asked(self) -> list[str]:
        """What was rendered since the last time."""
        asked, self.rendered = self.rendered, []
        return asked


class WatchedSource:
    calls_at_once = 1
    fills_processors = False

    def __init__(self, watched: Watched, loads: bool) -> None:
        self.watched, self.loads = watched, loads

    async def look(self):
        return Found(offers={name: {1: self.offer(name)} for name in self.watched.names})

    def offer(self, name):
        async def opened():
            if name in self.watched.unloadable:
                raise EngineError("cannot be opened")
            return WatchedVersion(manifest, self.watched)

        manifest = analytic_scene.manifest("onnx", b"", scene=name)
        return Offer(
            manifest=manifest, served=asked_for("watched"), place=f"{name}/1", identity=name, open=opened
        )

    async def close(self):
        pass


class WatchedVersion:
    maps_file = False
    call_queue = None

    def __init__(self, manifest, watched) -> None:
        self.manifest, self.watched = manifest, watched

    async def render(self, rays, _deadline):
        await asyncio.sleep(0.001)
        self.watched.rendered.append(self.manifest.scene)
        if self.manifest.scene in self.watched.broken:
            raise EngineError("does not render")
        return Light.empty(len(rays))

    def close(self):
        pass


async def opened(scenes: int, **options):
    """Watched scenes, found, and the check of their readiness."""
    watched = Watched(scenes, **options)
    await watched.start()
    return watched, Readiness(watched).check


@pytest.fixture
def at_once(monkeypatch):
    """Answers hold for no time."""
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.0)


@pytest.fixture
def kept(monkeypatch):
    """Answers hold for longer than a test."""
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 1000.0)


@pytest.mark.usefixtures("kept")
def test_many_that_ask_at_once_cost_one_look():
    async def session():
        watched, check = await opened(3)
        await asyncio.gather(*(check() for _ in range(50)))
        await check()
        return watched.asked()

    assert asyncio.run(session()) == ["scene 0", "scene 1", "scene 2"]


@pytest.mark.usefixtures("at_once")
def test_all_are_looked_at_first_and_then_some_in_turn():
    async def session():
        watched, check = await opened(10)
        asked = []
        for _ in range(4):
            await check()
            asked.append(watched.asked())
        watched.names.append("new")
        await watched.look()
        await check()
        return asked, watched.asked()

    (first, *others), last = asyncio.run(session())
    assert len(first) == 10
    assert [len(item) for item in others] == [SCENES_AT_ONCE] * 3
    assert {name for item in others for name in item} == set(first)
    assert "new" in last


@pytest.mark.usefixtures("at_once")
def test_a_failure_is_said_until_it_is_over():
    async def session():
        watched, check = await opened(10)
        await check()
        watched.broken = {"scene 7"}
        failures, count = set(), 0
        for _ in range(6):
            try:
                await check()
            except EngineUnavailableError as error:
                failures.add(str(error))
                count += 1
        assert count >= 4
        assert failures == {"the canary of scene 'scene 7' failed: does not render"}
        watched.broken = set()
        await check()
        await check()

    asyncio.run(session())


@pytest.mark.usefixtures("kept")
def test_a_failure_is_kept_no_longer_than_an_answer(monkeypatch):
    async def session():
        watched, check = await opened(1)
        watched.broken = {"scene 0"}
        for _ in range(2):
            with pytest.raises(EngineUnavailableError, match="scene 0"):
                await check()
        assert len(watched.asked()) == 1
        watched.broken = set()
        monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.0)
        await check()

    asyncio.run(session())


def test_one_that_leaves_does_not_end_it_for_others():
    async def session():
        _, check = await opened(1)
        leaving, staying = asyncio.create_task(check()), asyncio.create_task(check())
        await asyncio.sleep(0)
        leaving.cancel()
        await staying

    asyncio.run(session())


@pytest.mark.usefixtures("at_once")
def test_what_is_not_loaded_is_not_looked_at_but_one_is_loaded_where_none_is():
    async def session():
        watched, check = await opened(5, loads=True)
        watched.unloadable = {"scene 0", "scene 1"}
        await check()
        assert watched.asked() == ["scene 2"]
        await watched.render("scene 4", analytic_scene.camera(2, 2).rays(), None)
        watched.asked()
        await check()
        assert watched.asked() == ["scene 2", "scene 4"]
        assert sorted(watched.refused()) == ["scene 0/1", "scene 1/1"]

    asyncio.run(session())


@pytest.mark.usefixtures("at_once")
def test_what_is_unloaded_and_found_broken_during_a_look_makes_it_unavailable():
    async def session():
        watched, check = await opened(2, loads=True)
        for name in watched.names:
            await watched.render(name, analytic_scene.camera(2, 2).rays(), None)
        asking = asyncio.create_task(check())
        while not watched.find("scene 0").leases:
            await asyncio.sleep(0)
        watched.unloadable = {"scene 1"}
        watched.loaded.unload(watched.find("scene 1"))
        with pytest.raises(EngineUnavailableError, match="cannot be opened"):
            await asking
        await check()

    asyncio.run(session())


def test_without_a_scene_it_is_not_ready():
    """An orchestrator would send clients who all get 404."""

    async def session():
        watched, check = await opened(0, loads=True)
        with pytest.raises(EngineUnavailableError, match="no scene is served"):
            await check()
        assert watched.asked() == []

    asyncio.run(session())
