"""Web scenes in a page of a real browser: packed, drawn by the viewer's modules, and read back."""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from browser_page import quiet_page
from fixtures_export import tiny_info
from PIL import Image

from benchmarks.web_scene_page import view_of
from export.bits import Bits
from export.web.contents import Contents
from export.web.groups import pack_groups
from export.web.header import header_of, header_script
from export.web.pack import contents_of
from neurocity.cameras import Camera
from neurocity.contract import ArtefactFile, SceneManifest, to_dict
from neurocity.svraster.core import SVRaster

FLOATS = Bits(32, 32, 32)


def write_scene(folder: Path, model: SVRaster, bits: Bits) -> Contents:
    """A model's scene and its groups in a folder, without a page; what is in them."""
    contents = contents_of(model.kernel_data(), bits)
    groups, files = pack_groups(contents)
    manifest = SceneManifest(
        scene=folder.name,
        version=1,
        family="svraster",
        format="web",
        precision="fp32",
        checkpoint_sha256="1" * 64,
        artefact=ArtefactFile(name="scene.js", sha256="1" * 64, bytes=1),
        info=tiny_info(),
    )
    header = header_of(contents, json.dumps(to_dict(manifest)), groups)
    for name, content in {"scene.js": header_script(header), **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return contents


@contextmanager
def scene_page(browser: Any, address: str) -> Iterator[Any]:
    """A page of `benchmarks.web_scene_page`, which may complain of nothing."""
    with quiet_page(browser, address, 640, 480) as page:
        page.wait_for_function("window.isReady")
        yield page
        assert page.evaluate("glError()") == 0


def open_whole(page: Any, name: str, **options: Any) -> None:
    """Open the scene of that folder, and wait for all of it."""
    page.evaluate("([name, options]) => open(name, options).then(() => scene.loaded)", [name, options])


def floats(page: Any, camera: Camera, read: str = "readFloats", **options: Any) -> np.ndarray:
    """`WebScene.readFloats`, or what `read` names, [H, W, 4]."""
    size = {"width": camera.width, "height": camera.height}
    given = page.evaluate(
        "([view, options, read]) => text(scene[read](view, options))", [view_of(camera), size | options, read]
    )
    return np.frombuffer(base64.b64decode(given), np.float32).reshape(camera.height, camera.width, 4)


def shown(page: Any, camera: Camera, **options: Any) -> np.ndarray:
    """The canvas [H, W, 3] of bytes after `WebScene.draw`."""
    size = {"width": camera.width, "height": camera.height}
    url = page.evaluate(
        "([view, options]) => { scene.draw(view, options); return window.view.toDataURL(); }",
        [view_of(camera), size | options],
    )
    return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))
