"""The page of a web folder, opened from a disk: what it draws, and all that moves it."""

import math
import re
import shutil

import numpy as np
import pytest
from browser_page import patient_page
from fixtures_export import tiny_info
from viewer_page import CENTER, HEIGHT, WIDTH, address, distance, drag, point, wait_until_drawn
from waiting import wait_for
from web_pages import (
    ACROSS,
    DOWN,
    DRAWING,
    LOSE,
    NOT_DRAWING,
    SCALE,
    SCENE,
    assert_close,
    drawn_page,
    light,
    picture,
    saved_picture,
    scene_page,
    screen,
    seen_camera,
    solid_place,
    write_repository,
)

from neurocity.cameras import Camera
from neurocity.pictures.depth import colour_depth, has_depth
from neurocity.poses import look_at


@pytest.fixture(scope="module")
def folder(made_once):
    return made_once("web_repository", write_repository) / f"{SCENE}_web" / "1"


@pytest.fixture(scope="module")
def drawing(chromium):
    return chromium(*DRAWING)


@pytest.fixture(scope="module")
def url(folder):
    return f"{folder.as_uri()}/index.html"


@pytest.fixture(scope="module")
def shared_page(drawing, url):
    with drawn_page(drawing, url) as page:
        yield page


@pytest.fixture
def page(shared_page):
    """The page at its first view."""
    shared_page.keyboard.press("Home")
    wait_until_drawn(shared_page)
    return shared_page


def test_it_opens_by_a_double_click_and_draws_the_models_picture(page):
    wanted = picture(seen_camera(page))
    assert_close(saved_picture(page), wanted)
    assert_close(screen(page), wanted)
    assert page.inner_text("#status").startswith(f"{ACROSS} \N{MULTIPLICATION SIGN} {DOWN} · ")
    assert page.title() == SCENE
    assert not page.is_visible("#poster")


@pytest.mark.parametrize(
    "steer",
    [
        lambda page: drag(page, 60, 30),
        lambda page: drag(page, 40, -20, button="right"),
        lambda page: page.mouse.wheel(0, -200),
        lambda page: page.keyboard.press("ArrowLeft"),
        lambda page: page.keyboard.press("Shift+ArrowUp"),
        lambda page: page.keyboard.press("+"),
    ],
    ids=["drag", "right drag", "wheel", "arrow", "shift arrow", "plus"],
)
def test_mouse_and_keys_move_it(page, steer):
    before = address(page)
    page.mouse.move(*CENTER)
    steer(page)
    wait_until_drawn(page)
    after = address(page)
    assert not np.allclose(
        np.append(after["eye"], after["target"]), np.append(before["eye"], before["target"])
    )
    assert_close(saved_picture(page), picture(seen_camera(page)))


def test_a_screen_with_more_pixels_gets_them(drawing, url):
    """As when a window is moved to another monitor, which nothing does here, or a page is zoomed."""
    width = "document.querySelector('#view').width"
    with drawn_page(drawing, url) as page:
        page.add_init_script(
            """const real = window.matchMedia;
            window.matchMedia = (words) =>
              words.includes("dppx") ? (window.query = new EventTarget()) : real(words);
            """
        )
        page.reload()
        wait_until_drawn(page)
        for ratio in (2 * SCALE, 3 * SCALE):
            page.evaluate(
                """(value) => {
                  Object.defineProperty(window, "devicePixelRatio", { value, configurable: true });
                  window.query.dispatchEvent(new Event("change"));
                }""",
                ratio,
            )
            page.wait_for_function(f"{width} === {round(ratio * WIDTH)}")
            wait_until_drawn(page)


def fly(page, key):
    """Hold the key for a while; the view behind it, which is elsewhere."""
    start = address(page)["eye"]

    def flown():
        page.keyboard.down(key)
        page.wait_for_timeout(200)
        page.keyboard.up(key)
        now = address(page)
        return np.linalg.norm(now["eye"] - start) > 0.05 and now

    return wait_for(flown)  # a busy page has few steps in that time, or none


def test_held_keys_fly_and_a_drag_then_looks_around(page):
    before = address(page)
    forward = (before["target"] - before["eye"]) / distance(before)
    flown = fly(page, "w")
    way = flown["eye"] - before["eye"]
    np.testing.assert_allclose(way / np.linalg.norm(way), forward, atol=1e-3)
    np.testing.assert_allclose(flown["target"] - flown["eye"], before["target"] - before["eye"], atol=1e-4)
    assert fly(page, "q")["eye"][2] < flown["eye"][2], "Q goes down"
    page.keyboard.down("Shift")  # which alone does not fly
    page.keyboard.up("Shift")
    wait_until_drawn(page)
    assert_close(saved_picture(page), picture(seen_camera(page)))


def test_a_double_click_turns_the_view_around_what_is_there(page):
    before, camera = address(page), seen_camera(page)
    image = light(camera)
    row, column = place = solid_place(image)
    page.mouse.dblclick((column + 0.5) / SCALE, (row + 0.5) / SCALE)
    wait_until_drawn(page)
    after = address(page)
    np.testing.assert_allclose(after["eye"], before["eye"], atol=1e-4)
    assert distance(after) == pytest.approx(float(image.depth[place]), abs=0.2)
    ray = (after["target"] - after["eye"]) / distance(after)
    np.testing.assert_allclose(ray, camera.rays().arrays()[1][row * ACROSS + column], atol=5e-3)


def test_fingers_turn_move_and_zoom_it(drawing, url):
    with drawn_page(drawing, url, has_touch=True) as page:
        start = address(page)
        touch = page.context.new_cdp_session(page)

        def gesture(*steps):
            for kind, points in zip(["touchStart", *["touchMove"] * (len(steps) - 1)], steps, strict=True):
                places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
                touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
            touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            wait_until_drawn(page)

        x, y = CENTER
        gesture([(x, y)], [(x + 20, y)], [(x + 40, y)])
        turned = address(page)
        np.testing.assert_allclose(turned["target"], start["target"], atol=1e-4)
        assert distance(turned) == pytest.approx(distance(start), rel=1e-3)
        assert np.linalg.norm(turned["eye"] - start["eye"]) > 0.1
        gesture([(x - 30, y), (x + 30, y)], [(x - 30, y), (x + 50, y)], [(x - 30, y), (x + 70, y)])
        moved = address(page)
        assert distance(moved) == pytest.approx(distance(turned) * 60 / 100, rel=1e-2)
        assert np.linalg.norm(moved["target"] - turned["target"]) > 0.01
        assert_close(saved_picture(page), picture(seen_camera(page)))


def test_pictures_are_coarse_while_it_moves_and_full_at_rest(page):
    page.evaluate(
        """() => {
          const status = document.getElementById("status");
          window.statuses = [];
          const note = () => window.statuses.push(status.textContent);
          new MutationObserver(note).observe(status, { childList: true });
        }"""
    )
    page.mouse.move(*CENTER)
    page.mouse.down()
    for step in range(10):
        page.mouse.move(CENTER[0] + 4 * step, CENTER[1])
        wait = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        page.evaluate(wait)
    page.mouse.up()
    wait_until_drawn(page)
    widths = [int(status.split(" ")[0]) for status in page.evaluate("window.statuses")]
    assert set(widths) <= {ACROSS // 4, ACROSS // 2, ACROSS}
    assert widths[-1] == ACROSS
    assert_close(saved_picture(page), picture(seen_camera(page)))


def test_a_window_of_another_shape_shows_the_view_in_it(page):
    page.set_viewport_size({"width": HEIGHT, "height": WIDTH})
    wait_until_drawn(page)
    view = address(page)
    pose = look_at(view["eye"], view["target"], tiny_info().up)
    focal = 0.5 * DOWN / math.tan(math.radians(float(view["fov"])) / 2)
    fov = math.degrees(2 * math.atan(0.5 * ACROSS / focal))
    camera = Camera.from_fov_y(pose, DOWN, ACROSS, fov)
    shown = saved_picture(page)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    wait_until_drawn(page)
    assert_close(shown, picture(camera))


def test_depth_and_opacity(page):
    page.keyboard.press("2")
    wait_until_drawn(page)
    image = light(seen_camera(page))
    row, column = place = solid_place(image)
    point(page, (column + 0.5) / SCALE, (row + 0.5) / SCALE)
    near, far = (float(page.inner_text(f"#legend-{name}")) for name in ("near", "far"))
    solid = image.depth[has_depth(image)]
    assert solid.min() - 0.05 < near < far < solid.max() + 0.05
    value = float(page.inner_text("#legend-value"))
    assert value == pytest.approx(float(image.depth[place]), abs=0.2)
    colours = colour_depth(image.depth, has_depth(image), "viridis", near, far) / 255
    shown = saved_picture(page)
    assert np.median(np.abs(shown - colours)) < 0.02
    page.click("text=Opacity")
    wait_until_drawn(page)
    assert address(page)["output"] == "opacity"
    assert_close(saved_picture(page), np.repeat(image.opacity[..., None], 3, axis=-1))
    page.keyboard.press("1")
    wait_until_drawn(page)
    assert not page.is_visible("#legend")


def test_keys_are_the_same_with_caps_lock(page):
    with page.expect_download():
        page.keyboard.press("P")


def test_a_link_opens_its_view(drawing, page):
    drag(page, 50, 20)
    page.keyboard.press("3")
    page.click("#share")
    link = page.get_attribute("#notice a", "href")
    shown, wanted = saved_picture(page), address(page)
    page.keyboard.press("1")
    with drawn_page(drawing, link) as other:
        assert_close(saved_picture(other), shown)
        assert address(other)["output"] == "opacity"
    page.goto(link)  # which changes the address alone
    wait_until_drawn(page)
    np.testing.assert_allclose(address(page)["eye"], wanted["eye"])
    assert_close(saved_picture(page), shown)
    page.keyboard.press("1")


def test_everything_has_a_name_and_the_keyboard_reaches_it(page):
    for name in ("Back to the start", "Copy a link to this view", "Save a picture of this view", "Help"):
        assert page.get_by_role("button", name=name, exact=True).is_visible()
    assert page.get_by_role("application", name=f"Scene {SCENE}").get_attribute("aria-describedby")
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Moving around").is_visible()
    page.keyboard.press("Escape")
    assert not page.is_visible("#help-dialog")
    page.evaluate("() => document.activeElement.blur()")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.id || document.activeElement.name"))
    assert {"view", "output", "home", "share", "picture", "help"} <= set(reached)


def test_a_graphics_processor_that_is_taken_away_comes_back(page):
    before = saved_picture(page)
    page.evaluate(LOSE)
    page.wait_for_selector("#problem", state="visible")
    assert "taken the graphics processor away" in page.inner_text("#problem-detail")
    page.evaluate("() => window.away.restoreContext()")
    page.wait_for_selector("#problem", state="hidden")
    wait_until_drawn(page)
    np.testing.assert_array_equal(saved_picture(page), before)


def test_a_scene_that_cannot_be_built_again_is_said(drawing, url):
    with drawing.new_context(device_scale_factor=SCALE) as context:
        page = patient_page(context)
        page.goto(url)
        wait_until_drawn(page)
        page.evaluate(LOSE)
        page.wait_for_selector("#problem", state="visible")
        page.click("#picture")  # which waits
        page.evaluate(
            """() => {
              const { prototype } = WebGL2RenderingContext;
              const { shaderSource } = prototype;
              prototype.shaderSource = function (shader) { shaderSource.call(this, shader, "no shader"); };
              window.away.restoreContext();
            }"""
        )
        page.wait_for_selector("#problem-detail:has-text('cannot compile')")
        page.wait_for_selector("#notice:has-text('The picture cannot be saved: this browser cannot compile')")
        assert page.inner_text("#problem-title") == "The scene cannot be shown"


def test_a_graphics_processor_that_is_taken_away_while_it_opens_is_said(drawing, url):
    with drawing.new_context(device_scale_factor=SCALE) as context:
        page = patient_page(context)
        page.add_init_script(
            """
            const { prototype } = WebGL2RenderingContext;
            const { texStorage2D } = prototype;
            prototype.texStorage2D = function (...texture) {
              texStorage2D.apply(this, texture);
              if (this.canvas.id === "view") this.getExtension("WEBGL_lose_context")?.loseContext();
            };"""
        )
        page.goto(url)
        page.wait_for_selector("#problem", state="visible")
        assert "its context lost" in page.inner_text("#problem-detail")
        assert page.inner_text("#status") == "No picture"
        assert page.is_visible("#problem-retry")


def test_it_shows_a_picture_and_says_so_without_webgl2(chromium, url):
    with scene_page(chromium(*NOT_DRAWING), url) as page:
        page.wait_for_selector("#problem", state="visible")
        assert "WebGL2" in page.inner_text("#problem-detail")
        assert not page.is_visible("#problem-retry")
        assert page.evaluate("() => document.getElementById('poster').naturalWidth") > 0


def test_a_file_that_is_missing_is_named(drawing, folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    group = sorted((broken / "groups").iterdir())[-1]
    group.unlink()
    with drawing.new_context(device_scale_factor=SCALE) as context:
        page = patient_page(context)
        page.goto(f"{broken.as_uri()}/index.html")
        page.wait_for_selector("#problem", state="visible")
        assert group.name in page.inner_text("#problem-detail")
        assert page.inner_text("#problem-title") == "A part of the scene cannot be loaded"
        wait_until_drawn(page)
        assert re.match(r"\d+ \S \d+ · ", page.inner_text("#status")), "what has come is shown"
