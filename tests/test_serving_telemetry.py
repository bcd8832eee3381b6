"""Request ids, the log's lines and the metrics: what an operator sees of a request."""

import json
import logging
import re
import socket

import pytest
from gateway_server import running_gateway, running_server
from prometheus_client.parser import text_string_to_metric_families
from test_serving_faults import LINK, ScriptedEngine
from waiting import PATIENCE, wait_for

from neurocity.errors import EngineUnavailableError
from serving.app import create_app
from serving.settings import Settings
from serving.telemetry.logs import configure_logs


@pytest.fixture
def engine():
    return ScriptedEngine()


@pytest.fixture
def client(engine):
    with running_gateway(create_app(Settings(), engine)) as client:
        yield client


@pytest.fixture
def log_lines(monkeypatch, capsys):
    """Gives the lines that the process logs, once it logs as the text or JSON that it is called with."""
    root, lines = logging.getLogger(), []
    before = root.handlers[:], root.level
    monkeypatch.setattr(logging.getLogger("httpx"), "level", logging.WARNING)  # the client's own

    def logged():
        lines.extend(capsys.readouterr().err.splitlines())
        return lines

    def configure(kind):
        configure_logs(kind)
        return logged

    yield configure
    root.handlers[:] = before[0]
    root.setLevel(before[1])


def test_a_request_keeps_its_id_or_gets_one(client):
    assert client.get("/livez", headers={"x-request-id": "abc-1/2"}).headers["x-request-id"] == "abc-1/2"
    given = {client.get("/livez").headers["x-request-id"] for _ in range(3)}
    assert len(given) == 3
    for forged in ("a b", "x" * 200, 'a"b', ""):
        name = client.get("/nothing", headers={"x-request-id": forged}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{16}", name)


@pytest.mark.parametrize("kind", ["text", "json"])
def test_every_line_of_a_request_has_its_id(client, engine, log_lines, kind):
    logged = log_lines(kind)
    engine.failure = EngineUnavailableError("no server at 10.0.0.7")
    client.get(LINK, headers={"x-request-id": "trace-7"})
    wait_for(lambda: len(logged()) >= 2)
    lines = logged()
    assert len(lines) == 2
    if kind == "text":
        assert all("[trace-7]" in line for line in lines)
        assert "10.0.0.7" in lines[0]
        assert "client=127.0.0.1" in lines[1]
        return
    first, second = map(json.loads, lines)
    assert first["request_id"] == second["request_id"] == "trace-7"
    assert "10.0.0.7" in first["message"]
    assert second["method"] == "GET"
    assert second["path"] == "/v1/scenes/sphere/render.png"
    assert second["status"] == 503
    assert second["client"] == "127.0.0.1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}", second["time"])


@pytest.mark.parametrize(("trusted", "client"), [(None, "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")])
def test_only_a_trusted_proxy_says_who_the_client_is(engine, caplog, trusted, client):
    settings = Settings(trusted_proxies=trusted)
    with running_server(create_app(settings, engine), settings) as (_, sender), caplog.at_level(logging.INFO):
        sender.get("/livez", headers={"x-forwarded-for": "203.0.113.9"})
        wait_for(lambda: f"client={client}" in caplog.text)


def test_a_proxy_may_take_a_prefix_away(engine):
    settings = Settings(root_path="/city")
    with running_server(create_app(settings, engine), settings) as (_, client):
        assert client.get("/livez").status_code == 200
        assert client.get(LINK).status_code == 200


def test_long_methods_and_paths_are_cut(client, caplog):
    with caplog.at_level(logging.INFO, "neurocity.serving"):
        client.request("A" * 5000, "/" + "b" * 5000)
        wait_for(lambda: "method=" in caplog.text)
    line = next(record.getMessage() for record in caplog.records if "method=" in record.getMessage())
    assert len(line) < 600
    assert "method=AAAAAAAAAAAAA... " in line


def samples(client, headers=None) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names) -> value, of what `/metrics` tells."""
    text = client.get("/metrics", headers=headers).text
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_answers_and_pictures(client, engine):
    for _ in range(3):
        assert client.get(LINK).status_code == 200
    client.head("/livez")
    engine.failure = EngineUnavailableError("gone")
    client.get(f"{LINK}&fov=40")
    with socket.create_connection(
        (client.base_url.host, client.base_url.port), timeout=PATIENCE
    ) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert b" 400 " in connection.recv(100)
    found = samples(client)
    assert found["neurocity_rejected_total", "bad-request"] == 1
    assert found["neurocity_connections",] >= 1
    render = "/v1/scenes/{scene}/render.{extension}"
    assert found["http_requests_total", render, "GET", "200"] == 3
    assert found["http_requests_total", render, "GET", "503"] == 1
    assert found["http_requests_total", "/livez", "HEAD", "200"] == 1
    assert found["http_request_duration_seconds_count", render, "GET"] == 4
    # Three were asked for, and are one picture.
    assert found["neurocity_pixels_total", "scripted", "sphere"] == 16
    for stage in ("queue", "compute", "encode"):
        assert found["neurocity_render_seconds_count", "scripted", "sphere", stage] == 1
    assert found["neurocity_queue_seconds_estimated",] == 0
    assert found["http_active_requests",] == 1  # the one that asks
    assert found["neurocity_rejected_total", "engine-unavailable"] == 1
    assert ("process_resident_memory_bytes",) in found
    assert any(name == "neurocity_build_info" for name, *_ in found)


def test_labels_are_bounded(client):
    client.get("/livez")
    client.get("/nothing")
    client.request("BREW", "/livez")
    before = len(samples(client))
    for number in range(30):
        client.get(f"/nothing/{number}")
        client.get(f"/v1/scenes/none{number}")
        client.get(f"/v1/scenes/none{number}/render.png?eye=1,1,1&target=0,0,0")
        client.request(f"BREW{number}", "/livez")
    after = samples(client)
    assert not any("none" in label or "BREW" in label or "nothing" in label for key in after for label in key)
    assert len(after) <= before + 3 * 25
