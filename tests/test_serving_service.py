"""The render service without HTTP: pictures, radii, deadline and cancellation."""

import asyncio
import io
import time

import analytic_scene
import numpy as np
import pytest

from neurocity.errors import DeadlineExceededError, EngineError, SceneNotFoundError
from serving.engines.base import EngineOptions
from serving.engines.onnxruntime_engine import OnnxRuntimeEngine
from serving.render.cancel import Cancel, RenderCancelledError
from serving.render.options import Limits, RenderOptions, RequestError
from serving.render.service import PictureRequest, RenderService

LIMITS = Limits(max_pixels=1000, max_side=100)
ENDLESS = 10**12


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    analytic_scene.write_repository(repository, "onnx", version=3)
    analytic_scene.write_repository(repository, "onnx", scene="cones", cones=True)
    return analytic_scene.write_repository(repository, "onnx", scene="endless", idle_loops=ENDLESS)


def with_service(repository, use):
    """The result of `use(service)` on an engine of that repository."""

    async def session():
        engine = await OnnxRuntimeEngine.open(EngineOptions(repository=repository, threads=1))
        try:
            return await use(RenderService(engine, LIMITS))
        finally:
            await engine.close()

    return asyncio.run(session())


def request(scene=analytic_scene.SCENE, camera=None, **options):
    """A request for exact numbers, unless another format is wanted."""
    return PictureRequest(
        scene=scene,
        camera=camera or analytic_scene.camera(),
        options=RenderOptions(**{"format": "npy", **options}),
    )


def test_a_picture_says_what_it_is(repository):
    picture = with_service(repository, lambda service: service.render(request(format="png"), Cancel()))
    assert picture.image.media_type == "image/png"
    assert picture.scene_version == 3
    assert min(picture.render_ms, picture.encode_ms) > 0


@pytest.mark.parametrize("width", [6, 24, 36])
def test_radii_are_those_of_the_camera(repository, width):
    """A picture of fewer pixels has wider cones."""
    camera = analytic_scene.camera(width, 2 * width // 3)
    wanted = request("cones", camera, output="opacity")
    picture = with_service(repository, lambda service: service.render(wanted, Cancel()))
    rays = camera.rays(radii=True)
    assert rays.radii.max() > 1.1 * rays.radii.min() > 0
    opacity = analytic_scene.render(*rays.arrays())[2].reshape(camera.height, width)
    np.testing.assert_allclose(np.load(io.BytesIO(picture.image.data)), opacity, atol=1e-6)


def test_what_cannot_be_asked_is_refused(repository):
    async def use(service):
        with pytest.raises(SceneNotFoundError, match="'nowhere', known: cones, endless, sphere"):
            await service.render(request("nowhere"), Cancel())
        with pytest.raises(RequestError, match="the limit is 1000"):
            await service.render(request(camera=analytic_scene.camera(64, 48)), Cancel())

    with_service(repository, use)


def test_the_deadline_is_kept(repository):
    async def use(service):
        with pytest.raises(DeadlineExceededError):
            await service.render(request("endless"), Cancel.after(0.2))

    with_service(repository, use)


def test_cancelling_ends_the_render_and_all_later_ones(repository):
    async def use(service):
        cancel = Cancel()
        asyncio.get_running_loop().call_later(0.2, cancel.cancel)
        started = time.monotonic()
        with pytest.raises(RenderCancelledError):
            await asyncio.gather(*(service.render(request("endless"), cancel) for _ in range(2)))
        with pytest.raises(RenderCancelledError):
            await service.render(request(), cancel)
        # The engine's only thread is free again, and others are not concerned.
        await service.render(request(), Cancel.after(5.0))
        return time.monotonic() - started

    assert with_service(repository, use) < 5.0


def test_a_cancelled_task_is_cancelled_and_not_departed(repository):
    async def use(service):
        task = asyncio.create_task(service.render(request("endless"), Cancel()))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await service.render(request(), Cancel.after(5.0))

    with_service(repository, use)


def test_cancel_passes_results_and_errors():
    async def work():
        return 7

    async def fails():
        raise EngineError("broken")

    assert asyncio.run(Cancel().run(work())) == 7
    with pytest.raises(EngineError, match="broken"):
        asyncio.run(Cancel().run(fails()))
