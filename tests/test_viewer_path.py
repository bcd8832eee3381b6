"""The page's recorder of camera paths: keyframes, their order, playing, and nerfstudio's file."""

import io
import json
import re
import zipfile
from pathlib import Path

import analytic_scene
import numpy as np
import pytest
from gateway_server import running_gateway
from PIL import Image
from viewer_page import HEIGHT, WIDTH, address, expected_image, opened_page, wait_until_drawn
from waiting import wait_for

from neurocity.cameras import Camera
from neurocity.poses import look_at
from serving.app import create_app
from serving.settings import Settings


def record(page, *keys: str) -> list[dict]:
    """Add the present view, and one behind each of the keys; what the address says of them."""
    views = []
    for key in ("", *keys):
        if key:
            page.keyboard.press(key)
        page.keyboard.press("k")
        wait_until_drawn(page)
        views.append(address(page))
    return views


def exported(page, tmp_path: Path) -> dict:
    with page.expect_download() as download:
        page.click("#path-export")
    assert download.value.suggested_filename == "camera_path.json"
    file = tmp_path / "camera_path.json"
    download.value.save_as(file)
    return json.loads(file.read_text())


def pose(view: dict) -> np.ndarray:
    return look_at(view["eye"], view["target"], analytic_scene.UP)


def names(page) -> list[str]:
    return [item.inner_text() for item in page.query_selector_all("#path-list li > button:first-child")]


def test_a_key_that_is_held_records_once(page):
    for _ in range(3):  # as a keyboard repeats it
        page.keyboard.down("k")
    page.keyboard.up("k")
    assert len(names(page)) == 1


def test_the_file_has_the_keyframes_and_every_frame(page, tmp_path):
    views = record(page, "ArrowLeft", "Shift+ArrowUp", "+")
    page.fill("#path-seconds", "2")
    file = exported(page, tmp_path)
    assert (file["render_width"], file["render_height"], file["fps"], file["seconds"]) == (640, 360, 30, 2)
    assert file["camera_type"] == "perspective"
    assert file["is_cycle"] is False
    assert len(file["camera_path"]) == 60
    for keyframe, view in zip(file["keyframes"], views, strict=True):
        np.testing.assert_allclose(np.reshape(keyframe["matrix"], (4, 4)), pose(view), atol=1e-4)
        assert keyframe["fov"] == pytest.approx(45, rel=1e-4)
        assert keyframe["aspect"] == pytest.approx(640 / 360)
    frames = np.array([frame["camera_to_world"] for frame in file["camera_path"]]).reshape(-1, 4, 4)
    np.testing.assert_allclose(frames[0], pose(views[0]), atol=1e-4)
    np.testing.assert_allclose(frames[-1], pose(views[-1]), atol=1e-4)
    rotations = frames[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (60, 1, 1)), atol=1e-9
    )
    assert np.abs(rotations[:, 2, 0]).max() < 1e-9, "the horizon stays level"
    steps = np.linalg.norm(np.diff(frames[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 3 * np.median(steps[steps > 0])


def test_the_curve_passes_the_keyframes_and_a_loop_comes_back(page, tmp_path):
    views = record(page, "ArrowLeft", "ArrowUp")
    page.fill("#path-seconds", "3")
    page.check("#path-loop")
    file = exported(page, tmp_path)
    frames = np.array([frame["camera_to_world"] for frame in file["camera_path"]]).reshape(-1, 4, 4)
    assert len(frames) == 90
    for number, view in enumerate(views):
        np.testing.assert_allclose(frames[30 * number], pose(view), atol=1e-4)
    places = np.concatenate([frames[:, :3, 3], frames[:2, :3, 3]])
    bends = np.linalg.norm(np.diff(places, n=2, axis=0), axis=1)
    assert bends[-2:].max() <= 1.5 * bends[:-2].max(), "smooth where it closes"


def test_keyframes_are_moved_and_removed(page, tmp_path):
    views = record(page, "ArrowLeft", "ArrowUp")
    assert names(page) == ["View 1", "View 2", "View 3"]
    page.click("[aria-label='Move down keyframe 1']")
    assert page.evaluate("document.activeElement.ariaLabel") == "Move down keyframe 2"
    page.click("[aria-label='Remove keyframe 3']")
    file = exported(page, tmp_path)
    found = [np.reshape(keyframe["matrix"], (4, 4)) for keyframe in file["keyframes"]]
    np.testing.assert_allclose(found, [pose(views[1]), pose(views[0])], atol=1e-4)
    page.click("text=View 1")
    wait_until_drawn(page)
    assert address(page)["eye"] == pytest.approx(views[1]["eye"], abs=1e-4)
    page.click("[aria-label='Remove keyframe 2']")
    assert page.is_disabled("#path-play")
    assert page.is_disabled("#path-export")


def test_an_exported_file_is_opened_again(page, tmp_path):
    views = record(page, "ArrowLeft", "ArrowUp")
    page.check("#path-loop")
    page.fill("#path-seconds", "4")
    first = exported(page, tmp_path)
    page.click("[aria-label='Remove keyframe 1']")
    page.uncheck("#path-loop")
    page.set_input_files("#path-file", tmp_path / "camera_path.json")
    page.wait_for_selector("#path-said:text-is('Opened 3 keyframes.')")
    assert page.is_checked("#path-loop")
    again = exported(page, tmp_path)
    assert again["seconds"] == first["seconds"] == 4
    for before, after in zip(first["keyframes"], again["keyframes"], strict=True):
        np.testing.assert_allclose(after["matrix"], before["matrix"], atol=1e-6)
        assert after["fov"] == pytest.approx(before["fov"])
    page.click("text=View 3")
    wait_until_drawn(page)
    assert address(page)["eye"] == pytest.approx(views[2]["eye"], abs=1e-4)


def test_a_file_of_the_older_viewers_is_read_by_columns(page, tmp_path):
    wanted = look_at((2.0, 1.0, 1.5), (0.0, 0.0, 0.4), analytic_scene.UP)
    old = {
        "keyframes": [
            {"matrix": json.dumps(wanted.T.reshape(-1).tolist()), "properties": '[["FOV",30],["NAME","a"]]'}
        ],
        "render_width": 480,
        "render_height": 300,
        "seconds": 3,
        "camera_path": [],
    }
    (tmp_path / "old.json").write_text(json.dumps(old))
    page.keyboard.press("p")
    page.set_input_files("#path-file", tmp_path / "old.json")
    page.click("text=View 1")
    wait_until_drawn(page)
    view = address(page)
    np.testing.assert_allclose(pose(view), wanted, atol=1e-4)
    assert float(view["fov"]) == pytest.approx(30, rel=1e-4)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "it is not JSON"),
        ("{}", "it has no keyframes"),
        ('{"keyframes": [{}], "camera_type": "fisheye"}', "its cameras are fisheye"),
        ('{"keyframes": [{}]}', "it has no render_width"),
        ('{"keyframes": [{"matrix": [1]}], "render_width": 4, "render_height": 3}', "keyframes[0].matrix"),
    ],
)
def test_a_file_that_is_none_changes_nothing(page, tmp_path, content, told):
    record(page)
    (tmp_path / "bad.json").write_text(content)
    page.set_input_files("#path-file", tmp_path / "bad.json")
    page.wait_for_selector("#notice")
    assert told in page.inner_text("#notice")
    assert names(page) == ["View 1"]


def test_playing_moves_the_camera_to_the_end_and_a_hand_stops_it(page):
    views = record(page, "ArrowLeft", "ArrowLeft")
    page.fill("#path-seconds", "1")
    # In one step: a busy page may show nothing before the second is over.
    click = "button => { button.click(); return button.textContent; }"
    assert page.eval_on_selector("#path-play", click) == "Stop"
    page.wait_for_selector("#path-play:text-is('Play')")
    wait_until_drawn(page)
    assert address(page)["eye"] == pytest.approx(views[-1]["eye"], abs=1e-4)
    page.fill("#path-seconds", "600")
    page.click("#path-play")
    page.wait_for_selector("#path-play:text-is('Stop')")
    page.mouse.move(WIDTH / 4, HEIGHT / 2)
    page.mouse.wheel(0, 100)
    page.wait_for_selector("#path-play:text-is('Play')")


def test_a_number_that_is_typed_changes_no_output(page):
    record(page)
    page.fill("#path-seconds", "")
    page.type("#path-seconds", "23")
    assert page.is_checked("#output input[value=rgb]")


def test_a_gateway_that_makes_no_films_offers_none(page, viewer_gateway):
    assert viewer_gateway.get("/v1/scenes/sphere").json()["film_formats"] == []
    page.keyboard.press("p")
    assert page.is_visible("#path")
    assert not page.is_visible("#video-render")


@pytest.fixture(scope="module")
def films(viewer_repository, tmp_path_factory):
    settings = Settings(repository=viewer_repository, videos=tmp_path_factory.mktemp("films"))
    with running_gateway(create_app(settings)) as client:
        yield client


@pytest.mark.slow
def test_a_film_of_the_path_is_rendered_and_saved(bare_page, films, tmp_path):
    """The gateway is away for one question in between."""
    page = bare_page
    refusals = [{"status": 503, "content_type": "application/problem+json", "body": "{}"}]

    def away_once(route) -> None:
        if refusals:
            route.fulfill(**refusals.pop())
        else:
            route.continue_()

    page.route(re.compile("/v1/videos/[0-9a-f]+$"), away_once)
    page.goto(str(films.base_url))
    wait_until_drawn(page)
    views = record(page, "ArrowLeft")
    page.fill("#path-seconds", "0.5")
    assert page.inner_text("#video-format").split() == ["mp4", "webm", "zip"]
    page.select_option("#video-format", "zip")
    with page.expect_download() as download:
        page.click("#video-render")
        page.wait_for_selector("#video-render:text-is('Cancel')")
    assert download.value.suggested_filename == "sphere.zip"
    download.value.save_as(tmp_path / "film.zip")
    page.wait_for_selector("#path-said:text-is('The film is saved.')")
    assert page.is_hidden("#video-progress")
    assert not refusals
    with zipfile.ZipFile(tmp_path / "film.zip") as film:
        names = film.namelist()
        assert len(names) == 15
        for name, seen in ((names[0], views[0]), (names[-1], views[-1])):
            camera = Camera.from_fov_y(pose(seen), 640, 360, float(seen["fov"]))
            shown = np.array(Image.open(io.BytesIO(film.read(name)))) / 255
            wrong = np.abs(shown - expected_image(camera)).max(-1) > 1.01 / 255
            assert wrong.mean() < 2e-4, "but for pixels of the outline: the address is rounded"


def test_a_film_that_is_cancelled_is_removed(browser, films):
    with opened_page(browser, films.base_url) as page:
        record(page, "ArrowLeft")
        page.fill("#path-seconds", "60")
        page.click("#video-render")
        page.wait_for_selector("#video-frames:has-text('of 1800 frames')")
        page.click("#video-render")
        page.wait_for_selector("#video-render:text-is('Render video')")
        assert page.is_hidden("#notice")
        wait_for(lambda: not [job for job in films.get("/v1/videos").json()["videos"] if job["frames"] > 15])
