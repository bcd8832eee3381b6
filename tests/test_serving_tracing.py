"""Spans of requests, as a collector gets them: which there are, what is a part of what, and what they say."""

import json
import logging
import sys
import timeit

import pytest
from gateway_server import running_gateway
from otlp_collector import attributes, running_collector
from test_serving_faults import LINK, ScriptedEngine
from waiting import wait_for

from neurocity.errors import EngineUnavailableError, MissingDependencyError
from serving import spans
from serving.app import create_app
from serving.render.tile_times import MOST_SPANS
from serving.settings import Settings
from serving.telemetry.tracing import STANDARD_ENDPOINTS, open_tracing

CALLER, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{CALLER}-{PARENT}-01"}
PICTURE = LINK.replace("width=4&height=4", "width=8&height=32")


@pytest.fixture(scope="module")
def collector():
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine()


@pytest.fixture(scope="module")
def client(collector, engine):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        for name, value in (("LEAST_TILE_PIXELS", 1), ("TILE_SECONDS", 1e-12), ("CALL_SHARE", 10**6)):
            patch.setattr(f"serving.render.cost.{name}", value)  # so that a tile is a row
        with running_gateway(create_app(Settings(otlp_endpoint=collector.url), engine)) as client:
            yield client


def trace_of(number: int) -> tuple[str, dict[str, str]]:
    """A trace of its own, and the headers that make a request a part of it."""
    return f"{number:032x}", {"traceparent": f"00-{number:032x}-{PARENT}-01"}


def assert_inside(part, whole) -> None:
    assert part.parent_span_id == whole.span_id
    # The clock of spans that are over is read when they are told; it may be set meanwhile.
    assert whole.start_time_unix_nano <= part.start_time_unix_nano + 5e6
    assert part.end_time_unix_nano <= whole.end_time_unix_nano + 5e6


def test_a_picture_is_a_part_of_its_callers_trace(client, collector):
    height = MOST_SPANS
    answer = client.get(
        PICTURE.replace("height=32", f"height={height}"), headers=TRACEPARENT | {"x-request-id": "mine"}
    )
    assert answer.status_code == 200
    named = collector.wait_for(CALLER, 7 + height)
    assert {name: len(found) for name, found in named.items()} == {
        "GET /v1/scenes/{scene}/render.{extension}": 1,
        "camera": 1,
        "admit": 1,
        "render": 1,
        "queue": 1,
        "tiles": 1,
        "tile": height,
        "encode": 1,
    }
    (request,) = named.pop("GET /v1/scenes/{scene}/render.{extension}")
    assert request.parent_span_id.hex() == PARENT
    assert request.kind == request.SPAN_KIND_SERVER
    assert attributes(request) == {
        "http.request.method": "GET",
        "http.route": "/v1/scenes/{scene}/render.{extension}",
        "http.response.status_code": 200,
        "url.path": "/v1/scenes/sphere/render.png",
        "client.address": "127.0.0.1",
        "neurocity.request_id": "mine",
    }
    (render,), (tiles,) = named["render"], named["tiles"]
    for name in ("camera", "admit", "render"):
        assert_inside(named[name][0], request)
    for name in ("queue", "tiles", "encode"):
        assert_inside(named[name][0], render)
    for tile in named["tile"]:
        assert_inside(tile, tiles)
    assert attributes(render) == {"scene": "sphere", "engine": "scripted", "pixels": 8 * height}
    assert attributes(named["encode"][0]) == {"format": "png"}
    assert collector.resources[-1]["service.name"] == "neurocity"
    assert "service.version" in collector.resources[-1]


def test_many_tiles_are_events(client, collector):
    trace, headers = trace_of(1)
    assert client.get(PICTURE, headers=headers).status_code == 200
    named = collector.wait_for(trace, 7)
    (tiles,) = named["tiles"]
    assert [event.name for event in tiles.events] == ["tile"] * 32
    assert attributes(tiles) == {"count": 32}
    assert tiles.events[0].time_unix_nano < tiles.events[-1].time_unix_nano <= tiles.end_time_unix_nano


def test_failures_are_told_in_spans_log_and_problem(client, collector, engine):
    trace, headers = trace_of(2)
    engine.failure = EngineUnavailableError("gone")
    try:
        answer = client.get(f"{LINK}&fov=41", headers=headers)
    finally:
        engine.failure = None
    assert answer.json()["trace_id"] == trace
    named = collector.wait_for(trace, 5)
    (request,) = named["GET /v1/scenes/{scene}/render.{extension}"]
    (render,) = named["render"]
    assert (request.status.code, request.status.message) == (2, "engine-unavailable")
    assert (render.status.code, render.status.message) == (2, "EngineUnavailableError")
    trace, headers = trace_of(3)
    assert "trace_id" in client.get("/v1/scenes/none", headers=headers).json()
    (request,) = collector.wait_for(trace, 1)["GET /v1/scenes/{scene}"]
    assert request.status.code == 0  # the client's fault


@pytest.mark.parametrize("kind", ["text", "json"])
def test_the_lines_of_a_request_have_its_trace(client, collector, kind, monkeypatch, capsys):
    from serving.telemetry.logs import configure_logs  # noqa: PLC0415

    trace, headers = trace_of(4 if kind == "text" else 5)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging.getLogger("httpx"), "level", logging.WARNING)
    configure_logs(kind)
    client.get("/v1/scenes", headers=headers | {"x-request-id": "mine"})
    client.get("/livez", headers={"x-request-id": "probe"})
    lines = []
    wait_for(lambda: len(lines.extend(capsys.readouterr().err.splitlines()) or lines) == 2)
    if kind == "text":
        assert f"[mine {trace}] method=GET" in lines[0]
        assert "[probe] method=GET" in lines[1]
    else:
        assert json.loads(lines[0])["trace_id"] == trace
        assert "trace_id" not in json.loads(lines[1])
    collector.wait_for(trace, 1)


def test_probes_and_callers_that_are_not_sampled_send_nothing(client, collector):
    before = len(collector.spans)
    client.get("/livez", headers=trace_of(6)[1])
    client.get("/readyz")
    client.get("/metrics")
    trace = trace_of(7)[0]
    unsampled = client.get("/v1/scenes/none", headers={"traceparent": f"00-{trace}-{PARENT}-00"})
    assert unsampled.json()["trace_id"] == trace
    trace, headers = trace_of(8)
    client.head("/v1/scenes", headers=headers)
    assert "HEAD /v1/scenes" in collector.wait_for(trace, 1)
    assert len(collector.spans) == before + 1


def test_the_standard_variable_names_the_collector(engine, monkeypatch):
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "city")
        trace, headers = trace_of(9)
        with running_gateway(create_app(Settings(), engine)) as client:
            client.get("/v1/scenes", headers=headers)
        # The gateway has ended, and has sent what it had.
        assert "GET /v1/scenes" in collector.wait_for(trace, 1)
        assert collector.resources[-1]["service.name"] == "city"


def test_a_collector_that_is_gone_delays_nothing(engine):
    with running_collector() as collector:
        gone = collector.url
    with running_gateway(create_app(Settings(otlp_endpoint=gone), engine)) as client:
        assert client.get(LINK).status_code == 200


def test_without_the_packages_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "serving.telemetry.open_telemetry", raising=False)
    with pytest.raises(MissingDependencyError, match=r"install neurocity\[otel\]"):
        open_tracing("http://127.0.0.1:4318", "1")
    for name in STANDARD_ENDPOINTS:
        monkeypatch.setenv(name, "http://127.0.0.1:4318")
        with pytest.raises(MissingDependencyError, match=r"install neurocity\[otel\]"):
            create_app(Settings())
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert open_tracing("http://127.0.0.1:4318", "1") is None


def test_what_is_not_traced_costs_next_to_nothing():
    """Less than a thousandth of the smallest picture, however slow the machine is: a few calls of Python."""

    def call():
        pass

    def traced():
        with spans.span("render", pixels=3):
            pass

    times = {which: min(timeit.repeat(which, number=2000, repeat=5)) for which in (call, traced)}
    assert spans.trace_id() is None
    assert spans.trace_headers() is None
    assert times[traced] < 60 * times[call]
