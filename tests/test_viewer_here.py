"""The served page draws a scene itself when it has come, to the picture that the server gives."""

import re
import threading

import httpx
import numpy as np
import pytest
from browser_page import patient_page
from gateway_server import running_gateway
from test_serving_telemetry import samples
from viewer_page import HEIGHT, WIDTH, canvas_pixels, drag, wait_until_drawn
from waiting import PATIENCE, wait_for
from web_pages import (
    DRAWING,
    NOT_DRAWING,
    QUICK_DEVICE,
    SCALE,
    SCENE,
    assert_close,
    picture,
    read_png,
    scene_page,
    screen,
    seen_camera,
    taking,
    write_repository,
)

from serving.access.keys import Grant, new_key
from serving.app import create_app
from serving.settings import Settings


@pytest.fixture(scope="module")
def repository(made_once):
    return made_once("web_repository", write_repository)


@pytest.fixture(scope="module")
def gateway(repository):
    with running_gateway(create_app(Settings(repository=repository))) as client:
        yield client


def wait_until_here(page):
    page.wait_for_selector("#here-view", state="visible")
    wait_until_drawn(page)


def test_first_pictures_come_from_the_server_and_the_others_are_drawn_here(chromium, gateway):
    asked = []
    with scene_page(chromium(*DRAWING), gateway.base_url, prepare=QUICK_DEVICE) as page:
        wait_until_drawn(page)
        served = canvas_pixels(page)
        assert_close(served, picture(seen_camera(page)))
        wait_until_here(page)
        assert page.inner_text("#here-state") == "Drawn here"
        np.testing.assert_allclose(screen(page), served, atol=3.01 / 255)
        wait_for(lambda: samples(gateway)["neurocity_live_views",] == 0)
        page.on("request", lambda request: "/v1/" in request.url and asked.append(request.url))
        page.on("websocket", lambda live: asked.append(live.url))

        drag(page, 60, 30)
        page.keyboard.press("+")
        wait_until_drawn(page)
        drawn = screen(page)
        assert_close(drawn, picture(seen_camera(page)))
        page.click("#link")
        link = page.get_attribute("#notice a", "href")
        assert asked == []
        np.testing.assert_allclose(
            read_png(httpx.get(link, timeout=PATIENCE).content), drawn, atol=4.01 / 255
        )

        page.keyboard.press("2")
        wait_until_drawn(page)
        near, far = (float(page.inner_text(f"#legend-{name}")) for name in ("near", "far"))
        assert 0 < near < far
        assert page.is_visible("#here-view")

        page.keyboard.press("4")  # which the server alone gives
        page.wait_for_selector("#here-view", state="hidden")
        wait_until_drawn(page)
        page.keyboard.press("1")
        wait_until_here(page)

        page.evaluate(
            """() => {
              const context = document.getElementById("here-view").getContext("webgl2");
              window.away = context.getExtension("WEBGL_lose_context");
              window.away.loseContext();
            }"""
        )
        page.wait_for_selector("#here-view", state="hidden")
        wait_until_drawn(page)
        assert_close(canvas_pixels(page), picture(seen_camera(page)))
        page.evaluate("() => window.away.restoreContext()")
        wait_until_here(page)
        np.testing.assert_allclose(screen(page), drawn, atol=1.01 / 255)

        page.uncheck("#here")
        page.wait_for_selector("#here-view", state="hidden")
        wait_until_drawn(page)
        assert page.inner_text("#here-state") == "Draw here"
        assert_close(canvas_pixels(page), picture(seen_camera(page)))
        page.check("#here")
        wait_until_here(page)
        np.testing.assert_allclose(screen(page), drawn, atol=1.01 / 255)


def test_a_scene_whose_context_is_lost_while_it_loads_is_drawn_when_it_is_back(chromium, gateway):
    size = {"width": WIDTH, "height": HEIGHT}
    held, is_back = [], threading.Event()

    def hold(route):
        if is_back.is_set():
            route.continue_()
        else:
            held.append(route)

    with chromium(*DRAWING).new_context(viewport=size, device_scale_factor=SCALE) as context:
        page = patient_page(context)
        QUICK_DEVICE(page)
        page.route("**/groups/01.js*", hold)
        page.goto(str(gateway.base_url))
        page.wait_for_selector("#here-state:has-text('Loading')")
        page.evaluate(
            """() => new Promise((resolve) => {
              const canvas = document.getElementById("here-view");
              window.away = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
              canvas.addEventListener("webglcontextlost", () => setTimeout(resolve));
              window.away.loseContext();
            })"""
        )
        is_back.set()
        for route in held:
            route.continue_()
        page.evaluate("() => window.away.restoreContext()")
        wait_until_here(page)
        assert page.is_enabled("#here")
        assert_close(screen(page), picture(seen_camera(page)))


COUNT_TEXTURES = """() => {
  const { createTexture, deleteTexture } = WebGL2RenderingContext.prototype;
  window.textures = new Set();
  WebGL2RenderingContext.prototype.createTexture = function () {
    const texture = createTexture.call(this);
    window.textures.add(texture);
    return texture;
  };
  WebGL2RenderingContext.prototype.deleteTexture = function (texture) {
    window.textures.delete(texture);
    deleteTexture.call(this, texture);
  };
}"""


def test_a_request_that_is_lost_frees_the_scene_and_the_switch_tries_again(chromium, gateway):
    size = {"width": WIDTH, "height": HEIGHT}
    with chromium(*DRAWING).new_context(viewport=size, device_scale_factor=SCALE) as context:
        page = patient_page(context)
        QUICK_DEVICE(page)
        page.add_init_script(f"({COUNT_TEXTURES})()")
        lost = []
        page.route("**/groups/01.js*", lambda route: (lost.append(route), route.abort()))
        page.goto(str(gateway.base_url))
        page.wait_for_selector("#notice", state="visible")
        assert len(lost) == 2
        page.unroute("**/groups/01.js*")
        assert "server goes on drawing" in page.inner_text("#notice")
        assert not page.is_checked("#here")
        assert page.evaluate("window.textures.size") <= 1  # the one that showed what the browser can do
        wait_until_drawn(page)
        page.check("#here")
        wait_until_here(page)
        assert page.evaluate("window.textures.size") > 2
        assert_close(screen(page), picture(seen_camera(page)))


def test_the_server_draws_where_it_is_clearly_quicker_until_the_user_wants_it_otherwise(chromium, gateway):
    slower = "#here-state:has-text('slower')"
    with scene_page(chromium(*DRAWING), gateway.base_url, prepare=taking(742.0, 36.0)) as page:
        page.wait_for_selector(slower)
        assert not page.is_checked("#here")
        assert re.fullmatch(
            r"A full picture takes \d+ ms here, \d+ ms from the server",
            page.get_attribute("#here-choice", "title"),
        )
        drag(page, 40, 10)
        assert not page.is_visible("#here-view")
        assert_close(canvas_pixels(page), picture(seen_camera(page)))

        # Each full picture tells who is quicker now.
        page.evaluate("() => (window.taken.serverMs = 900)")
        drag(page, -20, 5)
        wait_until_here(page)
        assert page.is_checked("#here")
        assert_close(screen(page), picture(seen_camera(page)))
        page.evaluate("() => (window.taken.serverMs = 36)")
        drag(page, 20, -5)
        page.wait_for_selector(slower)
        page.wait_for_selector("#here-view", state="hidden")
        wait_until_drawn(page)
        assert_close(canvas_pixels(page), picture(seen_camera(page)))

        page.check("#here")
        wait_until_here(page)
        drag(page, -20, 5)
        wait_until_drawn(page)
        assert page.is_visible("#here-view")
        assert page.is_checked("#here")


def test_who_draws_is_told_by_what_pictures_take(chromium, gateway):
    with chromium(*NOT_DRAWING).new_context() as context:
        page = context.new_page()
        page.goto(str(gateway.base_url.join("frames/who_draws.js")))

        def draws(device, server, now, pictures=2):
            call = "async ([times, now]) => (await import('/frames/who_draws.js')).deviceDraws(times, now)"
            return page.evaluate(
                call, [{"deviceMs": device, "serverMs": server, "serverPictures": pictures}, now]
            )

        assert not draws(742, 36, True)
        assert draws(60, 5, True), "who draws at ten pictures a second needs no server"
        assert draws(60, 5, True, pictures=1)
        assert draws(300, 2000, True, pictures=1) is None, "the scene may have been loaded for the first one"
        assert draws(300, 200, True)
        assert draws(200, 300, False)
        for device, server in ((150, 100), (300, 160), (80, 30)):
            assert draws(device, server, True), "nothing changes between the limits"
            assert not draws(device, server, False), "nothing changes between the limits"
        assert page.evaluate("""async () => {
          const { PictureTimes } = await import("/frames/who_draws.js");
          const times = new PictureTimes();
          const said = [times.of(100), times.isFar(100)];
          for (const ms of [10, 11, 900, 12, 9]) times.add(ms, 100);
          said.push(times.of(100), times.of(150), times.isFar(190), times.isFar(210), times.isFar(40));
          times.add(80, 400);
          return [...said, times.of(400), times.isFar(400)];
        }""") == [None, True, 11, 16.5, False, True, True, 80, False]


def test_without_webgl2_it_stays_with_the_server_and_says_so(chromium, gateway):
    with scene_page(chromium(*NOT_DRAWING), gateway.base_url) as page:
        wait_until_drawn(page)
        page.wait_for_selector("#notice", state="visible")
        assert re.search("server goes on drawing.*WebGL2", page.inner_text("#notice"))
        assert page.is_disabled("#here")
        drag(page, 40, 10)
        assert_close(canvas_pixels(page), picture(seen_camera(page)))
        assert not page.is_visible("#here-view")


def test_the_scene_comes_with_the_key_that_the_user_gave(chromium, repository):
    key, line = new_key(Grant("visitor", frozenset({SCENE})))
    addresses = []
    with (
        running_gateway(create_app(Settings(repository=repository, api_keys=line))) as client,
        chromium(*DRAWING).new_context(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE
        ) as context,
    ):
        page = patient_page(context)
        QUICK_DEVICE(page)
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(str(client.base_url))
        page.wait_for_selector("#key-dialog[open]")
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        wait_until_here(page)
        assert_close(screen(page), picture(seen_camera(page)))
    named = [address for address in addresses if "/web/" in address]
    assert named
    assert all("?sha256=" in address and key not in address for address in named)


def test_the_folders_own_page_is_served_too(chromium, gateway):
    with scene_page(chromium(*DRAWING), gateway.base_url.join(f"v1/scenes/{SCENE}/web/")) as page:
        wait_until_drawn(page)
        assert_close(screen(page), picture(seen_camera(page)))
