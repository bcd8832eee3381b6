"""A repository in object storage is served, from a bounded folder, through the storage's faults."""

import asyncio
import errno
import logging
import re
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from unittest.mock import Mock

import analytic_scene
import pytest
import s3fs
from changing_repository import SCENE, add, flip, folder, rendered, with_scenes, write_golden
from waiting import PATIENCE, until

from benchmarks.s3_server import KEY, running_s3, running_seaweedfs
from export.repository.upload import upload
from neurocity import object_store
from neurocity.contract import MANIFEST_FILE
from neurocity.errors import ConfigError, EngineUnavailableError, SceneNotFoundError, StorageError
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


@pytest.fixture
def s3(tmp_path, monkeypatch):
    """A real S3 server, whose objects are files in the folder that is returned with it, and version 1."""
    objects = tmp_path / "s3" / "bucket"
    objects.mkdir(parents=True)
    with running_s3(objects.parent) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        publish(tmp_path, 1)
        yield server, objects


def publish(place, number):
    made = add(place / "made", number)
    upload(made / MODEL, number, ObjectStore("s3://bucket/models"))


def test_s3_and_its_death(s3, tmp_path, caplog):
    """What is loaded, and what was fetched, is rendered without the server; later new versions come again."""
    server, objects = s3
    caplog.set_level(logging.INFO, "neurocity.serving")

    async def use(scenes):
        assert await rendered(scenes) == 1
        await asyncio.to_thread(publish, tmp_path, 2)
        await scenes.look()
        assert await rendered(scenes) == 2
        server.process.kill()
        await asyncio.to_thread(server.process.wait)
        for _ in range(3):
            await scenes.look()
            assert await rendered(scenes) == 2
        scenes.loaded.unload(scenes.find(SCENE))
        assert await rendered(scenes) == 2
        assert len([line for line in caplog.messages if "cannot be looked at" in line]) == 1
        with running_s3(objects.parent, server.port):
            await asyncio.to_thread(publish, tmp_path, 3)
            await scenes.look()
            assert await rendered(scenes) == 3
        assert "scenes: they can be looked at again" in caplog.messages

    with_scenes("s3://bucket/models", use)


def test_a_scene_that_was_not_fetched_waits_for_s3(s3):
    server, objects = s3

    async def use(scenes):
        server.process.kill()
        await asyncio.to_thread(server.process.wait)
        with pytest.raises(EngineUnavailableError, match=r"model\.onnx cannot be read"):
            await rendered(scenes)
        with running_s3(objects.parent, server.port):
            assert await rendered(scenes) == 1
        assert scenes.loaded.counts == {"failed": 1, "loaded": 1}

    with_scenes("s3://bucket/models", use)


def test_s3_that_takes_connections_and_says_nothing(s3, monkeypatch, caplog):
    """Sooner than it is shipped to be told, what is fetched is served, and nobody waits at the end."""
    server, _ = s3
    caplog.set_level(logging.INFO, "neurocity.serving")
    options = object_store._OPTIONS["s3"]
    quick = options["config_kwargs"] | {"read_timeout": 0.1}
    monkeypatch.setitem(options, "config_kwargs", quick)

    async def use(scenes):
        assert await rendered(scenes) == 1
        server.process.kill()
        await asyncio.to_thread(server.process.wait)
        with socket.create_server(("127.0.0.1", server.port)):
            await scenes.look()
            assert await rendered(scenes) == 1
        (line,) = [line for line in caplog.messages if "cannot be looked at" in line]
        assert "timeout" in line.lower()

    with_scenes("s3://bucket/models", use)


def test_s3_that_takes_the_credentials_no_more(s3, caplog):
    server, objects = s3
    caplog.set_level(logging.INFO, "neurocity.serving")

    async def use(scenes):
        assert await rendered(scenes) == 1
        server.process.kill()
        await asyncio.to_thread(server.process.wait)
        with running_s3(objects.parent, server.port, secret="another"):
            await scenes.look()
            assert await rendered(scenes) == 1
        (line,) = [line for line in caplog.messages if "cannot be looked at" in line]
        assert "access is denied" in line

    with_scenes("s3://bucket/models", use)


@pytest.mark.slow
def test_another_kind_of_s3_server(tmp_path, monkeypatch):
    """SeaweedFS: a version, and the next one while it is served."""
    (tmp_path / "seaweedfs").mkdir()
    with running_seaweedfs(tmp_path / "seaweedfs") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
        publish(tmp_path, 1)

        async def use(scenes):
            assert await rendered(scenes) == 1
            await asyncio.to_thread(publish, tmp_path, 2)
            await scenes.look()
            assert await rendered(scenes) == 2

        with_scenes("s3://bucket/models", use)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
        with pytest.raises(StorageError, match="access is denied"):
            with_scenes("s3://bucket/models", rendered)


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("url", "variables", "message"),
    [
        ("s3://bucket/models", {"AWS_SECRET_ACCESS_KEY": "a-wrong-secret"}, "access is denied"),
        ("s3://bucket/models", {"AWS_ACCESS_KEY_ID": "a-wrong-key"}, "access is denied"),
        ("s3://other/models", {}, "is not there"),
    ],
    ids=["secret", "key", "bucket"],
)
def test_wrong_credentials_end_the_start(monkeypatch, url, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError, match=f"{url}: cannot be listed: {message}") as refused:
        with_scenes(url, rendered)
    assert not [secret for secret in (KEY, *variables.values()) if secret in str(refused.value)]


@pytest.mark.usefixtures("s3")
def test_an_empty_prefix_has_no_scenes():
    async def use(scenes):
        with pytest.raises(SceneNotFoundError, match="known: none"):
            await rendered(scenes)

    with_scenes("s3://bucket/nothing", use)
