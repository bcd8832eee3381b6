"""A repository in real S3 servers: their death, silence and refusals, through which a gateway serves on."""

import asyncio
import logging
import socket

import pytest
import s3fs
from changing_repository import SCENE, add, rendered, with_scenes

from benchmarks.s3_server import KEY, running_s3, running_seaweedfs
from export.repository.upload import upload
from neurocity import object_store
from neurocity.errors import EngineUnavailableError, SceneNotFoundError, StorageError
from neurocity.object_store import ObjectStore

MODEL = f"{SCENE}_onnx"


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
