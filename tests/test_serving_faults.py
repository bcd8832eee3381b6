"""Engines that fail, hang or vanish, and clients that leave: each has its status, and work stops."""

import asyncio
import contextlib
import logging
import socket
import threading
import time

import analytic_scene
import httpx
import pytest
from gateway_server import running_gateway
from waiting import PATIENCE, wait_for

from neurocity.errors import DeadlineExceededError, EngineError, EngineUnavailableError, ManifestError
from neurocity.light import Light
from serving.app import create_app
from serving.engines.base import Found, Offer, asked_for
from serving.scenes.scenes import Scenes
from serving.settings import Settings

LINK = "/v1/scenes/sphere/render.png?eye=3,0,0&target=0,0,0&width=4&height=4"
OTHER_LINK = "/v1/scenes/sphere/render.png?eye=0,3,0&target=0,0,0&width=4&height=4"


class ScriptedEngine(Scenes):
    """The sphere, by an engine that answers every render as it is told to: with an exception, or never."""

    def __init__(self) -> None:
        super().__init__(_ScriptedSource(self))
        self.failure: Exception | None = None
        self.hangs = False
        self.started, self.cancelled = threading.Event(), threading.Event()
        self.closed = False

    async def answer(self, rays):
        self.started.set()
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return Light(*(values.astype("float32") for values in analytic_scene.render(*rays.arrays())))

    async def close(self):
        self.closed = True
        await super().close()


class _ScriptedSource:
    """Offers the sphere of a `ScriptedEngine`."""

    calls_at_once = 2
    fills_processors = False
    loads = False

    def __init__(self, engine) -> None:
        self.engine = engine
        self.offer = Offer(
            manifest=analytic_scene.manifest("onnx", b""),
            served=asked_for("scripted"),
            place="sphere_onnx/1",
            identity="sphere",
            open=self.open,
        )

    async def look(self):
        return Found(offers={"sphere": {1: self.offer}})

    async def open(self):
        return _ScriptedVersion(self.offer.manifest, self.engine)

    async def close(self):
        pass


class _ScriptedVersion:
    maps_file = False
    call_queue = None

    def __init__(self, manifest, engine) -> None:
        self.manifest, self.engine = manifest, engine

    async def render(self, rays, deadline):
        del deadline
        return await self.engine.answer(rays)

    def close(self):
        pass


@pytest.fixture
def engine():
    return ScriptedEngine()


@pytest.fixture
def client(engine):
    with running_gateway(create_app(Settings(cache_bytes=0), engine)) as client:
        yield client


@pytest.mark.parametrize(
    ("failure", "status", "slug"),
    [
        (EngineError("the graph failed"), 502, "engine-failed"),
        (EngineUnavailableError("no server"), 503, "engine-unavailable"),
        (DeadlineExceededError("too late"), 504, "deadline-exceeded"),
    ],
)
def test_engine_failures_have_their_statuses_and_are_logged(client, engine, caplog, failure, status, slug):
    assert client.get(LINK).status_code == 200
    engine.failure = failure
    response = client.get(LINK)
    assert response.status_code == status
    assert response.json()["type"] == f"urn:neurocity:problem:{slug}"
    # Where an engine runs and what it said are for the log; that a deadline has passed, everybody may know.
    assert (str(failure) in response.text) == (status == 504)
    wait_for(lambda: f"problem={slug} detail='{failure}'" in caplog.text)
    assert ("retry-after" in response.headers) == (status == 503)
    assert status != 503 or int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("kind", [RuntimeError, ManifestError])
def test_an_unexpected_failure_keeps_its_details_to_the_log(client, engine, caplog, kind):
    engine.failure = kind("secret path /var/models")
    with caplog.at_level(logging.ERROR):
        response = client.get(LINK)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:neurocity:problem:internal-error"
    assert "secret" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    wait_for(lambda: "secret path" in caplog.text)
    assert client.get("/livez").status_code == 200  # on a connection that was not closed under it


def test_readiness_is_a_real_render_and_liveness_is_not(client, engine, caplog):
    assert client.get("/readyz").json() == {"status": "ready", "scenes": ["sphere"]}
    engine.started.clear()
    engine.failure = EngineError("values are not finite")
    wait_for(lambda: client.get("/readyz").status_code == 503)  # an answer holds for a second
    response = client.get("/readyz")
    assert engine.started.is_set()
    assert response.status_code == 503
    assert "values are not finite" not in response.text
    wait_for(lambda: "canary of scene 'sphere' failed: values are not finite" in caplog.text)
    assert "retry-after" in response.headers
    assert client.get("/livez").json()["status"] == "alive"


def test_a_client_that_leaves_cancels_its_render(client, engine, caplog):
    engine.hangs = True
    with caplog.at_level(logging.INFO, "neurocity.serving"):
        # On a busy machine a client can be gone before its render begins; then there is nothing to cancel.
        for patience in (0.3, 3.0, 25.0):
            with contextlib.suppress(httpx.ReadTimeout):
                client.get(LINK, timeout=patience)
            if engine.started.is_set():
                break
        assert engine.cancelled.wait(PATIENCE)
        wait_for(lambda: "status=499" in caplog.text)


def test_a_client_that_stays_does_not_cancel_its_render(client, engine):
    """A second request on the same connection is not a departure."""
    host, port = client.base_url.host, client.base_url.port
    request = f"GET {LINK} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with socket.create_connection((host, port)) as connection:
        connection.sendall(request * 2)
        connection.settimeout(PATIENCE)
        received = b""
        while received.count(b"HTTP/1.1 200") < 2:
            received += connection.recv(65536)
    assert not engine.cancelled.is_set()


def test_others_are_served_while_one_render_hangs(client, engine):
    engine.hangs = True
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(f"GET {LINK} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert engine.started.wait(PATIENCE)
        engine.hangs = False
        assert client.get(OTHER_LINK).status_code == 200
        assert client.get("/livez").status_code == 200
        assert not engine.cancelled.is_set()
    assert engine.cancelled.wait(PATIENCE)


@pytest.mark.parametrize("way", ["get", "post"])
def test_a_clients_own_deadline_is_kept(client, engine, way):
    engine.hangs = True
    began = time.monotonic()
    headers = {"X-Request-Timeout": "0.2"}
    if way == "get":
        response = client.get(LINK, headers=headers)
    else:
        look_at = {"eye": [3, 0, 0], "target": [0, 0, 0]}
        body = {"camera": {"look_at": look_at}, "width": 4, "height": 4}
        response = client.post("/v1/scenes/sphere/render", json=body, headers=headers)
    assert response.status_code == 504
    assert 0.2 <= time.monotonic() - began < Settings().render_timeout_seconds / 2
    assert engine.cancelled.wait(PATIENCE)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan"])
def test_a_deadline_that_is_none_is_named(client, value):
    response = client.get(LINK, headers={"X-Request-Timeout": value})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "X-Request-Timeout"


def test_work_over_the_budget_is_refused_at_once(engine, caplog):
    """With when to come again; equal work is no more work, and what is over gives its place to others.

    One line of the log is all that a refusal costs.
    """
    engine.hangs = True
    caplog.set_level(logging.INFO, "neurocity.serving")
    with running_gateway(create_app(Settings(queue_seconds=2e-5), engine)) as client:
        address = client.base_url.host, client.base_url.port
        with socket.create_connection(address) as first, socket.create_connection(address) as equal:
            for connection in (first, equal):
                connection.sendall(f"GET {LINK} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert engine.started.wait(PATIENCE)
            response = client.get(OTHER_LINK)
            assert not engine.cancelled.is_set(), "the others' time was over first"
            assert response.status_code == 503
            assert response.json()["type"] == "urn:neurocity:problem:overloaded"
            assert int(response.headers["retry-after"]) >= 1
            wait_for(lambda: "status=503" in caplog.text)
            (line,) = [record for record in caplog.records if "overloaded" in record.getMessage()]
            assert line.getMessage().endswith("problem=overloaded")
            assert client.get("/livez").status_code == 200
            first.close()
            assert not engine.cancelled.wait(0.2)
        assert engine.cancelled.wait(PATIENCE)
        engine.hangs = False
        wait_for(lambda: client.get(OTHER_LINK).status_code == 200)


def test_a_given_engine_stays_its_owners(engine):
    with running_gateway(create_app(Settings(), engine)):
        pass
    assert not engine.closed


def test_one_line_is_logged_for_a_request(client, caplog):
    with caplog.at_level(logging.INFO, "neurocity.serving"):
        size = len(client.get(LINK).content)
        wait_for(lambda: "status=200" in caplog.text)
    lines = [record.getMessage() for record in caplog.records if record.name == "neurocity.serving"]
    assert len(lines) == 1
    assert lines[0].startswith("method=GET path='/v1/scenes/sphere/render.png' status=200")
    assert f"bytes={size} " in lines[0]
