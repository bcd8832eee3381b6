"""Pictures of scenes that are swapped: each is of one version, none is lost, and a held version stays."""

import asyncio
import io
import shutil
import threading
import time
import weakref
from functools import partial
from types import SimpleNamespace

import analytic_scene
import numpy as np
import pytest
from changing_repository import SCENE, add, flip, folder, recolour, with_scenes
from waiting import PATIENCE, until

from neurocity.errors import DeadlineExceededError, EngineUnavailableError, SceneNotFoundError
from neurocity.pictures.options import RenderOptions
from serving.engines.in_process import OpenArtefact
from serving.engines.onnxruntime_engine import OnnxRuntimeEngine
from serving.render.cancel import Cancel
from serving.render.limits import Limits
from serving.render.picture import PictureRequest
from serving.render.service import RenderService
from serving.scenes.loaded import VersionRefusedError
from serving.scenes.version import SceneVersion

LIMITS = Limits(max_pixels=1000, max_side=100)


@pytest.fixture
def repository(tmp_path):
    return add(tmp_path / "repository", 1)


def request(turned=0.0, background="scene", **options):
    camera = analytic_scene.camera(8, 6, 45.0 + turned)
    return PictureRequest(
        scene=SCENE, camera=camera, options=RenderOptions(format="npy", background=background), **options
    )


def test_a_load_counts_into_the_deadline_of_a_picture(repository, monkeypatch):
    load, go_on = OnnxRuntimeEngine.load, threading.Event()

    def slow(self, version, options):
        assert go_on.wait(PATIENCE)
        return load(self, version, options)

    monkeypatch.setattr(OnnxRuntimeEngine, "load", slow)

    async def use(scenes):
        service = RenderService(scenes, LIMITS)
        with pytest.raises(DeadlineExceededError):
            await service.render(request(), Cancel.after(0.1))
        go_on.set()
        await until(lambda: service.reserved_seconds() == 0.0)
        assert (await service.render(request(), Cancel.after(PATIENCE))).scene_version == 1
        assert scenes.loaded.counts == {"loaded": 1}

    with_scenes(repository, use)


def test_a_picture_falls_back_to_an_older_version_when_the_newest_turns_out_to_be_broken(repository):
    add(repository, 2)
    flip(repository, 2)

    async def use(scenes):
        service = RenderService(scenes, LIMITS)
        with pytest.raises(VersionRefusedError, match="SHA-256"):
            await service.render(request(version=2), Cancel())
        assert (await service.render(request(), Cancel())).scene_version == 1
        assert service.reserved_seconds() == 0.0
        return scenes.loaded.counts

    assert with_scenes(repository, use) == {"refused": 1, "loaded": 1}


def test_a_scene_that_cannot_be_loaded_is_gone(repository):
    flip(repository, 1)

    async def use(scenes):
        service = RenderService(scenes, LIMITS)
        with pytest.raises(VersionRefusedError, match="SHA-256"):
            await service.render(request(), Cancel())
        with pytest.raises(SceneNotFoundError, match="known: none"):
            await service.render(request(), Cancel())
        with pytest.raises(EngineUnavailableError, match="no scene is served"):
            await service.ready()

    with_scenes(repository, use)


def test_a_held_version_stays_for_pictures_that_ask_for_it(repository):
    async def use(scenes):
        service = RenderService(scenes, LIMITS)
        async with service.hold(SCENE) as held:
            add(repository, 2)
            await scenes.look()
            shutil.rmtree(folder(repository, 1))
            await scenes.look()
            found = [
                await service.render(item, Cancel())
                for item in (request(), request(held=held), request(version=2))
            ]
            assert held.leases == 1
        assert not held.loaded
        return [picture.scene_version for picture in found]

    assert with_scenes(repository, use) == [2, 1, 2]


def test_a_picture_that_is_kept_is_not_that_of_a_manifest_that_was_replaced(repository):
    """The artefact is the same, and what the picture shows behind it is not."""

    async def use(scenes):
        service = RenderService(scenes, LIMITS)
        shown = []
        for background in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)):
            recolour(repository, 1, background)
            await scenes.look()
            picture = await service.render(request(), Cancel())
            assert picture.manifest.info.background == background
            shown.append(tuple(np.load(io.BytesIO(picture.image.data))[0, 0]))
        return shown

    assert with_scenes(repository, use) == [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]


@pytest.fixture
def proofs(monkeypatch):
    """Has the proofs of given (scene, version) wait until they may go on, and tells when one begins."""
    render_canary, state = SceneVersion.render_canary, SimpleNamespace(held=set(), begun=0)
    state.go_on = asyncio.Event()

    async def held(version):
        if (version.manifest.scene, version.manifest.version) in state.held:
            state.begun += 1
            await state.go_on.wait()
        await render_canary(version)

    monkeypatch.setattr(SceneVersion, "render_canary", held)
    return state


def test_a_picture_falls_back_while_another_scene_is_being_proved(repository, proofs):
    add(repository, 2)
    flip(repository, 2)
    add(repository, 1, "zebra")
    proofs.held.add(("zebra", 2))

    async def use(scenes):
        service = RenderService(scenes, LIMITS)
        add(repository, 2, "zebra")
        looking = asyncio.create_task(scenes.look())
        await until(lambda: proofs.begun)
        assert (await service.render(request(), Cancel.after(PATIENCE))).scene_version == 1
        assert (looking.done(), scenes.find("zebra").manifest.version) == (False, 1)
        proofs.go_on.set()
        await looking
        return scenes.find("zebra").manifest.version

    assert with_scenes(repository, use) == 2


def test_a_picture_falls_back_while_a_newer_version_is_being_proved(repository, proofs):
    """The one in use turns out to be broken, and the newest is slow to come."""
    add(repository, 2)
    flip(repository, 2)
    proofs.held.add((SCENE, 3))

    async def use(scenes):
        service = RenderService(scenes, LIMITS)
        assert scenes.find(SCENE).manifest.version == 2
        add(repository, 3)
        looking = asyncio.create_task(scenes.look())
        await until(lambda: proofs.begun)
        assert (await service.render(request(), Cancel.after(PATIENCE))).scene_version == 1
        proofs.go_on.set()
        await looking
        await until(lambda: scenes.find(SCENE).manifest.version == 3)
        return (await service.render(request(), Cancel())).scene_version

    assert with_scenes(repository, use) == 3


def test_a_version_that_is_taken_away_while_it_is_proved_is_not_swapped_in(repository, proofs):
    proofs.held |= {(SCENE, 2), (SCENE, 3)}

    async def use(scenes):
        add(repository, 2)
        first = asyncio.create_task(scenes.look())
        await until(lambda: proofs.begun == 1)
        add(repository, 3)
        shutil.rmtree(folder(repository, 2))
        second = asyncio.create_task(scenes.look())
        await until(lambda: proofs.begun == 2)
        shutil.rmtree(folder(repository, 3))
        await asyncio.gather(first, second, scenes.look())
        proofs.go_on.set()
        await asyncio.sleep(0.05)
        assert [version.manifest.version for version in scenes.versions(SCENE)] == [1]
        assert all(version.manifest.version == 1 for version in scenes.loaded)

    with_scenes(repository, use)


def test_who_waits_for_a_proof_is_let_go_at_the_end(repository, proofs):
    proofs.held.add((SCENE, 2))

    async def use(scenes):
        add(repository, 2)
        looking = asyncio.create_task(scenes.look())
        await until(lambda: proofs.begun)
        await scenes.close()
        async with asyncio.timeout(PATIENCE):
            await looking

    with_scenes(repository, use)


def test_a_proof_that_takes_too_long_is_tried_again_by_the_next_look(repository, proofs, monkeypatch, caplog):
    proofs.held.add((SCENE, 2))

    async def use(scenes):
        add(repository, 2)
        with monkeypatch.context() as patch:
            patch.setattr("serving.scenes.scenes.PROOF_SECONDS", 0.05)
            await scenes.look()
        assert "not yet at version 2: it was not there in 0.05 s" in caplog.text
        assert scenes.find(SCENE).manifest.version == 1
        proofs.go_on.set()
        await scenes.look()
        return scenes.find(SCENE).manifest.version

    assert with_scenes(repository, use) == 2


def test_a_look_for_another_version_counts_into_the_deadline_of_a_picture(repository, monkeypatch):
    def no_memory(_self, _version, _options):
        raise EngineUnavailableError("no memory")

    async def use(scenes):
        monkeypatch.setattr(OnnxRuntimeEngine, "load", no_memory)
        monkeypatch.setattr(
            scenes, "_begin_look", partial(asyncio.sleep, PATIENCE)
        )  # of a file system that hangs
        service = RenderService(scenes, LIMITS)
        began = time.monotonic()
        with pytest.raises(EngineUnavailableError, match="no memory"):
            await service.render(request(), Cancel.after(0.2))
        assert time.monotonic() - began < PATIENCE / 2

    with_scenes(repository, use)


def test_swaps_under_load_lose_nothing_mix_nothing_and_leave_nothing(repository, monkeypatch):
    """Pictures of several tiles; each is of one version, and in the end one version is open."""
    monkeypatch.setattr("serving.render.cost.LEAST_TILE_PIXELS", 10)
    monkeypatch.setattr("serving.render.cost.TILE_SECONDS", 1e-9)
    monkeypatch.setattr("serving.render.cost.CALL_SHARE", 10**6)
    opened = weakref.WeakSet()
    start = OpenArtefact.__init__

    def counted(self, *arguments):
        opened.add(self)
        start(self, *arguments)

    monkeypatch.setattr(OpenArtefact, "__init__", counted)
    swaps, seen = 10, []

    async def use(scenes):
        service = RenderService(scenes, LIMITS)
        done = asyncio.Event()

        async def keep_asking(number):
            mine = []
            while not done.is_set():
                wanted = request(1e-3 * len(mine) + number, background=(0, 0, 0))
                picture = await service.render(wanted, Cancel())
                light = analytic_scene.render(*wanted.camera.rays().arrays())[0] / picture.scene_version
                shown = np.load(io.BytesIO(picture.image.data))
                np.testing.assert_allclose(shown, light.reshape(6, 8, 3), atol=2e-5)
                mine.append(picture.scene_version)
                seen.append(picture.scene_version)
            assert mine == sorted(mine)

        async def swap():
            await until(lambda: seen)
            for version in range(2, 2 + swaps):
                add(repository, version)
                shutil.rmtree(folder(repository, version - 1))
                await scenes.look()
                await until(lambda version=version: seen[-1] == version)
            done.set()

        await asyncio.gather(swap(), *(keep_asking(number) for number in range(3)))
        assert scenes.loaded.counts == {"loaded": 1 + swaps}
        assert scenes.loaded.bytes == scenes.find(SCENE).loaded_bytes
        await until(lambda: len(opened) == 1)

    with_scenes(repository, use)
    assert set(seen) == set(range(1, 2 + swaps))
