"""The viewer page in a real browser: what its canvas shows is compared with the analytic scene."""

import base64
import io
import json
import math
import shutil
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import parse_qs, urlsplit

import analytic_scene
import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from gateway_server import running_gateway
from georeferenced import OFFSET
from PIL import Image

from benchmarks.viewer import CHROMIUM_ARGUMENTS
from neurocity.cameras import Camera, look_at
from neurocity.errors import EngineUnavailableError
from serving.app import create_app
from serving.engines.onnxruntime_engine import OnnxRuntimeEngine
from serving.settings import Settings

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the viewer's tests need the package playwright"
)

WIDTH, HEIGHT = 480, 300
CENTER = (WIDTH / 2, HEIGHT / 2)


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("the viewer's tests need a browser: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = tmp_path_factory.mktemp("viewer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analytic_scene, "RAYS_PER_CALL", 32_768)
        for scene in (analytic_scene.SCENE, "twin"):
            analytic_scene.write_repository(repository, "onnx", scene=scene)
        analytic_scene.write_repository(repository, "onnx", scene="survey", origin=tuple(OFFSET))
    return repository


@pytest.fixture(scope="module")
def gateway(repository):
    with running_gateway(create_app(Settings(repository=repository))) as client:
        yield client


@contextmanager
def opened_page(browser, url, **context_options):
    """A page whose every complaint is an error, and which may talk to its own server alone."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, **context_options)
    page = context.new_page()
    complaints, hosts = [], set()
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.set_default_timeout(60_000)
    page.goto(str(url))
    wait_until_drawn(page)
    yield page
    assert complaints == []
    assert hosts - {""} == {urlsplit(str(url)).netloc}
    context.close()


@pytest.fixture
def page(browser, gateway):
    with opened_page(browser, gateway.base_url) as page:
        yield page


def wait_until_drawn(page):
    """Wait for the full-resolution frame, and for the address to follow the view."""
    page.wait_for_selector("#view[aria-busy=false]")
    page.wait_for_timeout(250)


def canvas_pixels(page) -> np.ndarray:
    """The canvas [H, W, 3] in [0, 1]."""
    url = page.evaluate("document.getElementById('view').toDataURL()")
    png = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    return np.array(Image.open(io.BytesIO(png)).convert("RGB")) / 255


def address(page) -> dict:
    """eye and target as arrays, fov in degrees, scene, output: what the address bar says of the view."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}
    for name in ("eye", "target"):
        query[name] = np.array([float(item) for item in query[name].split(",")])
    return query


def addressed_camera(page) -> Camera:
    view = address(page)
    pose = look_at(view["eye"], view["target"], analytic_scene.UP)
    return Camera.from_fov_y(pose, WIDTH, HEIGHT, float(view["fov"]))


def expected_image(camera: Camera) -> np.ndarray:
    rgb, _, opacity = analytic_scene.render(*camera.rays().arrays())
    image = rgb + (1 - opacity[:, None]) * np.array(analytic_scene.BACKGROUND)
    return image.reshape(camera.height, camera.width, 3)


def assert_shows(page, image: np.ndarray):
    """The canvas is `image`, but for pixels of the outline: the address, and so the oracle, is rounded."""
    shown = canvas_pixels(page)
    assert shown.shape == image.shape
    wrong = np.abs(shown - image).max(-1) > 1.01 / 255
    assert wrong.mean() < 2e-4, f"{wrong.sum()} of {wrong.size} pixels differ"


def distance(view: dict) -> float:
    """From the eye to the target."""
    return float(np.linalg.norm(view["eye"] - view["target"]))


def sphere_middle(page) -> np.ndarray:
    """Mean (x, y) in pixels of what is not background."""
    seen = np.abs(canvas_pixels(page) - np.array(analytic_scene.BACKGROUND)).max(-1) > 2 / 255
    return np.argwhere(seen).mean(0)[::-1]


def drag(page, right, down, button="left"):
    page.mouse.move(*CENTER)
    page.mouse.down(button=button)
    page.mouse.move(CENTER[0] + right, CENTER[1] + down, steps=8)
    page.mouse.up(button=button)
    wait_until_drawn(page)


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


def test_two_fingers_zoom_and_move(browser, gateway):
    with opened_page(browser, gateway.base_url, has_touch=True) as page:
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


def test_small_frames_while_moving_one_at_a_time_then_a_full_one(page):
    wanted, under_way, most = [], set(), 0

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

    page.on("request", started)
    page.on("requestfinished", ended)
    page.mouse.move(*CENTER)
    page.mouse.down()
    for step in range(40):
        page.mouse.move(CENTER[0] + 2 * step, CENTER[1])
        page.wait_for_timeout(10)
    page.mouse.up()
    wait_until_drawn(page)
    moving = [pixels for pixels, encoding in wanted if encoding == "jpeg"]
    assert len(moving) >= 3
    assert most == 1
    assert min(moving) < WIDTH * HEIGHT
    assert wanted[-1] == (WIDTH * HEIGHT, "png")
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
    row, column = HEIGHT // 2, WIDTH // 2
    page.mouse.move(column + 0.5, row + 0.5)
    assert float(page.inner_text("#legend-value")) == pytest.approx(depth[row, column, 0], abs=0.01)
    near, far = (float(page.inner_text(f"#legend-{end}")) for end in ("near", "far"))
    seen = depth[depth > 0]
    assert seen.min() - 0.01 <= near < np.quantile(seen, 0.1)
    assert np.quantile(seen, 0.9) < far <= seen.max() + 0.01
    shown = canvas_pixels(page)
    closest = np.unravel_index(np.argmin(np.where(depth > 0, depth, np.inf)), (HEIGHT, WIDTH))
    assert shown[closest][0] > 0.9, "near is bright"
    assert address(page)["output"] == "depth"


def test_the_picker_changes_the_scene(page):
    page.select_option("#scene", "twin")
    wait_until_drawn(page)
    assert address(page)["scene"] == "twin"
    assert page.title() == "twin · NeuroCity"


def test_an_address_opens_its_view(browser, gateway):
    hash_text = "#scene=twin&eye=0.3,3,1&target=0.3,-0.2,0.5&fov=40"
    with opened_page(browser, f"{gateway.base_url}{hash_text}") as page:
        assert address(page)["scene"] == "twin"
        camera = Camera.from_fov_y(
            look_at((0.3, 3, 1), (0.3, -0.2, 0.5), analytic_scene.UP), WIDTH, HEIGHT, 40
        )
        assert_shows(page, expected_image(camera))


def test_a_georeferenced_scene_is_looked_at_in_world_coordinates(browser, gateway):
    with opened_page(browser, f"{gateway.base_url}#scene=survey") as page:
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
        address_before = page.url
    with opened_page(browser, address_before) as page:
        assert address(page)["eye"].tolist() == view["eye"].tolist()


def test_an_address_of_an_unknown_scene_says_so(browser, gateway):
    with opened_page(browser, f"{gateway.base_url}#scene=nowhere") as page:
        assert "no scene “nowhere”" in page.inner_text("#notice")
        assert address(page)["scene"] == "sphere"


def test_copied_links_are_the_image_that_is_seen(browser, gateway):
    permissions = ["clipboard-read", "clipboard-write"]
    with opened_page(browser, gateway.base_url, permissions=permissions) as page:
        drag(page, -50, 10)
        page.click("#link")
        page.wait_for_selector("#notice a")
        link = page.evaluate("navigator.clipboard.readText()")
        assert page.get_attribute("#notice a", "href") == link
        response = httpx.get(link)
        assert response.status_code == 200, response.text
        image = np.array(Image.open(io.BytesIO(response.content))) / 255
        assert_shows(page, image)


def test_it_works_behind_a_path_prefix(browser, repository):
    inner = create_app(Settings(repository=repository))

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


def test_a_failing_engine_is_shown_and_forgotten_when_it_works_again(browser, repository, monkeypatch):
    reasons = []
    render = OnnxRuntimeEngine.render

    async def broken_when_told(*arguments):
        if reasons:
            raise EngineUnavailableError(reasons[0])
        return await render(*arguments)

    monkeypatch.setattr(OnnxRuntimeEngine, "render", broken_when_told)
    with running_gateway(create_app(Settings(repository=repository))) as client:
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        page = context.new_page()
        page.goto(str(client.base_url))
        wait_until_drawn(page)
        reasons.append("all of the machines are asleep")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector("#problem")
        assert page.inner_text("#problem-title") == "Engine unavailable"
        told = "the engine is not available now; the gateway's log says why Trying again in 1 s."
        assert told in page.inner_text("#problem-detail")
        reasons.clear()
        wait_until_drawn(page)
        assert not page.is_visible("#problem")
        assert_shows(page, expected_image(addressed_camera(page)))
        context.close()


def test_a_stopped_server_is_an_error_on_the_page(browser, repository):
    with running_gateway(create_app(Settings(repository=repository))) as client:
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        page = context.new_page()
        page.goto(str(client.base_url))
        wait_until_drawn(page)
        before = canvas_pixels(page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#problem")
    assert page.inner_text("#problem-title") == "The server cannot be reached"
    assert page.inner_text("#status") == "No new image"
    np.testing.assert_array_equal(canvas_pixels(page), before)
    context.close()
