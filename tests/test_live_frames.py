"""The live view's frames over a real socket: sizes, tiles, acknowledgements, newest views, problems."""

import asyncio
import io
import threading

import analytic_scene
import numpy as np
import pytest
from gateway_server import running_gateway
from live_client import LOOK_AT, Frame, live_view, view
from PIL import Image
from test_serving_faults import ScriptedEngine
from test_serving_telemetry import samples
from waiting import PATIENCE, wait_for

from neurocity.errors import EngineError, EngineUnavailableError
from serving.app import create_app
from serving.live import pace, session
from serving.render.admission import OverloadedError
from serving.settings import Settings

WIDTH, HEIGHT = 150, 100


class GatedEngine(ScriptedEngine):
    """Makes a picture each time that it is let; one that is cancelled while it waits is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.waiting, self.given_up = 0, 0

    async def answer(self, rays):
        if len(rays) > 1:  # and no canary
            self.waiting += 1
            try:
                while not self.gate.is_set():
                    await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                self.given_up += 1
                raise
            finally:
                self.waiting -= 1
        return await super().answer(rays)


@pytest.fixture
def engine():
    return GatedEngine()


@pytest.fixture
def client(engine):
    with running_gateway(create_app(Settings(render_timeout_seconds=PATIENCE), engine)) as client:
        yield client


def pixels(frame: Frame) -> np.ndarray:
    with Image.open(io.BytesIO(frame.image)) as picture:
        assert picture.size == tuple(frame.header["tile"][2:])
        return np.array(picture)


def assembled(frames: list[Frame], dtype=np.uint8, channels: tuple[int, ...] = (3,)) -> np.ndarray:
    """The picture that tiles make; each pixel comes once."""
    first = frames[0].header
    picture = np.zeros((first["height"], first["width"], *channels), dtype)
    times = np.zeros(picture.shape[:2], int)
    for frame in frames:
        x, y, width, height = frame.header["tile"]
        scale = float(frame.header["notes"].get("X-Depth-Scale", 1)) if dtype is float else 1
        picture[y : y + height, x : x + width] = pixels(frame) * scale
        times[y : y + height, x : x + width] += 1
    assert (times == 1).all()
    return picture


def test_a_small_frame_comes_first_and_then_the_full_picture_in_tiles_from_the_middle(client, monkeypatch):
    monkeypatch.setattr(pace, "TILE_SECONDS", 1e-9)
    monkeypatch.setattr(pace, "FIRST_PIXELS", 60 * 40)
    monkeypatch.setattr(pace, "FEWEST_PIXELS", 2000)
    with live_view(client) as live:
        live.send(view(7, WIDTH, HEIGHT, anew=True))
        small, *tiles = live.until_settled()
    assert small.header["tile"] == [0, 0, 60, 40] == [0, 0, small.header["width"], small.header["height"]]
    assert small.header["media_type"] == "image/jpeg"
    assert len(tiles) > 4
    assert {(tile.header["width"], tile.header["height"], tile.header["view"]) for tile in tiles} == {
        (WIDTH, HEIGHT, 7)
    }
    middles = [
        np.array([x + w / 2 - WIDTH / 2, y + h / 2 - HEIGHT / 2])
        for x, y, w, h in (tile.header["tile"] for tile in tiles)
    ]
    distances = [float(np.linalg.norm(middle)) for middle in middles]
    assert distances == sorted(distances)
    assert [tile.header["settled"] for tile in tiles] == [False] * (len(tiles) - 1) + [True]
    link = f"/v1/scenes/sphere/render.png?eye=3,-2.5,2&target=0,0,0.4&fov=45&width={WIDTH}&height={HEIGHT}"
    whole = np.array(Image.open(io.BytesIO(client.get(link).content)))
    np.testing.assert_array_equal(assembled(tiles), whole)
    for name in ("queue_ms", "render_ms", "encode_ms"):
        assert tiles[0].header[name] >= 0
    assert tiles[0].header["scene_version"] == 1


def test_depth_is_distance_in_16_bits(client):
    with live_view(client) as live:
        live.send(view(1, WIDTH, HEIGHT, output="depth", anew=True))
        small, *tiles = live.until_settled()
    assert small.header["media_type"] == tiles[0].header["media_type"] == "image/png"
    assert tiles[0].header["notes"]["X-Depth-Kind"] == "distance"
    _, depth, _ = analytic_scene.render(*analytic_scene.camera(WIDTH, HEIGHT).rays().arrays())
    shown = assembled(tiles, float, ())
    np.testing.assert_allclose(shown, depth.reshape(HEIGHT, WIDTH), atol=1e-3)


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_the_client_says_what_it_reads(client, encoding):
    with live_view(client) as live:
        live.send(view(1, format=encoding, still_format=encoding, anew=True))
        assert {frame.header["media_type"] for frame in live.until_settled()} == {f"image/{encoding}"}


def test_the_next_frame_waits_for_the_word_that_the_last_one_is_drawn_and_shows_the_newest_view(client):
    with live_view(client) as live:
        live.send(view(1))
        first = live.receive()
        for number in range(2, 30):
            live.send(view(number))
        with pytest.raises(TimeoutError):
            live.receive(timeout=0.5)
        live.ack(first)
        second = live.frame()
        assert second.header["view"] == 29
        found = samples(client)
        assert found["neurocity_live_dropped_total", "sphere"] == 27
        assert found["neurocity_live_frames_total", "sphere"] >= 2
        assert found["neurocity_live_views",] == 1


def test_frames_grow_and_shrink_by_the_time_until_they_are_drawn(client, monkeypatch):
    monkeypatch.setattr(session, "STILL_SECONDS", PATIENCE)
    with live_view(client) as live:
        areas = []
        for number in range(1, 10):
            live.send(view(number, 320, 240))
            frame = live.receive()
            areas.append(frame.header["width"] * frame.header["height"])
            # A slow way, or a slow client, from the fifth on: what is allowed stands for it.
            monkeypatch.setattr(pace, "MOVING_SECONDS", 60.0 if number < 5 else 1e-4)
            live.ack(frame)
        assert areas[:5] == sorted(areas[:5])
        assert areas[4] == 320 * 240
        assert areas[4:] == sorted(areas[4:], reverse=True)
        assert areas[-1] == pytest.approx(pace.FEWEST_PIXELS, rel=0.05)


def test_the_full_picture_waits_until_the_camera_is_still(client, monkeypatch):
    usual = session.STILL_SECONDS
    with live_view(client) as live:
        for number in range(1, 6):
            monkeypatch.setattr(session, "STILL_SECONDS", PATIENCE if number < 5 else usual)
            live.send(view(number))
            assert live.frame().header["media_type"] == "image/jpeg"
        assert live.frame().header["settled"]


def test_a_newer_view_ends_the_work_on_the_full_picture(client, engine):
    with live_view(client) as live:
        live.send(view(1, anew=True))
        first = live.receive()
        engine.gate.clear()
        live.ack(first)
        wait_for(lambda: engine.waiting == 1)
        other = {"look_at": LOOK_AT | {"eye": [0, 3, 1]}}
        live.send(view(2, camera=other))
        wait_for(lambda: engine.given_up == 1)
        engine.gate.set()
        assert live.frame().header["view"] == 2


def test_a_newer_view_ends_a_full_picture_whose_next_tile_is_made_already(client, monkeypatch):
    monkeypatch.setattr(pace, "TILE_SECONDS", 1e-9)
    monkeypatch.setattr(pace, "FEWEST_PIXELS", 2000)
    count = ("neurocity_render_seconds_count", "scripted", "sphere", "compute")
    with live_view(client) as live:
        live.send(view(1, WIDTH, HEIGHT, anew=True))
        live.frame()
        first = live.receive()
        wait_for(lambda: samples(client)[count] == 3)  # the small frame, this tile, and the one behind it
        live.send(view(2, WIDTH, HEIGHT))
        live.ack(first)
        assert live.frame().header["view"] == 2


def test_a_moving_frame_is_left_to_arrive_unless_the_view_is_anew(client, engine):
    with live_view(client) as live:
        engine.gate.clear()
        live.send(view(1))
        wait_for(lambda: engine.waiting == 1)
        live.send(view(2, width=60))
        live.send({"type": "ack", "frame": 0})
        assert engine.given_up == 0
        live.send(view(3, width=70, anew=True))
        wait_for(lambda: engine.given_up == 1)
        engine.gate.set()
        assert live.frame().header["view"] == 3


def test_who_leaves_has_ended_its_work(client, engine):
    engine.gate.clear()
    with live_view(client) as live:
        live.send(view(1))
        wait_for(lambda: engine.waiting == 1)
    wait_for(lambda: engine.given_up == 1)
    wait_for(lambda: samples(client)["neurocity_live_views",] == 0)


@pytest.mark.parametrize(
    ("failure", "slug"),
    [
        (OverloadedError("there is no room", 1), "overloaded"),
        (EngineUnavailableError("no server at 10.0.0.7"), "engine-unavailable"),
    ],
)
def test_a_full_gateway_says_so_and_goes_on_by_itself(client, engine, failure, slug):
    engine.failure = failure
    with live_view(client) as live:
        live.send(view(5, anew=True))
        told = live.receive()
        assert told["type"] == "problem"
        assert told["id"] == 5
        assert told["problem"]["type"] == f"urn:neurocity:problem:{slug}"
        assert told["problem"]["status"] == 503
        assert told["retry_after_seconds"] == 1
        assert "10.0.0.7" not in str(told)
        engine.failure = None
        assert live.frame().header["view"] == 5


def test_a_failed_view_is_told_and_the_next_one_shown(client, engine):
    engine.failure = EngineError("the graph failed")
    with live_view(client) as live:
        live.send(view(1))
        told = live.receive()
        assert told["problem"]["type"] == "urn:neurocity:problem:engine-failed"
        assert told["retry_after_seconds"] is None
        engine.failure = None
        live.send(view(2))
        assert live.frame().header["view"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"camera": {"look_at": {"eye": [0, 0, 0], "target": [0, 0, 0]}}},
        {"camera": {"look_at": {"eye": [0, 0], "target": [0, 0, 0]}}},
        {"camera": {}},
        {"width": 100_000},
        {"width": "wide"},
        {"output": "taste"},
        {"background": "blue-ish"},
    ],
)
def test_a_wrong_view_has_the_problem_that_the_same_request_has(client, change):
    right = view(3) | change
    body = {name: value for name, value in right.items() if name not in ("type", "id")}
    expected = client.post("/v1/scenes/sphere/render", json=body)
    assert expected.status_code == 422
    with live_view(client) as live:
        live.send(right)
        assert live.receive()["problem"] == expected.json()
        live.send(view(4))
        assert live.frame().header["view"] == 4


def test_frames_while_the_camera_moves_are_not_kept(engine):
    with running_gateway(create_app(Settings(), engine)) as client, live_view(client) as live:
        counts = []
        for number in (1, 2):
            for eye in (LOOK_AT["eye"], [0, 3, 1]):
                camera = {"look_at": LOOK_AT | {"eye": eye}}
                live.send(view(number, camera=camera, anew=eye == LOOK_AT["eye"]))
                live.until_settled()
            counts.append(samples(client)["neurocity_render_seconds_count", "scripted", "sphere", "compute"])
        # Of each view a small frame and a full picture; then the small one of the moved camera again.
        assert counts == [4, 5]
