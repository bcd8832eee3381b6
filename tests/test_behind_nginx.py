"""Gateways behind a real nginx with the shipped configuration: what it passes on, and what it saves."""

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import analytic_scene
import httpx
import pytest
from asking_clients import AskingClients
from fastapi import FastAPI, WebSocket
from film_orders import ended, order
from gateway_server import running_server
from nginx_server import PREFIX, nginx
from steady_load import steady_load
from test_serving_faults import LINK, ScriptedEngine
from waiting import PATIENCE, wait_for
from websockets.sync.client import connect

from deploy.ports import free_port
from neurocity.errors import EngineUnavailableError
from serving.access.keys import Grant, new_key
from serving.app import create_app
from serving.settings import Settings

JSON = {"Content-Type": "application/json"}
BEHIND = Settings(root_path=PREFIX, trusted_proxies="127.0.0.1", drain_seconds=5)


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine()


@pytest.fixture(scope="module")
def proxied(engine, tmp_path_factory):
    """A client of nginx, whose gateways are one."""
    with running_server(create_app(BEHIND, engine), BEHIND) as (_, direct):
        ports = [direct.base_url.port] * 2
        with (
            nginx(tmp_path_factory.mktemp("nginx"), ports) as url,
            httpx.Client(base_url=url, timeout=PATIENCE) as client,
        ):
            yield client


def test_a_picture_and_its_tag_go_through(proxied):
    picture = proxied.get(LINK)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    again = proxied.get(LINK, headers={"If-None-Match": picture.headers["etag"]})
    assert again.status_code == 304
    head = proxied.head(LINK)
    assert (head.status_code, head.headers["etag"]) == (200, picture.headers["etag"])


def test_pages_know_the_prefix(proxied):
    assert proxied.get("/openapi.json").json()["servers"] == [{"url": PREFIX}]
    assert proxied.get("/").status_code == 200
    assert proxied.get("/nowhere").json()["type"] == "urn:neurocity:problem:not-found"


def test_clients_keep_their_address_and_their_requests_id(proxied, caplog):
    caplog.set_level("INFO")
    source = httpx.HTTPTransport(local_address="127.0.0.7")
    with httpx.Client(base_url=proxied.base_url, transport=source, timeout=PATIENCE) as other:
        headers = {"X-Request-ID": "asked-7", "X-Forwarded-For": "1.2.3.4"}
        assert other.get("/v1/scenes", headers=headers).headers["x-request-id"] == "asked-7"

    def lines():
        told = [record.getMessage() for record in caplog.records]
        return [line for line in told if line.startswith("method=GET path='/city/v1/scenes' status=200 ")]

    wait_for(lines)
    (line,) = lines()
    assert "client=127.0.0.7" in line
    assert re.fullmatch("[0-9a-f]{32}", proxied.get("/livez").headers["x-request-id"]), "nginx's own"


def test_a_refusal_is_passed_with_its_time(proxied, engine, monkeypatch):
    monkeypatch.setattr(engine, "failure", EngineUnavailableError("away"))
    for _ in range(5):  # none of them takes the gateways out of nginx's list
        refused = proxied.get(LINK.replace("eye=3", "eye=4"))
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:neurocity:problem:engine-unavailable"
        assert int(refused.headers["retry-after"]) >= 1
    monkeypatch.setattr(engine, "failure", None)
    assert proxied.get(LINK.replace("eye=3", "eye=4")).status_code == 200


def test_a_quota_is_passed_with_its_time(tmp_path):
    key, line = new_key(Grant("ada", frozenset({"*"}), pixels_per_minute=16))
    settings = BEHIND.model_copy(update={"api_keys": line})
    with (
        running_server(create_app(settings, ScriptedEngine()), settings) as (_, direct),
        nginx(tmp_path, [direct.base_url.port] * 2) as url,
        httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=PATIENCE) as client,
    ):
        assert client.get(LINK).status_code == 200
        refused = client.get(f"{LINK}&fov=40")
        assert (refused.status_code, 1 <= int(refused.headers["retry-after"]) <= 60) == (429, True)


def test_a_large_body_is_refused_by_the_gateway(proxied):
    answer = proxied.post("/v1/scenes/sphere/render", content=b" " * 100_000)
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:neurocity:problem:request-entity-too-large"


def test_who_leaves_nginx_leaves_the_gateway(proxied, engine, monkeypatch):
    monkeypatch.setattr(engine, "hangs", True)
    engine.started.clear()
    engine.cancelled.clear()
    for patience in (1.0, 5.0, 25.0):  # a client may be gone before its render begins
        with pytest.raises(httpx.ReadTimeout):
            proxied.get(LINK.replace("eye=3", "eye=5"), timeout=patience)
        if engine.started.is_set():
            break
    assert engine.cancelled.wait(PATIENCE)


def test_live_views_are_not_held_back(tmp_path):
    app = FastAPI()

    @app.websocket("/v1/scenes/{scene}/live")
    async def live(websocket: WebSocket, scene: str) -> None:
        await websocket.accept()
        await websocket.send_text(f"{scene} {websocket.client.host} {await websocket.receive_text()}")
        await websocket.receive_text()

    with running_server(app, BEHIND) as (_, direct), nginx(tmp_path, [direct.base_url.port] * 2) as url:
        address = url.replace("http:", "ws:") + "/v1/scenes/sphere/live"
        with connect(address, source_address=("127.0.0.8", 0), open_timeout=PATIENCE) as view:
            view.send("camera")
            assert view.recv(PATIENCE) == "sphere 127.0.0.8 camera"
            view.send("end")


def test_a_film_is_asked_for_where_it_is_made(tmp_path):
    """Of two gateways, one has it; the other is never asked for it, also when the first is away."""
    with contextlib.ExitStack() as stack:
        ends, ports = {}, []
        for name in ("first", "second"):
            settings = BEHIND.model_copy(update={"videos": tmp_path / name})
            end = stack.enter_context(contextlib.ExitStack())
            _, direct = end.enter_context(running_server(create_app(settings, ScriptedEngine()), settings))
            ends[direct] = end
            ports.append(direct.base_url.port)
        url = stack.enter_context(nginx(tmp_path, ports))
        client = stack.enter_context(httpx.Client(base_url=url, timeout=PATIENCE))
        answer = client.post(
            "/v1/scenes/sphere/videos", content=" " * 3_000_000 + json.dumps(order()), headers=JSON
        )
        film = answer.headers["location"].removeprefix(PREFIX)
        for _ in range(4):
            assert client.get(film).status_code == 200
        assert ended(client, film)["state"] == "done"
        assert len(client.get(f"{film}/result").content) > 1000
        (maker,) = [direct for direct in ends if direct.get(film).status_code == 200]
        ends[maker].close()
        away = client.get(film)
        assert (away.status_code, away.json()["type"]) == (503, "urn:neurocity:problem:unreachable")


def test_without_gateways_nginx_says_when_to_try_again(tmp_path):
    with nginx(tmp_path, [free_port(), free_port()]) as url:
        answer = httpx.get(f"{url}/livez", timeout=PATIENCE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["type"] == "urn:neurocity:problem:unreachable"
        assert answer.headers["content-type"] == "application/problem+json"


class Gateway:
    """`neurocity-serve` on a port of its own, that can be ended and started again."""

    def __init__(self, repository: Path) -> None:
        self.port = free_port()
        program = [sys.executable, "-c", "from serving.cli import main; main()"]
        options = {
            "--repository": repository,
            "--engine": "onnxruntime",
            "--threads": 1,
            "--port": self.port,
            "--root-path": PREFIX,
            "--trusted-proxies": "127.0.0.1",
            # However slow the machine: one gateway alone has room for all clients.
            "--queue-seconds": 60,
        }
        self._command = [*program, *(str(word) for option in options.items() for word in option)]

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert b"NeuroCity serves at" in self.process.stdout.readline()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return code


@contextlib.contextmanager
def loaded(folder: Path) -> Iterator[tuple[Gateway, Gateway, AskingClients]]:
    """Two gateways behind nginx, and clients who never rest; at the end no request of theirs was lost."""
    repository = analytic_scene.write_repository(folder / "models", "onnx", idle_loops=500)
    first, second = Gateway(repository), Gateway(repository)
    with contextlib.ExitStack() as ended:
        for gateway in (first, second):
            gateway.start()
            ended.callback(gateway.end, signal.SIGKILL)
        with nginx(folder, [first.port, second.port]) as url, steady_load(url, "sphere") as clients:
            yield first, second, clients


@pytest.mark.slow
def test_no_request_is_lost_when_a_gateway_dies(tmp_path):
    with loaded(tmp_path) as (first, _, clients):
        clients.wait_for(200, answers=40)
        for _ in range(3):
            first.end(signal.SIGKILL)
            clients.wait_for(200, answers=40)
            first.start()
            clients.wait_for(200, answers=40)


@pytest.mark.slow
def test_no_request_is_lost_while_gateways_are_replaced_one_by_one(tmp_path):
    """As a platform does it: the next one ends when the new one is ready."""
    with loaded(tmp_path) as (first, second, clients):
        for gateway in (first, second):
            clients.wait_for(200, answers=40)
            assert gateway.end(signal.SIGTERM) == 0
            clients.wait_for(200, answers=40)
            gateway.start()
            assert httpx.get(f"http://127.0.0.1:{gateway.port}/readyz", timeout=PATIENCE).status_code == 200
        clients.wait_for(200, answers=40)
