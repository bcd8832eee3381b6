"""The end of a gateway: what was accepted is answered, new work is refused, and it always ends."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import analytic_scene
import httpx
import pytest
from gateway_server import running_server
from live_client import PATIENTLY, Frame, live_url, live_view, view
from test_serving_faults import LINK, ScriptedEngine
from waiting import PATIENCE, wait_for
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from serving.app import create_app
from serving.drain import Drain
from serving.server.server import Server
from serving.settings import Settings


class PausedEngine(ScriptedEngine):
    """Makes pictures when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = threading.Event(), threading.Event()

    async def answer(self, rays):
        picture = len(rays) > 1  # and no canary
        if picture:
            self.asked.set()
        while picture and not self.go_on.is_set():
            await asyncio.sleep(0.01)
        return await super().answer(rays)


@contextlib.contextmanager
def draining(**settings):
    """A gateway whose drain has begun with one render under way; its client, its engine and that render."""
    engine, drain, chosen = PausedEngine(), Drain(), Settings(**settings)
    app = create_app(chosen, engine, drain)
    with ThreadPoolExecutor() as pool, running_server(app, chosen, drain) as (server, client):
        kept = client.get("/livez")
        assert kept.status_code == 200
        with httpx.Client(base_url=client.base_url, timeout=PATIENCE) as other:
            accepted = pool.submit(other.get, LINK)
            assert engine.asked.wait(PATIENCE)
            server.should_exit = True
            wait_for(lambda: drain.begun)
            yield client, engine, accepted
            engine.go_on.set()


def test_accepted_work_is_answered_and_new_work_refused():
    with draining(drain_seconds=PATIENCE) as (client, engine, accepted):
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
    with draining(drain_seconds=PATIENCE, drain_ready=True) as (client, _, _):
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/scenes").status_code == 503


def test_a_request_that_was_on_its_way_is_refused_with_a_reason(monkeypatch):
    monkeypatch.setattr("serving.server.server.LAST_REQUESTS_SECONDS", PATIENCE)
    drain, chosen = Drain(), Settings()
    app = create_app(chosen, ScriptedEngine(), drain)
    with running_server(app, chosen, drain) as (server, client):
        assert client.get("/livez").status_code == 200
        server.should_exit = True
        wait_for(lambda: drain.over)
        wait_for(lambda: not server.servers[0].is_serving())
        answer = client.get(LINK)
        assert answer.status_code == 503
        assert answer.headers["connection"] == "close"


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
    connection = socket.create_connection((url.host, url.port), timeout=PATIENCE)
    connection.sendall(
        b"POST /v1/scenes/sphere/render HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        + f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content[:-1]
    )
    # What is answered behind it says that it was read.
    assert httpx.get(f"{url}livez", timeout=PATIENCE).status_code == 200
    return connection, content[-1:]


def end(gateway: subprocess.Popen[str], url: httpx.URL) -> None:
    """Send the first signal, and return when the drain has begun; something has to be under way."""
    gateway.send_signal(signal.SIGTERM)
    wait_for(lambda: httpx.get(f"{url}v1/scenes", timeout=PATIENCE).status_code == 503)


def test_a_half_sent_request_is_answered_and_the_process_ends(repository):
    options = ("--drain-seconds", "300", "--request-timeout-seconds", "300")
    with process(repository, *options) as (gateway, url):
        connection, rest = ask(url, 40)
        with connection:
            end(gateway, url)
            connection.sendall(rest)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert gateway.wait(PATIENCE) == 0
        assert "Traceback" not in gateway.stderr.read()


def test_a_client_that_stops_does_not_hold_the_process(repository):
    options = ("--drain-seconds", "2", "--request-timeout-seconds", "300")
    with process(repository, *options) as (gateway, url):
        connection, _ = ask(url, 40)
        with connection:
            gateway.send_signal(signal.SIGTERM)
            assert connection.recv(100).startswith(b"HTTP/1.1 503")
            assert gateway.wait(PATIENCE) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_it_at_once(repository, second):
    with process(repository, "--drain-seconds", "300") as (gateway, url):
        connection, rest = ask(url, 2000)  # a hundred thousand calls
        with connection:
            connection.sendall(rest)
            end(gateway, url)
            assert gateway.poll() is None
            gateway.send_signal(second)
            assert gateway.wait(PATIENCE) == 128 + second
            assert connection.recv(100).startswith(b"HTTP/1.1 503")


def test_no_live_view_begins_in_a_drain():
    with draining(drain_seconds=PATIENCE) as (client, _, _), pytest.raises(InvalidStatus) as refusal:
        connect(live_url(client), **PATIENTLY)
    assert refusal.value.response.status_code == 503
    assert b"shutting-down" in refusal.value.response.body


def test_live_views_are_told_and_closed_after_their_frame(repository):
    with process(repository) as (gateway, url), httpx.Client(base_url=url) as client:
        with live_view(client) as still, live_view(client) as turning, live_view(client) as slow:
            still.send(view(1))
            still.until_settled()
            turning.send(view(1))
            turning.receive()  # and no word that it is drawn
            slow.send(view(1, 900, 900, anew=True))
            slow.frame()
            gateway.send_signal(signal.SIGTERM)
            for live in (still, turning, slow):
                received, code, _ = live.until_end()
                assert code == 1012
                assert received.pop() == {"type": "moving"}
                assert all(isinstance(frame, Frame) for frame in received)
        assert gateway.wait(PATIENCE) == 0
        log = gateway.stderr.read()
        assert "Traceback" not in log
        assert "ERROR" not in log
        assert log.count("/v1/scenes/sphere/live' status=101") == 3


def test_a_frame_that_takes_too_long_does_not_hold_the_process(repository):
    with process(repository, "--drain-seconds", "2") as (gateway, url), httpx.Client(base_url=url) as client:
        with live_view(client) as live:
            live.send(view(1, 2000, 2000, still_format="png", anew=True))
            live.frame()
            gateway.send_signal(signal.SIGTERM)
            assert live.until_end()[1] == 1012
        assert gateway.wait(PATIENCE) == 0
        assert "Traceback" not in gateway.stderr.read()


def test_connections_that_wait_for_the_loop_are_taken_before_it_stops_to_listen():
    taken, number = [], 40

    class Taken(asyncio.Protocol):
        def connection_made(self, transport):
            taken.append(transport)

    async def session():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Taken, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        with contextlib.ExitStack() as waiting:
            for _ in range(number):
                waiting.enter_context(socket.create_connection(address))
            state = SimpleNamespace(connections=set())
            await Server._answer_the_last(SimpleNamespace(servers=[server], server_state=state, _loop=loop))
            for transport in taken:
                transport.close()

    asyncio.run(session())
    assert len(taken) == number
