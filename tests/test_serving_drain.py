"""The end of a gateway: what was accepted is answered, new work is refused, and it always ends."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import analytic_scene
import httpx
import pytest
from gateway_server import running_server
from test_serving_faults import LINK, ScriptedEngine, wait_for

from serving.app import create_app
from serving.drain import Drain
from serving.settings import Settings


class PausedEngine(ScriptedEngine):
    """Makes pictures when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = threading.Event(), threading.Event()

    async def render(self, scene, rays, deadline):
        picture = len(rays) > 1  # and no canary
        if picture:
            self.asked.set()
        while picture and not self.go_on.is_set():
            await asyncio.sleep(0.01)
        return await super().render(scene, rays, deadline)


@contextlib.contextmanager
def draining(**settings):
    """A gateway whose drain has begun with one render under way; its client, its engine and that render."""
    engine, drain, chosen = PausedEngine(), Drain(), Settings(**settings)
    app = create_app(chosen, engine, drain)
    with ThreadPoolExecutor() as pool, running_server(app, chosen, drain) as (server, client):
        kept = client.get("/livez")
        assert kept.status_code == 200
        with httpx.Client(base_url=client.base_url, timeout=30) as other:
            accepted = pool.submit(other.get, LINK)
            assert engine.asked.wait(5)
            server.should_exit = True
            wait_for(lambda: drain.begun)
            yield client, engine, accepted
            engine.go_on.set()


def test_accepted_work_is_answered_and_new_work_refused():
    with draining(drain_seconds=20) as (client, engine, accepted):
        for path in (LINK, "/readyz", "/v1/scenes", "/"):
            refused = client.get(path)
            assert refused.status_code == 503
            assert refused.json()["type"] == "urn:neurocity:problem:shutting-down"
            assert refused.headers["connection"] == "close"
            assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/livez").status_code == 200
        assert not accepted.done()
        engine.go_on.set()
        assert accepted.result().status_code == 200


def test_readiness_may_stay():
    with draining(drain_seconds=20, drain_ready=True) as (client, _, _):
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/scenes").status_code == 503


def test_what_is_not_done_in_time_is_told_so():
    with draining(drain_seconds=2) as (_, _, accepted):
        answer = accepted.result()
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:neurocity:problem:shutting-down"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "onnx")


@contextlib.contextmanager
def process(repository, *arguments: str):
    """`neurocity-serve` as a process, and its address."""
    command = [sys.executable, "-c", "from serving.cli import main; main()", "--repository", str(repository)]
    started = [*command, "--engine", "onnxruntime", "--threads", "1", "--port", "0", *arguments]
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as gateway:
        try:
            line = gateway.stdout.readline()
            assert line.startswith("NeuroCity serves at "), gateway.stderr.read()
            yield gateway, httpx.URL(line.split()[-1])
        finally:
            gateway.kill()


def body(side: int) -> bytes:
    camera = {"look_at": {"eye": list(analytic_scene.EYE), "target": list(analytic_scene.TARGET)}}
    return json.dumps({"camera": camera, "width": side, "height": side}).encode()


def ask(url: httpx.URL, side: int) -> tuple[socket.socket, bytes]:
    """A connection that has sent all of a request but its last byte, and that byte."""
    content = body(side)
    connection = socket.create_connection((url.host, url.port), timeout=60)
    connection.sendall(
        b"POST /v1/scenes/sphere/render HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        + f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content[:-1]
    )
    time.sleep(0.3)
    return connection, content[-1:]


def test_a_half_sent_request_is_answered_and_the_process_ends(repository):
    with process(repository) as (gateway, url):
        connection, rest = ask(url, 40)
        with connection:
            gateway.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(rest)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert gateway.wait(20) == 0
        assert "Traceback" not in gateway.stderr.read()


def test_a_client_that_stops_does_not_hold_the_process(repository):
    with process(repository, "--drain-seconds", "2") as (gateway, url):
        connection, _ = ask(url, 40)
        with connection:
            began = time.monotonic()
            gateway.send_signal(signal.SIGTERM)
            assert connection.recv(100).startswith(b"HTTP/1.1 503")
            assert gateway.wait(20) == 0
            assert time.monotonic() - began < 10


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_it_at_once(repository, second):
    with process(repository) as (gateway, url):
        connection, rest = ask(url, 1500)  # tens of thousands of calls
        with connection:
            connection.sendall(rest)
            time.sleep(0.5)
            gateway.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert gateway.poll() is None
            began = time.monotonic()
            gateway.send_signal(second)
            assert gateway.wait(20) == 128 + second
            assert time.monotonic() - began < 10
            assert connection.recv(100).startswith(b"HTTP/1.1 503")


def test_no_websocket_begins_in_a_drain():
    drain = Drain()
    drain.begin()
    app = create_app(Settings(), PausedEngine(), drain)
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/any", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1012}]
