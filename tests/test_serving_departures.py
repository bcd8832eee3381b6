"""Many clients leave in the middle of their pictures: no further tile is begun, and nothing computes."""

import contextlib
import json
import socket
import time
from random import Random

import analytic_scene
import pytest
from gateway_server import running_server
from waiting import PATIENCE, wait_for

from serving.app import create_app
from serving.engines.base import engine_class
from serving.engines.in_process import OpenArtefact
from serving.settings import Settings

SLOW = {"native": {"parts": 40}, "onnxruntime": {"idle_loops": 100}, "torch": {}}
"""Engines in this process, and what makes the pictures of the scene take many tiles."""
CLIENTS = 20
SIDE = 1500
SMALL = "/v1/scenes/sphere/render.npy?eye=3,-2.5,2&target=0,0,0.4&width=100&height=100"
"""A picture that shows how fast the scene is; it is not cut into tiles before."""


class Renders:
    """How many renders of opened artefacts have begun and are under way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.running = 0
        render = OpenArtefact.render

        async def watched(opened, rays, deadline):
            self.begun += 1
            self.running += 1
            try:
                return await render(opened, rays, deadline)
            finally:
                self.running -= 1

        monkeypatch.setattr(OpenArtefact, "render", watched)


@pytest.fixture(params=SLOW)
def gateway(request, tmp_path, monkeypatch):
    """The renders of an engine that has one thread, and the server of its gateway."""
    name = request.param
    repository = analytic_scene.write_repository(tmp_path, engine_class(name).formats[0], **SLOW[name])
    settings = Settings(
        repository=repository,
        engine=name,
        threads=1,
        queue_seconds=1e6,
        memory_bytes=2**40,
        render_timeout_seconds=1e6,
        drain_seconds=5,
    )
    renders = Renders(monkeypatch)
    with running_server(create_app(settings), settings) as (server, client):
        yield renders, server, client


def ask(client, number: int) -> socket.socket:
    """A connection that has asked for a large picture like no other."""
    camera = {"look_at": {"eye": [3, -2.5, 1 + number / 100], "target": [0, 0, 0.4]}}
    body = json.dumps({"camera": camera, "width": SIDE, "height": SIDE}).encode()
    head = (
        "POST /v1/scenes/sphere/render HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    connection = socket.create_connection((client.base_url.host, client.base_url.port), timeout=PATIENCE)
    connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    return connection


def test_no_tile_begins_after_its_client_has_left(gateway):
    renders, server, client = gateway
    dice = Random(1)
    assert client.get(SMALL).status_code == 200
    client.close()
    begun = renders.begun
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(ask(client, number)) for number in range(CLIENTS)]
        wait_for(lambda: renders.begun > begun + 2)
        dice.shuffle(connections)
        for connection in connections[:-1]:
            connection.close()
            time.sleep(dice.uniform(0, 0.03))
        wait_for(lambda: server.connection_count() == 1)
        begun = renders.begun
        wait_for(lambda: renders.begun > begun + 2)  # the last client has the engine for itself
    wait_for(lambda: server.connection_count() == 0)
    begun = renders.begun
    wait_for(lambda: renders.running == 0)
    computed = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - computed < 0.25
    assert renders.begun == begun
