"""The viewer page in a real browser: what its canvas shows is compared with the analytic scene."""

import io
import math
import re
from contextlib import asynccontextmanager

import analytic_scene
import httpx
import numpy as np
import pytest
from browser_page import canvas_pixels
from fastapi import FastAPI
from gateway_server import running_gateway
from georeferenced import OFFSET
from PIL import Image
from viewer_page import (
    CENTER,
    HEIGHT,
    WIDTH,
    address,
    address_bar,
    addressed_camera,
    assert_shows,
    distance,
    drag,
    expected_image,
    opened_page,
    point,
    sphere_middle,
    wait_until_drawn,
)
from waiting import PATIENCE

from neurocity.cameras import Camera
from neurocity.errors import EngineUnavailableError
from neurocity.poses import look_at
from serving.app import create_app
from serving.engines.in_process import OpenArtefact
from serving.settings import Settings


def test_it_starts_at_the_first_view_of_the_scene(page):
    assert_shows(page, expected_image(analytic_scene.camera(WIDTH, HEIGHT)))
    assert page.inner_text("#status").startswith(f"{WIDTH} \N{MULTIPLICATION SIGN} {HEIGHT} · ")
    assert page.title() == "sphere · NeuroCity"


def test_dragging_turns_the_scene_with_the_pointer(page):
    before = address(page)
    drag(page, 60, 30)
    after = address(page)
    assert_shows(page, expected_image(addressed_camera(page)))
    assert distance(after) == pytest.approx(distance(before), rel=1e-4)
    assert after["target"] == pytest.approx(before["target"])
    old, new = (view["eye"] - view["target"] for view in (before, after))
    assert new[2] > old[2], "dragging down looks from further above"
    turned = math.atan2(old[0] * new[1] - old[1] * new[0], old[0] * new[0] + old[1] * new[1])
    assert turned == pytest.approx(-60 / HEIGHT * math.pi, rel=1e-3)


@pytest.mark.parametrize("way", ["right button", "shift"])
def test_dragging_with_the_right_button_or_shift_moves_the_scene_with_the_pointer(page, way):
    before, middle = address(page), sphere_middle(page)
    if way == "shift":
        page.keyboard.down("Shift")
        drag(page, 40, -20)
        page.keyboard.up("Shift")
    else:
        drag(page, 40, -20, button="right")
    after = address(page)
    assert_shows(page, expected_image(addressed_camera(page)))
    assert after["eye"] - after["target"] == pytest.approx(before["eye"] - before["target"], abs=1e-4)
    assert sphere_middle(page) - middle == pytest.approx([40, -20], abs=6)


def test_the_wheel_zooms(page):
    before = address(page)
    page.mouse.move(*CENTER)
    page.mouse.wheel(0, -200)
    wait_until_drawn(page)
    assert distance(address(page)) == pytest.approx(distance(before) * math.exp(-0.3), rel=1e-4)
    assert_shows(page, expected_image(addressed_camera(page)))


def test_the_keyboard_does_all_that_the_mouse_does(page):
    start = address(page)
    for keys, changed in (
        (["ArrowLeft", "ArrowUp"], lambda now: not np.allclose(now["eye"], start["eye"])),
        (["Shift+ArrowRight"], lambda now: not np.allclose(now["target"], start["target"])),
        (["+", "+", "-"], lambda now: distance(now) < 0.9 * distance(start)),
    ):
        page.keyboard.press("Home")
        for key in keys:
            page.keyboard.press(key)
        wait_until_drawn(page)
        assert changed(address(page)), keys
        assert_shows(page, expected_image(addressed_camera(page)))
    page.keyboard.press("Home")
    wait_until_drawn(page)
    assert address(page)["eye"] == pytest.approx(start["eye"])
    page.keyboard.press("?")
    assert page.is_visible("#help-dialog")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help-dialog")


def test_two_fingers_zoom_and_move(browser, viewer_gateway):
    with opened_page(browser, viewer_gateway.base_url, has_touch=True) as page:
        before, middle = address(page), sphere_middle(page)
        touch = page.context.new_cdp_session(page)
        x, y = CENTER
        for step in range(5):
            spread, shift = 30 + 5 * step, 8 * step
            points = [{"x": x - spread + shift, "y": y, "id": 0}, {"x": x + spread + shift, "y": y, "id": 1}]
            kind = "touchMove" if step else "touchStart"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        wait_until_drawn(page)
        assert distance(address(page)) == pytest.approx(distance(before) * 30 / 50, rel=1e-3)
        assert sphere_middle(page)[0] > middle[0] + 20
        assert_shows(page, expected_image(addressed_camera(page)))


def test_outputs(page):
    camera = analytic_scene.camera(WIDTH, HEIGHT)
    _, depth, opacity = (
        values.reshape(HEIGHT, WIDTH, -1) for values in analytic_scene.render(*camera.rays().arrays())
    )
    page.click("text=Opacity")
    wait_until_drawn(page)
    assert_shows(page, opacity.repeat(3, axis=-1))
    page.keyboard.press("2")
    wait_until_drawn(page)
    point(page, WIDTH // 2 + 0.5, HEIGHT // 2 + 0.5)
    value, near, far = (float(page.inner_text(f"#legend-{name}")) for name in ("value", "near", "far"))
    assert value == pytest.approx(depth[HEIGHT // 2, WIDTH // 2, 0], abs=0.01)
    seen = depth[depth > 0]
    assert seen.min() - 0.01 <= near < np.quantile(seen, 0.1)
    assert np.quantile(seen, 0.9) < far <= seen.max() + 0.01
    shown = canvas_pixels(page)
    closest = np.unravel_index(np.argmin(np.where(depth > 0, depth, np.inf)), (HEIGHT, WIDTH))
    assert shown[closest][0] > 0.9, "near is bright"
    assert address(page)["output"] == "depth"
    page.keyboard.press("4")
    wait_until_drawn(page)
    assert canvas_pixels(page)[closest] == pytest.approx([0.85, 0.2, 0.69], abs=0.02), "towards the eye"


def test_the_picker_changes_the_scene(page):
    page.select_option("#scene", "twin")
    page.wait_for_selector("#view[aria-label='Rendered view of twin']")
    wait_until_drawn(page)
    assert address(page)["scene"] == "twin"
    assert page.title() == "twin · NeuroCity"
    assert_shows(page, expected_image(addressed_camera(page)))


def test_an_address_opens_its_view(browser, viewer_gateway):
    hash_text = "#scene=twin&eye=0.3,3,1&target=0.3,-0.2,0.5&fov=40"
    with opened_page(browser, f"{viewer_gateway.base_url}{hash_text}") as page:
        assert address(page)["scene"] == "twin"
        camera = Camera.from_fov_y(
            look_at((0.3, 3, 1), (0.3, -0.2, 0.5), analytic_scene.UP), WIDTH, HEIGHT, 40
        )
        assert_shows(page, expected_image(camera))


def test_a_georeferenced_scene_is_looked_at_in_world_coordinates(browser, viewer_gateway):
    with opened_page(browser, f"{viewer_gateway.base_url}#scene=survey") as page:
        start = address(page)
        assert np.linalg.norm(start["eye"] - OFFSET - analytic_scene.EYE) < 1e-4
        drag(page, -50, 10)
        drag(page, 30, 15, button="right")
        page.mouse.wheel(0, -200)
        wait_until_drawn(page)
        view = address(page)
        assert np.linalg.norm(view["eye"] - start["eye"]) > 0.5
        pose = look_at(view["eye"] - OFFSET, view["target"] - OFFSET, analytic_scene.UP)
        assert_shows(page, expected_image(Camera.from_fov_y(pose, WIDTH, HEIGHT, float(view["fov"]))))
        address_before = address_bar(page)
    with opened_page(browser, address_before) as page:
        assert address(page)["eye"].tolist() == view["eye"].tolist()


def test_an_address_of_an_unknown_scene_says_so(browser, viewer_gateway):
    with opened_page(browser, f"{viewer_gateway.base_url}#scene=nowhere") as page:
        assert "no scene “nowhere”" in page.inner_text("#notice")
        assert address(page)["scene"] == "sphere"


def test_copied_links_are_the_image_that_is_seen(browser, viewer_gateway):
    permissions = ["clipboard-read", "clipboard-write"]
    with opened_page(browser, viewer_gateway.base_url, permissions=permissions) as page:
        drag(page, -50, 10)
        page.click("#link")
        page.wait_for_selector("#notice a")
        link = page.evaluate("navigator.clipboard.readText()")
        assert page.get_attribute("#notice a", "href") == link
        response = httpx.get(link, timeout=PATIENCE)
        assert response.status_code == 200, response.text
        image = np.array(Image.open(io.BytesIO(response.content))) / 255
        assert_shows(page, image)


def test_it_works_behind_a_path_prefix(browser, viewer_repository):
    inner = create_app(Settings(repository=viewer_repository))

    @asynccontextmanager
    async def lifespan(_):
        async with inner.router.lifespan_context(inner):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/deep/city", inner)
    with (
        running_gateway(outer) as client,
        opened_page(browser, f"{client.base_url}/deep/city/") as page,
    ):
        assert_shows(page, expected_image(analytic_scene.camera(WIDTH, HEIGHT)))
        page.click("#link")
        page.wait_for_selector("#notice a")
        assert "/deep/city/v1/scenes/sphere/render.png?" in page.get_attribute("#notice a", "href")


def test_a_failing_engine_is_shown_and_forgotten_when_it_works_again(
    bare_page, viewer_repository, monkeypatch
):
    page, reasons = bare_page, []
    render = OpenArtefact.render

    async def broken_when_told(*arguments):
        if reasons:
            raise EngineUnavailableError(reasons[0])
        return await render(*arguments)

    monkeypatch.setattr(OpenArtefact, "render", broken_when_told)
    with running_gateway(create_app(Settings(repository=viewer_repository))) as client:
        page.goto(str(client.base_url))
        wait_until_drawn(page)
        reasons.append("all of the machines are asleep")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector("#problem")
        assert page.inner_text("#problem-title") == "Engine unavailable"
        told = r"the engine is not available now; the gateway's log says why Trying again in \d+ s\."
        assert re.search(told, page.inner_text("#problem-detail"))
        reasons.clear()
        wait_until_drawn(page)
        assert not page.is_visible("#problem")
        assert_shows(page, expected_image(addressed_camera(page)))
        page.goto("about:blank")


def test_a_stopped_server_is_an_error_on_the_page(bare_page, viewer_repository):
    page = bare_page
    with running_gateway(create_app(Settings(repository=viewer_repository))) as client:
        page.goto(str(client.base_url))
        wait_until_drawn(page)
        before = canvas_pixels(page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#problem")
    assert page.inner_text("#problem-title") == "The server cannot be reached"
    assert page.inner_text("#status") == "No new image"
    np.testing.assert_array_equal(canvas_pixels(page), before)
