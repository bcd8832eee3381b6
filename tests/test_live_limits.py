"""Who may open a live view, how many, for how long, and what ends it; what operators see of it."""

import base64
import contextlib
import json
import logging
import socket
import time

import pytest
from gateway_server import running_gateway, running_server
from live_client import PATIENTLY, live_url, live_view, view
from test_live_frames import GatedEngine
from test_serving_telemetry import samples
from waiting import PATIENCE, wait_for
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from serving.access.keys import Grant, new_key
from serving.app import create_app
from serving.live import session
from serving.server import server as server_module
from serving.settings import Settings


@pytest.fixture
def client():
    with running_gateway(create_app(Settings(), GatedEngine())) as client:
        yield client


def refused(client, scene="sphere", **options) -> tuple[int, dict]:
    """Status and problem of a live view that is refused."""
    with pytest.raises(InvalidStatus) as refusal:
        connect(live_url(client, scene), **PATIENTLY, **options)
    response = refusal.value.response
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, json.loads(response.body)


def test_an_unknown_scene_is_refused_before_the_socket_opens(client):
    status, problem = refused(client, "nowhere")
    assert status == 404
    assert problem["type"] == "urn:neurocity:problem:scene-not-found"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (json.dumps(view(1) | {"output": "x" * 70_000}), 1009),
        (b"bytes", 1003),
        ("{" * 10, None),
        ('{"type": "ack", "frame": 7}', None),
    ],
)
def test_messages_that_are_none(client, message, code):
    with live_view(client) as live:
        live.socket.send(message)
        if code is None:
            told = live.receive()
            assert told["id"] is None
            assert told["problem"]["status"] in (400, 422)
            live.send(view(1))
            assert live.frame().header["view"] == 1
        else:
            assert live.until_end()[1] == code


def test_a_client_that_says_only_nonsense_is_left(client):
    with live_view(client) as live:
        for _ in range(session.BAD_MESSAGES + 1):
            live.socket.send("[" * 1000)
        assert live.until_end()[1:] == (1008, "too many bad messages")


def test_a_client_that_floods_is_left(client, monkeypatch):
    monkeypatch.setattr(session, "MESSAGES_PER_SECOND", 1)
    monkeypatch.setattr(session, "MESSAGES_AT_ONCE", 50)
    with live_view(client) as live:
        with contextlib.suppress(ConnectionClosed):  # it may be left before it has said all
            for _ in range(60):
                live.send({"type": "ack", "frame": 0})
        assert live.until_end()[1:] == (1008, "too many messages")


def test_there_are_as_many_as_are_allowed():
    settings = Settings(live_views=3, live_views_per_client=2, trusted_proxies="127.0.0.1")
    with running_server(create_app(settings, GatedEngine()), settings) as (_, client):
        here, there = ({"X-Forwarded-For": f"203.0.113.{number}"} for number in (1, 2))
        with live_view(client, additional_headers=here), live_view(client, additional_headers=here):
            status, problem = refused(client, additional_headers=here)
            assert (status, problem["type"]) == (429, "urn:neurocity:problem:too-many-live-views")
            with live_view(client, additional_headers=there):
                status, problem = refused(client, additional_headers=there)
                assert (status, problem["type"]) == (503, "urn:neurocity:problem:overloaded")
        wait_for(lambda: samples(client)["neurocity_live_views",] == 0)
        with live_view(client, additional_headers=here) as live:
            live.send(view(1))
            live.frame()


def test_one_that_does_not_move_is_closed():
    settings = Settings(live_idle_seconds=1.5)
    with running_gateway(create_app(settings, GatedEngine())) as client, live_view(client) as live:
        began = time.monotonic()
        live.send(view(1))
        live.until_settled()
        assert live.until_end()[1:] == (1000, "idle")
        assert time.monotonic() - began > 1.5


@pytest.mark.parametrize(
    ("policy", "headers", "opens"),
    [
        ("same-origin", {}, True),
        ("same-origin", {"Origin": "http://{host}"}, True),
        ("same-origin", {"Origin": "https://{host}"}, True),
        ("same-origin", {"Origin": "http://evil.example"}, False),
        ("same-origin", {"Origin": "null"}, False),
        ("same-origin", {"Origin": "http://["}, False),
        ("same-origin", {"Origin": "http://caf\u00e9.example"}, False),
        ("same-origin", {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, False),
        ("same-origin", {"Origin": "http://inner.example", "Sec-Fetch-Site": "same-origin"}, True),
        ("same-origin", {"Origin": "http://{host}", "Sec-Fetch-Site": "same-site"}, False),
        ("same-site", {"Origin": "http://b.example", "Sec-Fetch-Site": "same-site"}, True),
        ("same-site", {"Origin": "http://b.example", "Sec-Fetch-Site": "cross-site"}, False),
        ("cross-origin", {"Origin": "http://evil.example"}, True),
    ],
)
def test_pages_of_other_sites_open_none_unless_they_may(policy, headers, opens):
    with running_gateway(create_app(Settings(cross_origin=policy), GatedEngine())) as client:
        host = f"{client.base_url.host}:{client.base_url.port}"
        sent = {name: value.replace("{host}", host) for name, value in headers.items()}
        if opens:
            with live_view(client, additional_headers=sent) as live:
                live.send(view(1))
                live.frame()
        else:
            status, problem = refused(client, additional_headers=sent)
            assert (status, problem["type"]) == (403, "urn:neurocity:problem:cross-site")


def key_protocol(key: str) -> str:
    return "neurocity.key." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def test_keys_come_as_a_header_or_as_a_subprotocol():
    key, line = new_key(Grant("viewer", frozenset({"sphere"})))
    other, other_line = new_key(Grant("stranger", frozenset({"city"})))
    settings = Settings(api_keys=f"{line};{other_line}")
    with running_gateway(create_app(settings, GatedEngine())) as client:
        protocols = ["neurocity.live.v1", key_protocol(key)]
        with live_view(client, subprotocols=protocols) as live:
            assert live.socket.subprotocol == "neurocity.live.v1"
            live.send(view(1))
            live.frame()
        with live_view(client, additional_headers={"Authorization": f"Bearer {key}"}) as live:
            live.send(view(1))
            live.frame()
        for wrong in ([], [key_protocol("guess")], ["neurocity.key.*"], ["neurocity.key." + key]):
            status, problem = refused(client, subprotocols=["neurocity.live.v1", *wrong])
            assert (status, problem["type"]) == (401, "urn:neurocity:problem:unauthorised")
        status, problem = refused(client, subprotocols=[key_protocol(other)])
        assert (status, problem["type"]) == (403, "urn:neurocity:problem:scene-forbidden")


def test_operators_see_one_line_and_counts(client, caplog):
    with caplog.at_level(logging.INFO):
        with live_view(client, additional_headers={"X-Request-ID": "live-7"}) as live:
            assert live.socket.response.headers["x-request-id"] == "live-7"
            assert "sec-websocket-extensions" not in live.socket.response.headers
            live.send(view(1))
            live.frame()
        refused(client, "nowhere")
        wait_for(lambda: len(lines(caplog)) == 2)
    opened, unknown = lines(caplog)
    assert "method=GET path='/v1/scenes/sphere/live' status=101 bytes=" in opened
    assert int(opened.partition("bytes=")[2].split()[0]) > 500
    assert "status=404" in unknown
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    found = samples(client)
    route = "/v1/scenes/{scene}/live"
    assert found["http_requests_total", route, "GET", "101"] == 1
    assert found["http_requests_total", route, "GET", "404"] == 1
    assert found["http_response_bytes_total", route] > 500
    assert ("http_request_duration_seconds_count", route, "GET") not in found


def lines(caplog) -> list[str]:
    """What the log says of live views."""
    said = [
        record.getMessage() for record in caplog.records if record.name.startswith(("neurocity", "uvicorn"))
    ]
    return [line for line in said if "/live" in line or "connection" in line]


def test_a_dead_peer_is_left(monkeypatch):
    monkeypatch.setattr(server_module, "PING_SECONDS", 0.5)
    with running_gateway(create_app(Settings(), GatedEngine())) as client:
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            connection.sendall(
                b"GET /v1/scenes/sphere/live HTTP/1.1\r\nHost: x\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            received = b""
            while part := connection.recv(1000):  # a pong is never sent
                received += part
            assert received.startswith(b"HTTP/1.1 101 ")
        wait_for(lambda: samples(client)["neurocity_live_views",] == 0)
