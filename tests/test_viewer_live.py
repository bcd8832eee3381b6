"""The page over the live view's socket and without it: what is asked, shown, and said of failures."""

import asyncio
import itertools
import json
import signal
import struct
import time

import analytic_scene
import pytest
from browser_page import patient_page
from gateway_server import running_gateway
from live_client import live_view
from test_serving_drain import process
from test_serving_telemetry import samples
from viewer_page import (
    CENTER,
    HEIGHT,
    WIDTH,
    addressed_camera,
    assert_shows,
    drag,
    expected_image,
    opened_page,
    point,
    wait_until_drawn,
)
from waiting import PATIENCE, wait_for

from deploy.ports import free_port
from serving.access.keys import Grant, new_key
from serving.app import create_app
from serving.settings import Settings


@pytest.fixture(scope="module")
def gateway_without_live_views(viewer_repository):
    with running_gateway(create_app(Settings(repository=viewer_repository, live_views=0))) as client:
        yield client


def swing(page, enough) -> None:
    """Drag the scene to and fro until `enough()` pictures of it have come, and let go."""
    places = itertools.cycle([*range(40), *range(40, 0, -1)])
    page.mouse.move(*CENTER)
    page.mouse.down()

    def moved() -> bool:
        page.mouse.move(CENTER[0] + 2 * next(places), CENTER[1])
        page.wait_for_timeout(10)
        return enough()

    wait_for(moved)
    page.mouse.up()
    wait_until_drawn(page)


def test_the_socket_brings_small_frames_one_at_a_time_and_then_the_full_picture(browser, viewer_gateway):
    told, headers, methods = [], [], []

    def sent(text) -> None:
        told.extend(["ack"] if json.loads(text)["type"] == "ack" else [])

    def received(payload) -> None:
        assert isinstance(payload, bytes), payload
        (length,) = struct.unpack(">I", payload[:4])
        headers.append(json.loads(payload[4 : 4 + length]))
        told.append("frame")

    def opened(live) -> None:
        live.on("framesent", sent)
        live.on("framereceived", received)

    def moving() -> list:
        return [header for header in headers if header["media_type"] == "image/jpeg"]

    with opened_page(browser, viewer_gateway.base_url) as page:
        page.on("websocket", opened)
        page.on("request", lambda request: methods.append(request.method))
        page.reload()
        wait_until_drawn(page)
        swing(page, lambda: len(moving()) >= 4)
        # The driver tells of a socket when it likes, and not in the order of what the page shows.
        wait_for(lambda: page.wait_for_timeout(10) or (headers[-1]["settled"] and told[-1] == "ack"))
        assert_shows(page, expected_image(addressed_camera(page)))
    assert set(methods) == {"GET"}
    assert told == ["frame", "ack"] * (len(told) // 2)
    assert moving()[0]["width"] < WIDTH
    assert headers[-1]["settled"]
    assert headers[-1]["media_type"] == "image/png"
    assert (headers[-1]["width"], headers[-1]["height"]) == (WIDTH, HEIGHT)


def test_without_the_socket_there_are_small_pictures_one_at_a_time_and_then_a_full_one(
    bare_page, gateway_without_live_views
):
    page, wanted, under_way, most = bare_page, [], set(), 0

    def started(request):
        nonlocal most
        if request.method == "POST":
            body = json.loads(request.post_data)
            wanted.append((body["width"] * body["height"], body["format"]))
            if body["format"] == "jpeg":
                under_way.add(request)
            most = max(most, len(under_way))

    def ended(request):
        under_way.discard(request)

    def moving() -> list[int]:
        return [pixels for pixels, encoding in wanted if encoding == "jpeg"]

    page.on("request", started)
    page.on("requestfinished", ended)
    page.goto(str(gateway_without_live_views.base_url))
    wait_until_drawn(page)
    swing(page, lambda: len(moving()) >= 3)
    assert most == 1
    assert min(moving()) < WIDTH * HEIGHT
    assert wanted[-1] == (WIDTH * HEIGHT, "png")
    assert_shows(page, expected_image(addressed_camera(page)))
    assert not page.is_visible("#problem")


def test_depth_is_the_same_both_ways(browser, bare_page, viewer_gateway, gateway_without_live_views):
    legends = []

    def look(page) -> None:
        page.keyboard.press("2")
        wait_until_drawn(page)
        point(page, WIDTH / 2 + 0.5, HEIGHT / 2 + 0.5)
        legends.append([page.inner_text(f"#legend-{part}") for part in ("near", "far", "value")])

    with opened_page(browser, viewer_gateway.base_url) as page:
        look(page)
    bare_page.goto(str(gateway_without_live_views.base_url))
    wait_until_drawn(bare_page)
    look(bare_page)
    _, depth, _ = analytic_scene.render(*analytic_scene.camera(WIDTH, HEIGHT).rays().arrays())
    assert float(legends[0][2]) == pytest.approx(
        depth.reshape(HEIGHT, WIDTH)[HEIGHT // 2, WIDTH // 2], abs=0.01
    )
    assert legends[0] == legends[1]


SIZES = """async (pixelsInASecond) => {
  const { HttpFrames } = await import("/frames/http.js");
  let now = 0;
  performance.now = () => now;
  const empty = new OffscreenCanvas(1, 1);
  empty.getContext("2d");
  const blob = await empty.convertToBlob();
  window.fetch = async (url, { body }) => {
    const { width, height } = JSON.parse(body);
    now += (1000 * width * height) / pixelsInASecond;
    return new Response(blob);
  };
  const view = { scene: "sphere", output: "rgb", eye: [3, 0, 0], target: [0, 0, 0], fov: 45 };
  const sizes = [];
  await new Promise((resolve, reject) => {
    const show = (frame, { width, height, settled }) => sizes.push([width, height]) && settled && resolve();
    const frames = new HttpFrames({ show, fail: reject, busy() {} });
    frames.update(view, { width: 480, height: 300 }, true);
  });
  return sizes;
}"""


def test_single_requests_end_with_all_pixels(bare_page, viewer_gateway):
    """Where a second would be enough for nearly all of them, too."""
    bare_page.goto(str(viewer_gateway.base_url))
    sizes = bare_page.evaluate(SIZES, 0.95 * 480 * 300)
    assert len(sizes) >= 3
    assert sizes[-1] == [480, 300]


def test_a_socket_that_is_refused_is_tried_again(bare_page, viewer_repository):
    page = bare_page
    settings = Settings(repository=viewer_repository, live_views=1)
    page.add_init_script(
        """{
          window.sockets = [];
          window.WebSocket = class extends WebSocket {
            constructor(...how) {
              super(...how);
              window.sockets.push(this);
            }
          };
        }"""
    )
    with running_gateway(create_app(settings)) as client:
        with live_view(client):
            page.goto(str(client.base_url))
            wait_until_drawn(page)
            assert_shows(page, expected_image(analytic_scene.camera(WIDTH, HEIGHT)))
            drag(page, 80, 20)
            assert_shows(page, expected_image(addressed_camera(page)))
        wait_for(lambda: page.evaluate("sockets.at(-1).readyState === WebSocket.OPEN"))
        page.wait_for_timeout(1000)
        assert_shows(
            page, expected_image(addressed_camera(page))
        )  # and not what the socket was asked for first
        drag(page, 40, 10)
        assert_shows(page, expected_image(addressed_camera(page)))
        assert samples(client)["neurocity_live_frames_total", "sphere"] >= 2


def test_a_socket_that_was_idle_is_opened_again_by_the_next_movement(browser, viewer_repository):
    settings = Settings(repository=viewer_repository, live_idle_seconds=1.0)
    with running_gateway(create_app(settings)) as client, opened_page(browser, client.base_url) as page:
        wait_for(lambda: samples(client)["neurocity_live_views",] == 0)
        drag(page, 40, 10)
        assert_shows(page, expected_image(addressed_camera(page)))


def test_a_view_that_an_idle_end_crosses_is_shown(bare_page, viewer_gateway):
    page, views = bare_page, []

    def relay(to_page):
        server = to_page.connect_to_server()

        def from_page(message):
            views.extend([message] if '"view"' in message else [])
            if len(views) == 2:
                views.append("lost")
                to_page.close(code=1000, reason="idle")
            else:
                server.send(message)

        to_page.on_message(from_page)

    page.route_web_socket("**/live", relay)
    page.goto(str(viewer_gateway.base_url))
    wait_until_drawn(page)
    page.keyboard.press("ArrowLeft")
    wait_until_drawn(page)
    assert len(views) > 3
    assert_shows(page, expected_image(addressed_camera(page)))


def test_a_frame_that_cannot_be_drawn_is_told_and_the_next_one_shown(bare_page, viewer_gateway):
    page, complaints, frames = bare_page, [], []

    def relay(to_page):
        server = to_page.connect_to_server()

        def to_the_page(message):
            (length,) = struct.unpack(">I", message[:4])
            frames.append(message)
            to_page.send(message if len(frames) > 1 else message[: 4 + length] + b"no picture")

        server.on_message(to_the_page)

    page.on("console", lambda message: complaints.append(message.type))
    page.route_web_socket("**/live", relay)
    page.goto(str(viewer_gateway.base_url))
    wait_until_drawn(page)
    assert complaints == ["error"]
    assert not page.is_visible("#problem")
    assert_shows(page, expected_image(analytic_scene.camera(WIDTH, HEIGHT)))


def test_a_live_view_that_fails_again_and_again_is_not_opened_at_once_each_time(bare_page, viewer_gateway):
    page, opened, began = bare_page, [], time.monotonic()

    def relay(to_page):
        opened.append(time.monotonic() - began)
        server = to_page.connect_to_server()
        frames = []

        def to_the_page(message):
            frames.append(message)
            if len(frames) == 1:
                to_page.send(message)
            else:
                to_page.close(code=1011, reason="the gateway failed")

        server.on_message(to_the_page)

    page.route_web_socket("**/live", relay)
    page.goto(str(viewer_gateway.base_url))
    wait_until_drawn(page)
    assert_shows(page, expected_image(analytic_scene.camera(WIDTH, HEIGHT)))
    page.wait_for_timeout(1500)
    # As in frames.js, after each that failed.
    earliest = [0.0, *itertools.accumulate([1.0, 4.0, 15.0, 60.0])]
    assert all(seconds >= least for seconds, least in zip(opened, earliest, strict=False)), opened


class Unanswered:
    """A proxy that never answers the handshake of a WebSocket."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "websocket":
            await asyncio.Event().wait()
        await self.app(scope, receive, send)


@pytest.mark.slow
def test_a_handshake_that_nobody_answers_is_not_waited_for(browser, viewer_repository):
    app = create_app(Settings(repository=viewer_repository))
    app.add_middleware(Unanswered)
    size = {"width": WIDTH, "height": HEIGHT}
    with running_gateway(app) as client, browser.new_context(viewport=size) as context:
        page = patient_page(context, ends=["handshake"])
        page.goto(str(client.base_url))
        wait_until_drawn(page)
        assert_shows(page, expected_image(analytic_scene.camera(WIDTH, HEIGHT)))
        page.goto("about:blank")


def test_the_page_follows_a_gateway_that_is_restarted(bare_page, viewer_repository):
    page, port, opened = bare_page, str(free_port()), []
    page.on("websocket", lambda live: opened.append(live.url))
    with process(viewer_repository, "--port", port) as (gateway, url):
        page.goto(str(url))
        wait_until_drawn(page)
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(PATIENCE) == 0
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector("#problem")
        assert "Trying again in" in page.inner_text("#problem-detail")
    before = len(opened)
    with process(viewer_repository, "--port", port):
        wait_until_drawn(page)
        assert_shows(page, expected_image(addressed_camera(page)))
        assert not page.is_visible("#problem")
        wait_for(lambda: page.wait_for_timeout(100) or len(opened) > before)


def test_a_gateway_with_keys_asks_for_one(bare_page, viewer_repository):
    page = bare_page
    key, line = new_key(Grant("visitor", frozenset({"sphere"})))
    headers = {"X-API-Key": key}
    operator, operator_line = new_key(Grant("operator", frozenset({"*"}), admin=True))
    settings = Settings(repository=viewer_repository, api_keys=f"{line};{operator_line}")
    addresses = []
    with running_gateway(create_app(settings)) as client:
        client.headers["X-API-Key"] = operator
        page.on("request", lambda request: addresses.append(request.url))
        page.on("websocket", lambda live: addresses.append(live.url))
        page.goto(str(client.base_url))
        page.wait_for_selector("#key-dialog[open]")
        assert not page.is_visible("#key-rejected")
        page.keyboard.type("guess")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key-rejected", state="visible")
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        wait_until_drawn(page)
        assert_shows(page, expected_image(analytic_scene.camera(WIDTH, HEIGHT)))
        wait_for(lambda: samples(client)["neurocity_live_views",] == 1)
        page.reload()
        wait_until_drawn(page)
        assert not page.is_visible("#key-dialog")
        assert client.get("/v1/scenes", headers=headers).json()["scenes"][0]["scene"] == "sphere"
    assert not any(key in address for address in addresses)
    assert page.evaluate("Object.keys(localStorage)") == []


def test_who_gives_no_key_is_told(bare_page, viewer_repository):
    page = bare_page
    _, line = new_key(Grant("visitor", frozenset({"sphere"})))
    with running_gateway(create_app(Settings(repository=viewer_repository, api_keys=line))) as client:
        page.goto(str(client.base_url))
        page.wait_for_selector("#key-dialog[open]")
        page.keyboard.press("Escape")
        page.wait_for_selector("#problem")
        assert page.inner_text("#problem-title") == "Unauthorised"
        page.click("#problem-retry")
        page.wait_for_selector("#key-dialog[open]")
