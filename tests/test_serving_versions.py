"""Scenes that come and go, as clients and operators see them: versions, the lists, metrics, SIGHUP."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from changing_repository import SCENE, add, flip, folder
from gateway_server import running_gateway
from test_serving_telemetry import samples
from waiting import PATIENCE, wait_for

from serving.app import create_app
from serving.settings import Settings

LINK = f"/v1/scenes/{SCENE}/render.png?eye=3,-2.5,2&target=0,0,0.4&width=8&height=6"
POST = {"camera": {"look_at": {"eye": [3, -2.5, 2], "target": [0, 0, 0.4]}}, "width": 8, "height": 6}


@pytest.fixture
def repository(tmp_path):
    """A scene of two versions, of which the second is half as bright."""
    return add(add(tmp_path / "repository", 1), 2)


@pytest.fixture
def client(repository):
    settings = Settings(repository=repository, engine="onnxruntime", threads=1, poll_seconds=0.05)
    with running_gateway(create_app(settings)) as client:
        yield client


def admin(client):
    return client.get("/v1/admin/scenes").raise_for_status().json()


def test_a_version_can_be_asked_for(client, repository):
    pictures = {number: client.get(f"{LINK}&version={number}") for number in (1, 2)}
    newest = client.get(LINK)
    assert [pictures[number].headers["x-scene-version"] for number in (1, 2)] == ["1", "2"]
    assert newest.content == pictures[2].content != pictures[1].content
    assert newest.headers["etag"] == pictures[2].headers["etag"] != pictures[1].headers["etag"]
    posted = client.post(f"/v1/scenes/{SCENE}/render?version=1", json=POST)
    assert posted.content == pictures[1].content
    described = client.get(f"/v1/scenes/{SCENE}?version=1").json()
    assert described["version"] == 1
    assert described["versions"] == [1, 2]
    assert described["artefact_bytes"] == (folder(repository, 1) / "model.onnx").stat().st_size


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{LINK}&version=7"),
        ("GET", f"/v1/scenes/{SCENE}?version=7"),
        ("POST", f"/v1/scenes/{SCENE}/render?version=7"),
    ],
)
def test_an_unknown_version_is_told_with_the_known_ones(client, method, path):
    answer = client.request(method, path, json=POST if method == "POST" else None)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "got version 7 of scene 'sphere', known: 1, 2"


@pytest.mark.parametrize("version", ["0", "-1", "new"])
def test_what_is_no_version_is_named(client, version):
    for answer in (
        client.get(f"{LINK}&version={version}"),
        client.post(f"/v1/scenes/{SCENE}/render?version={version}", json=POST),
        client.get(f"/v1/scenes/{SCENE}?version={version}"),
    ):
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "version"


def test_the_lists_say_what_is_loaded_and_what_is_refused(client, repository):
    (listed,) = client.get("/v1/scenes").json()["scenes"]
    assert (listed["version"], listed["loaded"], listed["loaded_bytes"]) == (2, False, 0)
    assert listed["pixels_per_second"] is None
    client.get(LINK.replace("width=8&height=6", "width=80&height=60")).raise_for_status()
    (listed,) = client.get("/v1/scenes").json()["scenes"]
    size = (folder(repository, 2) / "model.onnx").stat().st_size
    assert listed["loaded"]
    assert listed["loaded_bytes"] >= size
    assert listed["pixels_per_second"] > 0
    add(repository, 3)
    flip(repository, 3)
    (repository / "lost+found").mkdir()
    wait_for(lambda: len(admin(client)["refused"]) == 2)
    told = admin(client)
    (scene,) = told["scenes"]
    assert scene["scene"] == SCENE
    older, newest = scene["versions"]
    assert (older["version"], older["current"], older["loaded"], older["last_used"]) == (
        1,
        False,
        False,
        None,
    )
    assert (newest["version"], newest["current"], newest["leases"]) == (2, True, 0)
    assert newest["place"] == "sphere_onnx/2"
    assert newest["engine"] == "onnxruntime"
    used = datetime.now(UTC) - datetime.fromisoformat(newest["last_used"])
    assert timedelta(0) <= used < timedelta(minutes=10)
    assert told["loaded_bytes"] == newest["loaded_bytes"] == listed["loaded_bytes"]
    assert told["loaded_bytes_limit"] > 2**20
    refused = {item["place"]: item["reason"] for item in told["refused"]}
    assert sorted(refused) == ["lost+found", "sphere_onnx/3"]
    assert "has SHA-256" in refused["sphere_onnx/3"]
    assert str(repository) not in str(told)
    found = samples(client)
    assert found["neurocity_scene_loaded_bytes", SCENE] == newest["loaded_bytes"]
    assert found["neurocity_scene_loads_total", "loaded"] == 1
    assert found["neurocity_scene_loads_total", "refused"] == 1
    assert found["neurocity_refused",] == 2


def test_a_gateway_without_scenes_starts_and_waits_for_them(tmp_path):
    settings = Settings(repository=tmp_path, engine="onnxruntime", threads=1, poll_seconds=0.05)
    with running_gateway(create_app(settings)) as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/v1/scenes").json() == {"scenes": []}
        assert client.get("/readyz").status_code == 503
        add(tmp_path, 1)
        wait_for(lambda: client.get("/readyz").status_code == 200)
        assert client.get(LINK).status_code == 200
        shutil.rmtree(tmp_path / "sphere_onnx")
        wait_for(lambda: client.get(LINK).status_code == 404)


def test_sighup_has_the_repository_looked_at(repository):
    shutil.rmtree(folder(repository, 2))
    command = [str(Path(sys.executable).with_name("neurocity-serve")), "--port", "0", "--poll-seconds", "0"]
    options = ["--repository", str(repository), "--engine", "onnxruntime", "--threads", "1"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            url = process.stdout.readline().split()[-1].rstrip("/")
            assert httpx.get(url + LINK, timeout=PATIENCE).headers["x-scene-version"] == "1"
            add(repository, 2)
            os.kill(process.pid, signal.SIGHUP)
            wait_for(lambda: httpx.get(url + LINK, timeout=PATIENCE).headers["x-scene-version"] == "2")
        finally:
            process.terminate()
            _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, log
    assert "scene sphere: version 2 by engine onnxruntime" in log


def test_what_a_picture_shows_is_what_its_tag_is_of(repository, monkeypatch):
    """A version that comes between the look at a request and its render."""
    shutil.rmtree(folder(repository, 2))
    settings = Settings(repository=repository, engine="onnxruntime", threads=1, poll_seconds=0)
    app = create_app(settings)
    with running_gateway(app) as client:
        gateway = app.state.gateway
        first = client.get(LINK)
        render = gateway.service.render

        async def swapped(request, cancel):
            monkeypatch.undo()
            add(repository, 2)
            await gateway.scenes.look()
            return await render(request, cancel)

        monkeypatch.setattr(gateway.service, "render", swapped)
        second, third = client.get(LINK), client.get(LINK)
    assert second.headers["x-scene-version"] == "2"
    assert second.content == third.content
    assert first.headers["etag"] != second.headers["etag"] == third.headers["etag"]
