"""The render service without HTTP: pictures, radii, deadline and cancellation."""

import asyncio
import gc
import io
import threading
import time
import weakref
from dataclasses import replace

import analytic_scene
import numpy as np
import pytest
from waiting import PATIENCE, until

from neurocity.cameras import Camera
from neurocity.errors import CameraError, DeadlineExceededError, EngineError, SceneNotFoundError
from neurocity.lenses import Lens
from neurocity.pictures import png
from neurocity.pictures.options import RenderOptions
from neurocity.resources import available_processors
from serving.render.admission import Admission, Budget, OverloadedError
from serving.render.cancel import Cancel, RenderCancelledError
from serving.render.limits import Limits, RequestError
from serving.render.picture import Picture, PictureRequest
from serving.render.quotas import Client
from serving.render.service import RenderService
from serving.scenes.opening import SceneOptions, open_scenes

LIMITS = Limits(max_pixels=1000, max_side=100)
ENDLESS = 10**12


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    analytic_scene.write_repository(repository, "onnx", version=3)
    analytic_scene.write_repository(repository, "onnx", scene="cones", cones=True)
    return analytic_scene.write_repository(repository, "onnx", scene="endless", idle_loops=ENDLESS)


def with_service(repository, use, budget=None):
    """The result of `use(service)` on the scenes of that repository."""

    async def session():
        scenes = await open_scenes("onnxruntime", SceneOptions(repository=repository, threads=1))
        try:
            return await use(RenderService(scenes, LIMITS, budget))
        finally:
            await scenes.close()

    return asyncio.run(session())


def request(scene=analytic_scene.SCENE, camera=None, client=None, **options):
    """A request for exact numbers, unless another format is wanted."""
    return PictureRequest(
        scene=scene,
        camera=camera or analytic_scene.camera(),
        options=RenderOptions(**{"format": "npy", **options}),
        client=client or Client(),
    )


def test_a_picture_says_what_it_is(repository):
    picture = with_service(repository, lambda service: service.render(request(format="png"), Cancel()))
    assert picture.image.media_type == "image/png"
    assert picture.scene_version == 3
    assert min(picture.stages.compute, picture.stages.encode) > 0


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
        await service.render(request(), Cancel.after(PATIENCE))
        return time.monotonic() - started

    assert with_service(repository, use) < PATIENCE / 2


def test_a_cancelled_task_is_cancelled_and_not_departed(repository):
    async def use(service):
        task = asyncio.create_task(service.render(request("endless"), Cancel()))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await service.render(request(), Cancel.after(PATIENCE))

    with_service(repository, use)


def test_cancel_passes_results_and_errors():
    async def work():
        return 7

    async def fails():
        raise EngineError("broken")

    assert asyncio.run(Cancel().run(work())) == 7
    with pytest.raises(EngineError, match="broken"):
        asyncio.run(Cancel().run(fails()))


def test_a_task_goes_on_after_what_was_cancelled_in_it():
    async def session():
        cancel = Cancel()
        for _ in range(2):
            asyncio.get_running_loop().call_soon(cancel.cancel)
            with pytest.raises(RenderCancelledError):
                await cancel.run(asyncio.sleep(60.0))
        assert asyncio.current_task().cancelling() == 0
        async with asyncio.timeout(60.0):
            await asyncio.sleep(0)

    asyncio.run(session())


@pytest.mark.parametrize("first", ["cancel", "task"])
def test_who_is_cancelled_with_its_task_is_cancelled(first):
    async def session():
        cancel = Cancel()
        task = asyncio.create_task(cancel.run(asyncio.sleep(60.0)))
        await asyncio.sleep(0)
        for action in (cancel.cancel, task.cancel) if first == "cancel" else (task.cancel, cancel.cancel):
            action()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(session())


def test_a_picture_in_tiles_is_the_picture(repository, monkeypatch):
    """In many tiles, of which two are on their way, and beside others; to the bit."""
    monkeypatch.setattr("serving.render.cost.LEAST_TILE_PIXELS", 1)
    monkeypatch.setattr("serving.render.cost.TILE_SECONDS", 1e-9)
    monkeypatch.setattr("serving.render.cost.CALL_SHARE", 10**6)
    cameras = [analytic_scene.camera(24, height) for height in (16, 17, 23)]

    async def use(service):
        wanted = [request(camera=camera, output="depth") for camera in cameras]
        pictures = await asyncio.gather(*(service.render(item, Cancel()) for item in wanted))
        scenes = service._scenes
        lights = [await scenes.render(analytic_scene.SCENE, camera.rays(), None) for camera in cameras]
        assert service.reserved_seconds() == 0.0
        return pictures, lights

    pictures, lights = with_service(repository, use)
    for picture, light, camera in zip(pictures, lights, cameras, strict=True):
        expected = light.depth.reshape(camera.height, camera.width)
        np.testing.assert_array_equal(np.load(io.BytesIO(picture.image.data)), expected)


def test_tiles_are_smaller_of_who_asks_for_more_than_others(repository, monkeypatch):
    monkeypatch.setattr("serving.render.cost.LEAST_TILE_PIXELS", 48)
    monkeypatch.setattr("serving.render.cost.SHARED_CALL_SHARE", 10**6)
    monkeypatch.setattr("serving.render.cost.SHARED_TILE_SECONDS", 1e-9)

    async def use(service):
        async with service.hold(analytic_scene.SCENE) as held:
            opened = held.opened
        tiles, render = [], opened.render

        async def watched(rays, deadline):
            tiles.append(len(rays))
            return await render(rays, deadline)

        monkeypatch.setattr(opened, "render", watched)
        alone = [request(camera=analytic_scene.camera(24, 16, 30.0 + number)) for number in range(3)]
        await asyncio.gather(*(service.render(item, Cancel()) for item in alone))
        assert tiles == [24 * 16] * 3
        clients = [Client(name) for name in ("one", "many", "many")]
        others = [replace(item, client=client) for item, client in zip(alone, clients, strict=True)]
        others = [replace(item, options=RenderOptions(output="opacity")) for item in others]
        await asyncio.gather(*(service.render(item, Cancel()) for item in others))
        assert tiles[3:] == [24 * 16] + [48] * 16

    with_service(repository, use)


def test_who_is_told_early_waits_in_the_queue_until_the_call_before_ends(repository, monkeypatch):
    """By what a picture says of itself: its own part does not begin before the other's has ended."""

    async def use(service):
        async with service.hold(analytic_scene.SCENE) as held:
            opened = held.opened
        thread, render, begun = asyncio.Lock(), opened.render, []

        async def one_at_a_time(rays, deadline):
            begun.append(rays)
            async with thread:
                await asyncio.sleep(0.1)
                await until(lambda: len(begun) == 2)  # the second waits where the first is rendered
                return await render(rays, deadline)

        monkeypatch.setattr(opened, "render", one_at_a_time)
        monkeypatch.setattr(opened, "call_queue", thread)
        wanted = [request(camera=analytic_scene.camera(24, 16, 30.0 + number)) for number in range(2)]
        pictures = await asyncio.gather(*(service.render(item, Cancel()) for item in wanted))
        return [picture.stages for picture in pictures]

    first, second = with_service(repository, use)
    assert min(first.compute, second.queue, second.compute) > 0.08


def test_equal_pictures_are_made_once_and_kept(repository):
    async def use(service):
        made = await asyncio.gather(*(service.render(request(), Cancel()) for _ in range(20)))
        made.append(await service.render(request(client=Client("somebody else")), Cancel()))
        other = await service.render(request(format="png"), Cancel())
        return {id(picture) for picture in made}, id(other)

    same, other = with_service(repository, use)
    assert len(same) == 1
    assert other not in same


def test_failures_are_not_kept(repository):
    async def use(service):
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                await service.render(request("endless"), Cancel.after(0.1))
        await until(lambda: service.reserved_seconds() == 0.0)  # it ends behind its last reader's back

    with_service(repository, use)


def test_a_burst_reserves_no_more_than_the_budget_and_the_rest_is_refused_at_once(repository):
    """In one tick, before anything was rendered."""
    budget = Budget(queue_seconds=1e-3)  # a picture of 384 pixels is taken for 0.4 ms until one was rendered

    async def use(service):
        cameras = [analytic_scene.camera(24, 16, 30.0 + number) for number in range(100)]
        tasks = [asyncio.create_task(service.render(request(camera=c), Cancel())) for c in cameras]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reserved = service.reserved_seconds()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return reserved, results

    reserved, results = with_service(repository, use, budget)
    refused = [result for result in results if isinstance(result, OverloadedError)]
    assert 0 < reserved <= budget.queue_seconds
    assert 90 < len(refused) < 100
    assert all(isinstance(result, Picture | OverloadedError) for result in results)


def test_who_leaves_gives_back_what_was_reserved(repository):
    async def use(service):
        cancels = [Cancel() for _ in range(5)]
        cameras = [analytic_scene.camera(24, 16, 30.0 + number) for number in range(5)]
        tasks = [
            asyncio.create_task(service.render(request("endless", camera), cancel))
            for camera, cancel in zip(cameras, cancels, strict=True)
        ]
        await asyncio.sleep(0.1)
        assert service.reserved_seconds() > 0
        for cancel in cancels:
            cancel.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, RenderCancelledError) for result in results)
        await service.render(request(), Cancel.after(PATIENCE))
        return service.reserved_seconds()

    assert with_service(repository, use) == 0.0


@pytest.mark.parametrize("alone", [True, False])
def test_who_leaves_while_its_picture_is_encoded_ends_that(repository, monkeypatch, alone):
    """Whether it is encoded in the engine's turns, or beside them."""
    monkeypatch.setattr("serving.render.service.SMALL_COMPRESSED_PIXELS", 0)
    monkeypatch.setattr("neurocity.pictures.png.STRIP_PIXELS", 24)
    begun, go_on, make = [], threading.Event(), png._strip

    def watched(pixels, part):
        begun.append(part)
        assert go_on.wait(PATIENCE)
        return make(pixels, part)

    monkeypatch.setattr("neurocity.pictures.png._strip", watched)

    async def use(service):
        cancel = Cancel()
        task = asyncio.create_task(service.render(request(format="png"), cancel))
        while not begun:
            await asyncio.sleep(0.001)
        assert service.reserved_bytes() > 0
        cancel.cancel()
        with pytest.raises(RenderCancelledError):
            await task
        assert service.reserved_bytes() > 0, "a thread is at work for it"
        go_on.set()
        while service.reserved_bytes():  # the work ends behind its last reader's back
            await asyncio.sleep(0.001)
        left = len(begun)
        again = await service.render(request(format="png"), Cancel.after(PATIENCE))
        return left, again

    monkeypatch.setattr(Admission, "waits_for_one", lambda *_: alone)
    left, again = with_service(repository, use)
    assert left <= available_processors()
    assert len(begun) == left + 16
    assert again.image.media_type == "image/png"


def test_a_picture_whose_camera_cannot_be_placed_reserves_nothing(repository):
    """As one whose turn comes, and fails there."""
    blind = replace(analytic_scene.camera(), lens=Lens("OPENCV", (-0.9, 0.0, 0.0, 0.0, 0.0)), fl_x=3.0)

    async def use(service):
        with pytest.raises(CameraError, match="no ray"):
            await service.render(request(camera=blind), Cancel())
        return service.reserved_seconds()

    assert with_service(repository, use) == 0.0


def test_pictures_that_nobody_waits_for_leave_no_memory(repository, monkeypatch):
    """Without the garbage collector, in the middle of their tiles."""
    monkeypatch.setattr("serving.render.cost.LEAST_TILE_PIXELS", 100)
    made, make_rays = [], Camera.rays

    def watched(camera, **options):
        rays = make_rays(camera, **options)
        made.append(weakref.ref(rays.origins))
        return rays

    monkeypatch.setattr(Camera, "rays", watched)

    async def use(service):
        for number in range(8):
            cancel, before = Cancel(), len(made)
            wanted = request("endless", analytic_scene.camera(30, 30, 30 + number))
            waiting = asyncio.create_task(service.render(wanted, cancel))
            await until(lambda before=before: len(made) > before)
            await asyncio.sleep(0.02)  # that it is in the middle of a tile
            cancel.cancel()
            with pytest.raises(RenderCancelledError):
                await waiting
            await until(lambda: not any(rays() is not None for rays in made))

    gc.collect()
    gc.disable()
    try:
        with_service(repository, use)
    finally:
        gc.enable()


def test_encodings_of_one_step_take_turns_whoever_waits_for_them(repository):
    async def session():
        options = SceneOptions(repository=repository, threads=available_processors())
        scenes = await open_scenes("onnxruntime", options)
        try:
            service = RenderService(scenes, LIMITS)
            assert service._urgent is not service._encoders
            assert service._urgent.beside is service._encoders.beside
        finally:
            await scenes.close()

    asyncio.run(session())
