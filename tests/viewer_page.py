"""The viewer page as a test sees it: what its canvas shows, and what the address bar says of the view."""

from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import analytic_scene
import numpy as np
from browser_page import canvas_pixels, quiet_page

from neurocity.cameras import Camera
from neurocity.poses import look_at

WIDTH, HEIGHT = 480, 300
CENTER = (WIDTH / 2, HEIGHT / 2)
ADDRESS_AFTER_MS = 200
"""As in viewer.js."""


@contextmanager
def opened_page(browser, url, **context_options):
    """A page that is drawn, whose every complaint is an error, and which may talk to its own server alone."""
    with quiet_page(browser, url, WIDTH, HEIGHT, **context_options) as page:
        wait_until_drawn(page)
        yield page


def two_frames(page):
    """Wait until the page has heard of all that was done to it: a pointer's movements come with a frame."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def wait_until_drawn(page):
    """Wait for the full-resolution frame of what the page was told by now."""
    two_frames(page)
    page.wait_for_selector("#view[aria-busy=false]")


def address_bar(page) -> str:
    """The page's address, when it has followed the view.

    The page sets it by a timer, which it starts again with each movement. Timers end in the order of their
    times, so that what was begun before ends before one as long that begins now.
    """
    return page.evaluate(
        "ms => new Promise(done => setTimeout(() => done(location.href), ms))", ADDRESS_AFTER_MS
    )


def address(page) -> dict:
    """eye and target as arrays, fov in degrees, scene, output: what the address bar says of the view."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(address_bar(page)).fragment).items()}
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


def point(page, x, y):
    """Move the pointer there, and wait until the page has heard of it."""
    page.mouse.move(x, y)
    two_frames(page)


def drag(page, right, down, button="left"):
    page.mouse.move(*CENTER)
    page.mouse.down(button=button)
    page.mouse.move(CENTER[0] + right, CENTER[1] + down, steps=8)
    page.mouse.up(button=button)
    wait_until_drawn(page)
