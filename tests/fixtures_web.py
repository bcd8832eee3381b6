"""Web scenes in folders, and pages of real browsers that draw them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from web_scene_page import FLOATS, scene_page, write_scene
from web_scenes import SCENES, model_of

from benchmarks.web_scene_page import RENDERERS, graphics_processor, served
from export.bits import Bits
from export.web import blocks
from export.web.contents import Contents


@dataclass(frozen=True)
class Site:
    """A folder of scenes, the address of the page that opens them, and what is in their files by name."""

    folder: Path
    address: str
    contents: Mapping[str, Contents]


@pytest.fixture(scope="session")
def web_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`SCENES` in floats, but `calm` in the default precision and in several groups."""
    folder = tmp_path_factory.mktemp("web")
    contents = {}
    for name in SCENES:
        with pytest.MonkeyPatch.context() as patch:
            if name == "calm":
                patch.setattr(blocks, "FIRST_CELLS", 64)
            bits = Bits() if name == "calm" else FLOATS
            contents[name] = write_scene(folder / name, model_of(name), bits)
    with served(folder) as address:
        yield Site(folder, address, contents)


@pytest.fixture(scope="module", params=RENDERERS)
def every_web_page(request: Any, chromium: Any, web_site: Site) -> Iterator[Any]:
    """A page on each of the two software renderers that Chromium has."""
    with scene_page(chromium(*RENDERERS[request.param]), web_site.address) as page:
        if request.param not in graphics_processor(page):
            pytest.skip("drawing by llvmpipe needs its libraries: apt-get install libegl1 libgl1-mesa-dri")
        yield page


@pytest.fixture(scope="module")
def web_page(chromium: Any, web_site: Site) -> Iterator[Any]:
    """A page on the renderer that is always there."""
    with scene_page(chromium(*RENDERERS["SwiftShader"]), web_site.address) as page:
        yield page
