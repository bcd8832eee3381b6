"""The viewer page on a gateway of scenes with a known answer."""

from collections.abc import Iterator
from pathlib import Path

import analytic_scene
import httpx
import pytest
from browser_page import patient_page
from gateway_server import running_gateway
from georeferenced import OFFSET
from viewer_page import HEIGHT, WIDTH, opened_page

from serving.app import create_app
from serving.settings import Settings


@pytest.fixture(scope="module")
def viewer_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of a sphere: `sphere`, its `twin`, and `survey`, which is far from the world's origin."""
    repository = tmp_path_factory.mktemp("viewer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analytic_scene, "RAYS_PER_CALL", 32_768)
        for scene in (analytic_scene.SCENE, "twin"):
            analytic_scene.write_repository(repository, "onnx", scene=scene)
        analytic_scene.write_repository(repository, "onnx", scene="survey", origin=tuple(OFFSET))
    return repository


@pytest.fixture(scope="module")
def viewer_gateway(viewer_repository: Path) -> Iterator[httpx.Client]:
    """A client of a gateway with all of its settings as they come."""
    with running_gateway(create_app(Settings(repository=viewer_repository))) as client:
        yield client


@pytest.fixture
def page(browser, viewer_gateway: httpx.Client):
    """The viewer page, drawn, which may complain of nothing."""
    with opened_page(browser, viewer_gateway.base_url) as page:
        yield page


@pytest.fixture
def bare_page(browser):
    """A page that has gone nowhere yet and may complain, as of a socket or an answer that is refused."""
    with browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}) as context:
        yield patient_page(context)
