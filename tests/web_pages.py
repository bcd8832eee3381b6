"""A scene of voxels that browsers draw, the pages that show it, and what the model says of what they show."""

import io
import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser_page import quiet_page
from fixtures_export import TINY_BOUNDS, export_tiny, tiny_checkpoint, tiny_info
from PIL import Image
from svraster_scene import random_model
from viewer_page import HEIGHT, WIDTH, address, wait_until_drawn

from export.web import blocks
from neurocity.cameras import Camera
from neurocity.light import Light, over_background, psnr
from neurocity.poses import look_at
from neurocity.svraster.core import SVRaster
from serving.http.pages import VIEWER_FOLDER

SCENE = "voxels"
SCALE = 0.5
"""Pixels of a picture for one of the window: what is drawn without a graphics processor takes its time."""
ACROSS, DOWN = round(WIDTH * SCALE), round(HEIGHT * SCALE)
"""Pixels of a picture."""
DRAWING = ("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Of a browser that has WebGL2 on every machine."""
NOT_DRAWING = ("--headless=new", "--no-sandbox", "--disable-3d-apis")
"""Of one that has none."""
LOSE = """() => {
  window.away = document.getElementById("view").getContext("webgl2").getExtension("WEBGL_lose_context");
  window.away.loseContext();
}"""
"""Takes the graphics processor away from a page; `away` gives it back."""
LEAST_DB = 45.0
"""Of pictures of eight bits. A picture of another view is far below."""


def calm_model() -> SVRaster:
    """Voxels of many sizes, whose colours change a little with the direction as trained ones do."""
    model = random_model(5, depth=4, scene_bounds=TINY_BOUNDS, sh_degree=1).eval().requires_grad_(False)
    model.density.clamp_(-9.0, 2.0)
    model.sh0.mul_(0.5).clamp_(-1.5, 1.5)
    model.shs.mul_(0.05).clamp_(-0.1, 0.1)
    return model


def write_repository(repository: Path) -> Path:
    """Export the scene into a model repository for the gateway and, in several groups, for browsers."""
    checkpoint = tiny_checkpoint(family="svraster", model=calm_model())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "FIRST_CELLS", 64)
        for name in ("native", "web"):
            outcome = export_tiny(repository, name, checkpoint=checkpoint, name=SCENE)
            assert not outcome.error, outcome.error
    return repository


def light(camera: Camera) -> Light:
    """What the model itself shows."""
    with torch.inference_mode():
        outputs = calm_model()(*map(torch.from_numpy, camera.rays().arrays()))
    return Light(*(output.numpy() for output in outputs)).as_image(camera.height, camera.width)


def picture(camera: Camera) -> np.ndarray:
    """The model's picture [H, W, 3] over the scene's background."""
    image = light(camera)
    return over_background(image.rgb, image.opacity, tiny_info().background)


def seen_camera(page: Any) -> Camera:
    """The camera that the page's address is of."""
    view = address(page)
    pose = look_at(view["eye"], view["target"], tiny_info().up)
    return Camera.from_fov_y(pose, ACROSS, DOWN, float(view["fov"]))


def solid_place(image: Light) -> tuple[int, int]:
    """Row and column of a pixel that no light goes through, the nearest to the middle."""
    solid = np.argwhere(image.opacity > 0.99)
    nearest = np.abs(solid - np.array(image.opacity.shape) / 2).sum(1).argmin()
    return int(solid[nearest, 0]), int(solid[nearest, 1])


def taking(device_ms: float, server_ms: float) -> Callable[[Any], None]:
    """Prepares a page of the gateway: full pictures take so long for it, whatever they take; `taken` of the
    window changes that."""
    source = (VIEWER_FOLDER / "frames" / "who_draws.js").read_text()
    honest = source.replace("export function deviceDraws(", "function honestly(")
    assert honest != source
    injected = "honestly({ serverPictures: 9, ...window.taken }, drawsNow)"
    script = f"{honest}\nexport const deviceDraws = (_, drawsNow) => {injected};\n"
    taken = json.dumps({"deviceMs": device_ms, "serverMs": server_ms})

    def prepare(page: Any) -> None:
        page.add_init_script(f"window.taken = {taken}")
        page.route(
            "**/frames/who_draws.js",
            lambda route: route.fulfill(body=script, content_type="text/javascript"),
        )

    return prepare


QUICK_DEVICE = taking(1.0, 100.0)
"""Prepares a page that draws scenes itself on every machine."""


def scene_page(browser: Any, url: str, **context_options: Any):
    """See `quiet_page`; its pictures have ACROSS x DOWN pixels."""
    return quiet_page(browser, url, WIDTH, HEIGHT, device_scale_factor=SCALE, **context_options)


@contextmanager
def drawn_page(browser: Any, url: str, **context_options: Any):
    """A page that has drawn all of a scene itself, and complains of nothing."""
    with scene_page(browser, url, **context_options) as page:
        wait_until_drawn(page)
        yield page


def screen(page: Any) -> np.ndarray:
    """What the window shows [H, W, 3] in [0, 1], without the panels."""
    page.evaluate("() => document.activeElement.blur()")  # the focus has a frame
    hide = "(panels, value) => panels.forEach(panel => (panel.style.visibility = value))"
    page.eval_on_selector_all(".panel", hide, "hidden")
    shown = page.screenshot()
    page.eval_on_selector_all(".panel", hide, "")
    return read_png(shown)


def read_png(content: bytes) -> np.ndarray:
    """A picture [H, W, 3] in [0, 1]."""
    return np.array(Image.open(io.BytesIO(content)).convert("RGB")) / 255


def saved_picture(page: Any) -> np.ndarray:
    """The file that the page's button saves, [H, W, 3] in [0, 1]."""
    with page.expect_download() as download:
        page.click("#picture")
    assert download.value.suggested_filename == f"{SCENE}.png"
    return read_png(Path(download.value.path()).read_bytes())


def assert_close(shown: np.ndarray, wanted: np.ndarray) -> None:
    """Two pictures [H, W, 3] are of the same view."""
    assert shown.shape == wanted.shape
    assert psnr(shown, np.clip(wanted, 0.0, 1.0)) > LEAST_DB
