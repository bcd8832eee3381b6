"""Scenes that come and go: loaded when asked for, swapped while they are rendered, refused when broken."""

import asyncio
import os
import shutil
import threading
import weakref
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from changing_repository import (
    RAYS,
    SCENE,
    add,
    flip,
    folder,
    rendered,
    version_of,
    with_scenes,
    write_golden,
)
from waiting import PATIENCE, until

from neurocity.contract import MANIFEST_FILE
from neurocity.errors import EngineUnavailableError, SceneNotFoundError
from serving.engines.onnxruntime_engine import OnnxRuntimeEngine
from serving.scenes.loaded import VersionRefusedError


@pytest.fixture
def repository(tmp_path):
    return add(tmp_path / "repository", 1)


def test_nothing_is_loaded_before_it_is_asked_for_and_then_once(repository):
    for number in range(50):
        add(repository, 1, f"s{number:02d}")

    async def use(scenes):
        assert len(scenes.scenes()) == 51
        assert not list(scenes.loaded)
        await asyncio.gather(*(rendered(scenes, "s07") for _ in range(20)))
        assert scenes.loaded.counts == {"loaded": 1}
        assert [version.manifest.scene for version in scenes.loaded] == ["s07"]
        assert scenes.find("s07").loaded_bytes >= scenes.find("s07").manifest.artefact.bytes
        assert scenes.loaded.bytes == scenes.find("s07").loaded_bytes

    with_scenes(repository, use)


def test_a_load_goes_on_when_its_caller_leaves_and_keeps_the_loop_free(repository, monkeypatch):
    load, go_on = OnnxRuntimeEngine.load, threading.Event()

    def slow(self, version, options):
        assert go_on.wait(PATIENCE)
        return load(self, version, options)

    monkeypatch.setattr(OnnxRuntimeEngine, "load", slow)

    async def use(scenes):
        leaving = asyncio.create_task(rendered(scenes))
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert not scenes.find(SCENE).loaded
        leaving.cancel()
        go_on.set()
        assert await rendered(scenes) == 1
        assert scenes.loaded.counts == {"loaded": 1}
        assert scenes.find(SCENE).leases == 0

    with_scenes(repository, use)


def test_what_was_not_used_for_longest_is_unloaded_but_not_what_is_leased(repository, monkeypatch):
    monkeypatch.setattr("serving.scenes.loaded.own_memory", lambda: 0)  # so that sizes are those of the files
    for name in ("a", "b", "c"):
        add(repository, 1, name)
    size = (folder(repository, 1, "a") / "model.onnx").stat().st_size

    def loaded(scenes):
        return sorted(version.manifest.scene for version in scenes.loaded)

    async def use(scenes):
        for name in ("a", "b", "a", "c"):
            await rendered(scenes, name)
        assert loaded(scenes) == ["a", "c"]
        async with AsyncExitStack() as leases:
            for name in ("a", "b", "c"):
                await leases.enter_async_context(scenes.find(name).lease())
            assert loaded(scenes) == ["a", "b", "c"]
        assert len(loaded(scenes)) == 2
        assert scenes.loaded.bytes == 2 * size

    with_scenes(repository, use, loaded_bytes=2 * size + size // 2)


def test_a_new_version_takes_the_place_of_the_old_one_which_is_freed_after_its_last_lease(repository):
    async def use(scenes):
        old = scenes.find(SCENE)
        async with old.lease() as opened:
            program = weakref.ref(opened)
            add(repository, 2)
            await scenes.look()
            assert await rendered(scenes) == 2
            assert scenes.find(SCENE).proved
            assert version_of((await opened.render(RAYS, None)).rgb) == 1
            assert old.loaded
        del opened
        assert not old.loaded
        await until(lambda: program() is None)
        assert [item.manifest.version for item in scenes.versions(SCENE)] == [1, 2]
        async with scenes.find(SCENE, 1).lease() as again:
            assert version_of((await again.render(RAYS, None)).rgb) == 1
        with pytest.raises(SceneNotFoundError, match="got version 3 of scene 'sphere', known: 1, 2"):
            scenes.find(SCENE, 3)

    with_scenes(repository, use)


def test_a_broken_version_is_refused_once_until_it_changes(repository):
    async def use(scenes):
        assert await rendered(scenes) == 1
        add(repository, 2)
        flip(repository, 2)
        for _ in range(3):
            await scenes.look()
        assert scenes.loaded.counts == {"loaded": 1, "refused": 1}
        (refusal,) = scenes.refused().items()
        assert refusal[0] == "sphere_onnx/2"
        assert "has SHA-256" in refusal[1]
        assert await rendered(scenes) == 1
        flip(repository, 2)
        await scenes.look()
        assert await rendered(scenes) == 2
        assert scenes.refused() == {}

    with_scenes(repository, use)


def test_sighup_tries_what_was_refused_again(repository, monkeypatch):
    add(repository, 2)
    load = OnnxRuntimeEngine.load

    def broken(self, version, options):
        if version.manifest.version == 2:
            raise RuntimeError("no such operator")
        return load(self, version, options)

    async def use(scenes):
        monkeypatch.setattr(OnnxRuntimeEngine, "load", broken)
        for _ in range(2):
            with pytest.raises(VersionRefusedError, match="no such operator"):
                await rendered(scenes)
        assert scenes.loaded.counts == {"refused": 1}
        await scenes.look()
        assert await rendered(scenes) == 1
        monkeypatch.setattr(OnnxRuntimeEngine, "load", load)
        await scenes.look()
        assert await rendered(scenes) == 1
        scenes.look_soon()
        await until(lambda: scenes.find(SCENE).manifest.version == 2)

    with_scenes(repository, use)


@pytest.mark.parametrize("scale", [float("nan"), 0.5])
def test_a_version_that_renders_something_else_than_its_model_is_refused(repository, scale):
    """Without golden files one ray is rendered, whose light must be finite."""

    async def use(scenes):
        assert await rendered(scenes) == 1
        add(repository, 2, rgb_scale=scale)
        if np.isfinite(scale):
            write_golden(folder(repository, 2))
        await scenes.look()
        assert await rendered(scenes) == 1
        assert [version.manifest.version for version in scenes.loaded] == [1]
        return scenes.refused()["sphere_onnx/2"]

    reason = with_scenes(repository, use)
    if np.isfinite(scale):
        assert "is not equal to its model: rgb error of rays is 0.3" in reason
        assert "its manifest allows 0.002" in reason
    else:
        assert "not finite" in reason


def test_a_version_that_is_equal_to_its_model_is_proved(repository):
    write_golden(folder(repository, 1))

    async def use(scenes):
        assert await rendered(scenes) == 1
        assert scenes.loaded.counts == {"loaded": 1}

    with_scenes(repository, use)


def test_a_version_that_is_damaged_where_it_stands_goes_on_as_long_as_it_is_loaded(repository):
    async def use(scenes):
        assert await rendered(scenes) == 1
        flip(repository, 1)
        await scenes.look()
        assert await rendered(scenes) == 1
        assert "has SHA-256" in scenes.refused()["sphere_onnx/1"]
        assert not scenes.find(SCENE).replaceable
        shutil.rmtree(folder(repository, 1).parent)
        await scenes.look()
        assert scenes.scenes() == {}
        assert scenes.loaded.bytes == 0

    with_scenes(repository, use)


def test_scenes_are_found_and_removed(repository):
    async def use(scenes):
        add(repository, 1, "new")
        await scenes.look()
        assert await rendered(scenes, "new") == 1
        shutil.rmtree(folder(repository, 1).parent)
        await scenes.look()
        with pytest.raises(SceneNotFoundError, match="got scene 'sphere', known: new"):
            scenes.find(SCENE)
        repository.rename(repository.with_name("away"))
        await scenes.look()  # a file system that is gone for a while is no order to serve nothing
        assert await rendered(scenes, "new") == 1

    with_scenes(repository, use)


def test_an_older_version_comes_back_when_the_newer_is_taken_away(repository):
    add(repository, 2)

    async def use(scenes):
        assert await rendered(scenes) == 2
        shutil.rmtree(folder(repository, 2))
        await scenes.look()
        assert await rendered(scenes) == 1

    with_scenes(repository, use)


def test_a_link_that_is_swapped_is_found_by_polling(tmp_path):
    for name, version in (("a", 1), ("b", 2)):
        add(tmp_path / name, version)
    link = tmp_path / "repository"
    link.symlink_to(tmp_path / "a")

    async def use(scenes):
        assert await rendered(scenes) == 1
        other = tmp_path / "next"
        other.symlink_to(tmp_path / "b")
        other.rename(link)
        await until(lambda: scenes.find(SCENE).manifest.version == 2)
        assert await rendered(scenes) == 2

    with_scenes(link, use, poll_seconds=0.05)


def test_a_failure_that_may_pass_is_not_kept(repository, monkeypatch):
    load = OnnxRuntimeEngine.load

    def full(_self, _version, _options):
        raise EngineUnavailableError("no memory")

    async def use(scenes):
        monkeypatch.setattr(OnnxRuntimeEngine, "load", full)
        with pytest.raises(EngineUnavailableError, match="no memory"):
            await rendered(scenes)
        monkeypatch.setattr(OnnxRuntimeEngine, "load", load)
        assert await rendered(scenes) == 1
        assert scenes.loaded.counts == {"failed": 1, "loaded": 1}

    with_scenes(repository, use)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError()])
def test_a_load_for_which_there_was_no_room_is_tried_again(repository, monkeypatch, error):
    """It says nothing of the files, which would not be tried again before they change."""
    load = OnnxRuntimeEngine.load

    def full(_self, _version, _options):
        raise error

    async def use(scenes):
        monkeypatch.setattr(OnnxRuntimeEngine, "load", full)
        with pytest.raises(EngineUnavailableError):
            await rendered(scenes)
        monkeypatch.setattr(OnnxRuntimeEngine, "load", load)
        assert await rendered(scenes) == 1
        assert scenes.refused() == {}

    with_scenes(repository, use)


def test_a_new_version_that_has_to_wait_is_told_once_and_comes_later(repository, monkeypatch, caplog):
    load = OnnxRuntimeEngine.load

    def full(_self, _version, _options):
        raise MemoryError

    async def use(scenes):
        assert await rendered(scenes) == 1
        add(repository, 2)
        monkeypatch.setattr(OnnxRuntimeEngine, "load", full)
        for _ in range(3):
            await scenes.look()
        assert await rendered(scenes) == 1
        monkeypatch.setattr(OnnxRuntimeEngine, "load", load)
        await scenes.look()
        assert await rendered(scenes) == 2

    with_scenes(repository, use)
    assert caplog.text.count("not yet at version 2: sphere_onnx/2: MemoryError") == 1


def test_an_artefact_that_cannot_be_read_now_is_tried_again(repository, monkeypatch):
    def full(_path):
        raise OSError(24, "Too many open files")

    async def use(scenes):
        with monkeypatch.context() as patch:
            patch.setattr("neurocity.model_repository.file_sha256", full)
            with pytest.raises(EngineUnavailableError, match="Too many open files"):
                await rendered(scenes)
        assert await rendered(scenes) == 1

    with_scenes(repository, use)


def test_a_manifest_that_cannot_be_read_now_is_read_again(repository, monkeypatch):
    read_text = Path.read_text

    def full(path, *arguments, **options):
        if path.name == MANIFEST_FILE:
            raise OSError(24, "Too many open files")
        return read_text(path, *arguments, **options)

    async def use(scenes):
        add(repository, 2)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", full)
            await scenes.look()
        assert "Too many open files" in scenes.refused()["sphere_onnx/2"]
        await scenes.look()
        assert await rendered(scenes) == 2

    with_scenes(repository, use)


def test_a_folder_that_cannot_be_read_for_a_moment_stays_what_it_was(repository, monkeypatch):
    scandir = os.scandir

    def broken(path="."):
        if str(path) == str(folder(repository, 1)):
            raise OSError(5, "Input/output error")
        return scandir(path)

    async def use(scenes):
        before = scenes.find(SCENE)
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", broken)
            await scenes.look()
            assert "Input/output error" in scenes.refused()["sphere_onnx/1"]
            assert await rendered(scenes) == 1
        await scenes.look()
        assert scenes.refused() == {}
        assert scenes.find(SCENE) is before

    with_scenes(repository, use)


def test_what_nobody_foresaw_of_one_scene_keeps_no_other_away(repository, monkeypatch, caplog):
    async def use(scenes):
        assert await rendered(scenes) == 1
        add(repository, 2)
        add(repository, 1, "zebra")
        monkeypatch.setattr("serving.scenes.loaded.prove", None)  # a fault: it cannot be called
        await scenes.look()
        assert sorted(scenes.scenes()) == [SCENE, "zebra"]
        assert await rendered(scenes) == 1

    with_scenes(repository, use)
    assert "scene sphere: stays as it is" in caplog.text
