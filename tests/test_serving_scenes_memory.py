"""What loaded scenes take, and that it goes back."""

import platform

import numpy as np
import pytest
from changing_repository import SCENE, add, with_scenes
from waiting import until

from serving.engines.onnxruntime_engine import OnnxRuntimeEngine
from serving.scenes.memory import own_memory


@pytest.fixture
def repository(tmp_path):
    return add(tmp_path / "repository", 1)


def test_memory_of_a_version_is_not_reckoned_against_that_of_one_that_makes_room_for_it(
    repository, monkeypatch
):
    size = 2**16
    for name in ("a", "b"):
        add(repository, 1, name)
    monkeypatch.setattr(OnnxRuntimeEngine, "load", lambda *_: [np.ones(size, np.uint8) for _ in range(1000)])

    async def use(scenes):
        for name in ("a", "b", "a"):
            async with scenes.find(name).lease():
                pass
            assert [version.manifest.scene for version in scenes.loaded] == [name]
            assert scenes.find(name).loaded_bytes > 0.8 * 1000 * size

    with_scenes(repository, use, loaded_bytes=1500 * size)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no such memory")
def test_memory_of_what_is_unloaded_goes_back_to_the_system(repository):
    """Also where something that was made later is still in use."""
    blocks, size = 1000, 2**16

    async def use(scenes):
        version = scenes.find(SCENE)
        async with version.lease() as opened:
            opened._program = [opened._program, *(np.ones(size, np.uint8) for _ in range(blocks))]
            later = np.ones(size, np.uint8)
        before = own_memory()
        scenes.loaded.unload(version)
        await until(lambda: own_memory() < before - 0.8 * blocks * size)
        return later

    with_scenes(repository, use)
