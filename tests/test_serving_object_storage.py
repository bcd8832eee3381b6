"""A repository in object storage is served, from a bounded folder, through the storage's faults."""

import errno
import re
import shutil
import tempfile
import threading
from pathlib import Path
from unittest.mock import Mock

import analytic_scene
import pytest
from changing_repository import SCENE, add, flip, folder, rendered, with_scenes, write_golden
from waiting import PATIENCE, until

from neurocity.contract import MANIFEST_FILE
from neurocity.errors import ConfigError, EngineUnavailableError, StorageError
from neurocity.object_store import ObjectStore
from serving.scenes.cache_folder import CacheFolder
from serving.scenes.loaded import VersionRefusedError

MODEL = f"{SCENE}_onnx"


@pytest.fixture
def bucket(tmp_path):
    """A folder as object storage, with version 1."""
    return add(tmp_path / "bucket", 1)


def cached(cache):
    """The files in a cache folder, but manifests."""
    files = (file for file in Path(cache).rglob("*") if file.is_file())
    names = {file.relative_to(cache).as_posix() for file in files if file.name != MANIFEST_FILE}
    return names - {"lock"}


def test_versions_come_and_go(bucket, tmp_path):
    async def use(scenes):
        assert cached(tmp_path / "cache") == set()
        assert await rendered(scenes) == 1
        assert cached(tmp_path / "cache") == {f"models/{MODEL}/1/model.onnx"}
        add(bucket, 2)
        await scenes.look()
        assert await rendered(scenes) == 2
        shutil.rmtree(folder(bucket, 1))
        await scenes.look()
        assert [version.manifest.version for version in scenes.versions(SCENE)] == [2]
        assert cached(tmp_path / "cache") == {f"models/{MODEL}/2/model.onnx"}

    with_scenes(f"file://{bucket}", use, repository_cache=tmp_path / "cache")


def test_a_version_without_its_manifest_is_not_there(bucket):
    add(bucket, 2)
    (folder(bucket, 2) / MANIFEST_FILE).rename(bucket / "later")

    async def use(scenes):
        await scenes.look()
        assert (await rendered(scenes), dict(scenes.refused())) == (1, {})
        (bucket / "later").rename(folder(bucket, 2) / MANIFEST_FILE)
        await scenes.look()
        assert await rendered(scenes) == 2

    with_scenes(f"file://{bucket}", use)


def test_what_was_fetched_is_not_fetched_again(bucket, tmp_path):
    options = {"repository_cache": tmp_path / "cache"}
    assert with_scenes(f"file://{bucket}", rendered, **options) == 1
    artefact = folder(bucket, 1) / "model.onnx"
    artefact.write_bytes(bytes(artefact.stat().st_size))  # whoever fetched it now would refuse it
    assert with_scenes(f"file://{bucket}", rendered, **options) == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(bucket, tmp_path):
    cache = tmp_path / "cache"
    assert with_scenes(f"file://{bucket}", rendered, repository_cache=cache) == 1
    flip(cache / "models", 1)
    assert with_scenes(f"file://{bucket}", rendered, repository_cache=cache) == 1


def test_the_golden_rays_are_fetched_and_prove_a_version(bucket):
    write_golden(folder(bucket, 1))
    add(bucket, 2)
    write_golden(folder(bucket, 2))  # answers of version 1

    async def use(scenes):
        await scenes.look()
        with pytest.raises(VersionRefusedError, match="is not equal to its model") as refused:
            await rendered(scenes)
        assert f"file://{bucket}/{MODEL}/2" in str(refused.value)
        await scenes.look()
        assert await rendered(scenes) == 1

    with_scenes(f"file://{bucket}", use)


def test_a_truncated_object_is_refused_until_it_changes(bucket):
    add(bucket, 2)
    artefact = folder(bucket, 2) / "model.onnx"
    whole = artefact.read_bytes()
    artefact.write_bytes(whole[:-10])

    async def use(scenes):
        assert re.search(
            rf"has {len(whole) - 10} bytes, .* says {len(whole)}", scenes.refused()[f"{MODEL}/2"]
        )
        assert await rendered(scenes) == 1
        artefact.write_bytes(whole)
        await scenes.look()
        assert (await rendered(scenes), dict(scenes.refused())) == (2, {})

    with_scenes(f"file://{bucket}", use)


def test_an_object_with_other_bytes_is_refused_until_it_changes(bucket):
    async def use(scenes):
        assert await rendered(scenes) == 1
        add(bucket, 2)
        flip(bucket, 2)
        await scenes.look()
        assert await rendered(scenes) == 1
        assert "model.onnx: has SHA-256" in scenes.refused()[f"{MODEL}/2"]
        flip(bucket, 2)
        await scenes.look()
        assert (await rendered(scenes), dict(scenes.refused())) == (2, {})

    with_scenes(f"file://{bucket}", use)


def test_a_download_that_is_cut_off_is_tried_again(bucket, monkeypatch):
    download = ObjectStore.download

    def cut(store, name, file):
        download(store, name, file)
        file.write_bytes(file.read_bytes()[:-10])

    async def use(scenes):
        monkeypatch.setattr(ObjectStore, "download", cut)
        with pytest.raises(EngineUnavailableError, match=r"model\.onnx: \d+ bytes of \d+ have come"):
            await rendered(scenes)
        monkeypatch.undo()
        assert await rendered(scenes) == 1
        monkeypatch.setattr(ObjectStore, "download", cut)
        add(bucket, 2)
        await scenes.look()
        assert await rendered(scenes) == 1
        monkeypatch.undo()
        await scenes.look()
        assert await rendered(scenes) == 2

    with_scenes(f"file://{bucket}", use)


def test_a_manifest_that_cannot_be_read_keeps_no_other_away(bucket):
    add(bucket, 1, "other")
    manifest = folder(bucket, 2) / MANIFEST_FILE

    async def use(scenes):
        add(bucket, 2)
        whole = manifest.read_bytes()
        manifest.unlink()
        manifest.symlink_to("/proc/self/mem")  # whose first bytes cannot be read
        add(bucket, 2, "other")
        await scenes.look()
        assert (await rendered(scenes), await rendered(scenes, "other")) == (1, 2)
        assert f"{MODEL}/2/{MANIFEST_FILE} cannot be read" in scenes.refused()[f"{MODEL}/2"]
        manifest.unlink()
        manifest.write_bytes(whole)
        await scenes.look()
        assert (await rendered(scenes), dict(scenes.refused())) == (2, {})
        manifest.unlink()
        manifest.symlink_to("/proc/self/mem")
        scenes.loaded.unload(scenes.find(SCENE))
        await scenes.look()
        assert await rendered(scenes) == 2, "it stays what it was"
        assert list(scenes.refused()) == [f"{MODEL}/2"]

    with_scenes(f"file://{bucket}", use)


def test_a_storage_that_lists_and_gives_nothing_is_not_an_empty_one(bucket):
    manifest = folder(bucket, 1) / MANIFEST_FILE
    manifest.unlink()
    manifest.symlink_to("/proc/self/mem")
    with pytest.raises(StorageError, match=f"{MODEL}/1/{MANIFEST_FILE} cannot be read"):
        with_scenes(f"file://{bucket}", rendered)


def test_files_that_are_slow_to_come_keep_no_other_scene_away(bucket, monkeypatch):
    slow, gone = "a-slow-one", "gone"
    for name in (slow, gone):
        add(bucket, 1, name)
    download, begun, go_on = ObjectStore.download, threading.Event(), threading.Event()

    def wait(store, name, file):
        if name.startswith(slow):
            begun.set()
            assert go_on.wait(PATIENCE)
        download(store, name, file)

    async def use(scenes):
        assert await rendered(scenes, slow) == 1
        monkeypatch.setattr(ObjectStore, "download", wait)
        add(bucket, 2, slow)
        scenes.look_soon()
        await until(begun.is_set)
        add(bucket, 2)
        shutil.rmtree(bucket / f"{gone}_onnx")
        scenes.look_soon()
        await until(lambda: scenes.find(SCENE).manifest.version == 2 and gone not in scenes.scenes())
        assert await rendered(scenes, slow) == 1
        add(bucket, 3, slow)  # found while the second is on its way
        scenes.look_soon()
        go_on.set()
        await until(lambda: scenes.find(slow).manifest.version == 3)

    with_scenes(f"file://{bucket}", use)


def test_the_cache_has_a_bound(bucket, tmp_path):
    for name in ("second", "third"):
        add(bucket, 1, name)
    size = (folder(bucket, 1) / "model.onnx").stat().st_size

    async def use(scenes):
        for name in (SCENE, "second", SCENE, "third"):
            await scenes.find(name).render_canary()
            scenes.loaded.limit = 0  # what is not leased is unloaded
        assert cached(tmp_path / "cache") == {f"models/{name}_onnx/1/model.onnx" for name in (SCENE, "third")}
        await scenes.find("second").render_canary()

    options = {"repository_cache": tmp_path / "cache", "repository_cache_bytes": 2 * size}
    with_scenes(f"file://{bucket}", use, loaded_bytes=1, **options)


def test_a_file_larger_than_the_cache_is_refused(bucket):
    async def use(scenes):
        with pytest.raises(VersionRefusedError, match="--repository-cache-bytes allows 1000"):
            await rendered(scenes)

    with_scenes(f"file://{bucket}", use, repository_cache_bytes=1000)


def test_what_is_in_use_makes_no_room(tmp_path):
    cache = CacheFolder(tmp_path, 100)
    version = cache.models / "model" / "1"
    version.mkdir(parents=True)
    (version / "file").write_bytes(bytes(60))
    with cache.in_use(version), pytest.raises(EngineUnavailableError, match="no room for 50"), cache.room(50):
        pass
    with cache.room(50), pytest.raises(EngineUnavailableError, match="no room for 60"), cache.room(60):
        pass
    assert not (version / "file").exists()
    with cache.room(100):
        pass
    cache.close()


def test_a_full_disk_takes_no_room_for_good(tmp_path, monkeypatch):
    cache = CacheFolder(tmp_path, 100)
    with monkeypatch.context() as full:
        full.setattr(tempfile, "mkdtemp", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match="No space left"), cache.room(60):
            pass
    with cache.room(60):
        pass
    cache.close()


def test_a_cache_belongs_to_one_process(tmp_path):
    cache = CacheFolder(tmp_path, 100)
    with pytest.raises(ConfigError, match="another process uses"):
        CacheFolder(tmp_path, 100)
    cache.close()
    CacheFolder(tmp_path, 100).close()


def test_names_that_are_no_place_stay_outside(bucket):
    stored = folder(bucket, 1)
    shutil.copytree(stored, bucket / "a model" / "1")
    analytic_scene.rename_artefact(add(bucket, 1, "evil") / "evil_onnx" / "1", "../../../out.onnx")

    async def use(scenes):
        assert list(scenes.scenes()) == [SCENE]
        assert "its name is not of the form" in scenes.refused()["a model"]
        assert "expected one of its own folder" in scenes.refused()["evil_onnx/1"]

    with_scenes(f"file://{bucket}", use)
