"""The triton engine against the real server: pixels, scenes, deadlines, cancellation, a server that dies."""

import asyncio
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import analytic_scene
import numpy as np
import pytest
import triton_server
import voxel_scene
from gateway_server import running_gateway

from neurocity.cameras import Rays
from neurocity.contract import MANIFEST_KEY
from neurocity.errors import (
    ConfigError,
    DeadlineExceededError,
    EngineError,
    EngineUnavailableError,
    ManifestError,
    SceneNotFoundError,
)
from serving.app import create_app
from serving.engines.base import EngineOptions, open_engine
from serving.engines.rays import graph_inputs
from serving.engines.triton_engine import TritonEngine
from serving.engines.triton_models import read_model
from serving.settings import Settings
from serving.tritonserver.server import running_server

SLOW = "slow"
SLOW_LOOPS = 300_000
"""Makes one call of the slow scene take some tenths of a second, whatever its rays."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    triton_server.require_triton()
    repository = tmp_path_factory.mktemp("triton")
    analytic_scene.write_repository(repository, "onnx", "torchscript")
    analytic_scene.write_repository(repository, "torchscript", scene="scripted")
    analytic_scene.write_repository(repository, "torchscript", scene="cones", cones=True)
    analytic_scene.write_repository(repository, "aotinductor", scene="compiled")
    analytic_scene.write_repository(repository, "onnx", scene=SLOW, idle_loops=SLOW_LOOPS)
    return voxel_scene.write_repository(repository)


@pytest.fixture(scope="module")
def local_repository(tmp_path_factory):
    return analytic_scene.write_repository(tmp_path_factory.mktemp("local"), "onnx")


@pytest.fixture(scope="module")
def server(repository):
    with triton_server.triton_server(repository) as server:
        yield server


def use_engine(url, use):
    """The result of `use(engine)` on a freshly opened engine."""

    async def session():
        engine = await open_engine("triton", EngineOptions(triton_url=url))
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


def rays(*, radii=False) -> Rays:
    """Enough rays for several tiles and a remainder."""
    return analytic_scene.camera(24, 16).rays(radii=radii)


ONE_RAY = rays()[:1]


def test_scenes_come_from_the_server_itself(server):
    scenes = use_engine(server.grpc_url, lambda engine: asyncio.sleep(0, dict(engine.scenes())))
    assert sorted(scenes) == ["compiled", "cones", "scripted", SLOW, analytic_scene.SCENE, voxel_scene.SCENE]
    assert scenes[analytic_scene.SCENE].format == "onnx", "onnx is preferred where there are two formats"
    assert scenes[analytic_scene.SCENE].info.views[0].name == "start"


@pytest.mark.parametrize("scene", [analytic_scene.SCENE, "scripted", "compiled", "cones"])
def test_tiles_make_the_analytic_image(server, scene):
    wanted = rays(radii=scene == "cones")
    assert len(wanted) > 3 * analytic_scene.RAYS_PER_CALL
    light = use_engine(server.grpc_url, lambda engine: engine.render(scene, wanted, None))
    for values, reference in zip(light, analytic_scene.render(*wanted.arrays()), strict=True):
        np.testing.assert_allclose(values, reference, atol=2e-5)


def test_native_scenes_are_rendered_by_the_kernels(server):
    """The server's process has them; a ray's light does not depend on the tile that it is in."""
    wanted = voxel_scene.CAMERA.rays()
    light = use_engine(server.grpc_url, lambda engine: engine.render(voxel_scene.SCENE, wanted, None))
    assert light.opacity.max() > 0.5
    for values, expected in zip(light, voxel_scene.light(wanted), strict=True):
        np.testing.assert_array_equal(values, expected)


def test_it_equals_the_local_engine(server, local_repository):
    async def both(engine):
        local = await open_engine("onnxruntime", EngineOptions(repository=local_repository))
        try:
            return [await item.render(analytic_scene.SCENE, rays(), None) for item in (engine, local)]
        finally:
            await local.close()

    remote, local = use_engine(server.grpc_url, both)
    for ours, theirs in zip(remote, local, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_gateway_gives_the_same_png_with_both_engines(server, local_repository):
    query = {"eye": "3,-2.5,2", "target": "0,0,0.4", "width": 24, "height": 16}
    images = []
    for settings in (
        Settings(repository=local_repository),
        Settings(engine="triton", triton_url=server.grpc_url),
    ):
        with running_gateway(create_app(settings)) as client:
            assert client.get("/readyz").status_code == 200
            response = client.get(f"/v1/scenes/{analytic_scene.SCENE}/render.png", params=query)
            assert response.status_code == 200, response.text
            images.append(response.content)
    assert images[0] == images[1]


def test_unknown_scene_and_missing_address(server):
    with pytest.raises(
        SceneNotFoundError, match="got scene 'nowhere', known: compiled, cones, scripted, slow, sphere"
    ):
        use_engine(server.grpc_url, lambda engine: engine.render("nowhere", rays(), None))
    with pytest.raises(ConfigError, match="triton_url"):
        use_engine(None, lambda engine: engine.ready())


def test_a_passed_deadline_stops_the_computation_on_the_server(server):

    async def use(engine):
        await engine.render(SLOW, ONE_RAY, None)
        started = time.monotonic()
        await engine.render(SLOW, ONE_RAY, None)
        whole = time.monotonic() - started
        with pytest.raises(DeadlineExceededError):
            await engine.render(SLOW, ONE_RAY, time.monotonic() + whole / 5)
        queued = [
            asyncio.create_task(engine.render(SLOW, ONE_RAY, time.monotonic() + whole / 5)) for _ in range(5)
        ]
        results = await asyncio.gather(*queued, return_exceptions=True)
        assert [type(result) for result in results] == [DeadlineExceededError] * 5
        started = time.monotonic()
        await engine.render(SLOW, ONE_RAY, None)
        return whole, time.monotonic() - started

    whole, after = use_engine(server.grpc_url, use)
    assert after < 2 * whole, "the abandoned requests must not be computed before this one"


def test_cancelling_a_render_stops_its_tiles(server):
    async def use(engine):
        started = time.monotonic()
        await engine.render(SLOW, ONE_RAY, None)
        one_call = time.monotonic() - started
        task = asyncio.create_task(engine.render(SLOW, rays(), None))
        await asyncio.sleep(one_call / 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        started = time.monotonic()
        await engine.render(SLOW, ONE_RAY, None)
        return one_call, time.monotonic() - started

    one_call, after = use_engine(server.grpc_url, use)
    assert after < 2 * one_call


def test_waiting_requests_do_not_stall_in_the_queue(server):
    """A queue policy in config.pbtxt would let the model idle for up to half a second before each of them."""
    waiting = 7

    async def use(engine):
        before = await computed_seconds(engine, "slow_onnx")
        started = time.monotonic()
        await asyncio.gather(*(engine.render(SLOW, ONE_RAY, None) for _ in range(1 + waiting)))
        whole = time.monotonic() - started
        return whole - (await computed_seconds(engine, "slow_onnx") - before)

    idle = use_engine(server.grpc_url, use)
    assert idle < 0.1 * waiting, f"the model idled for {idle:.2f} s between {1 + waiting} requests"


async def computed_seconds(engine, model):
    """Time that the server has spent inside the model so far."""
    statistics = await engine._client.get_inference_statistics(model)
    return statistics.model_stats[0].inference_stats.compute_infer.ns / 1e9


def test_non_finite_light_is_refused(server):
    broken = Rays(np.full_like(rays().origins, np.nan), rays().directions)
    with pytest.raises(EngineError, match="rgb are not finite"):
        use_engine(server.grpc_url, lambda engine: engine.render(analytic_scene.SCENE, broken, None))


def test_a_version_that_is_not_loaded_is_refused_and_a_newer_one_found(server):
    async def use(engine):
        client, model = engine._client, engine._models[analytic_scene.SCENE]
        config = (await client.get_model_config(model.name)).config
        with pytest.raises(ManifestError, match="manifest is of version 1, the server has 2 ready"):
            read_model(config, {(model.name, "2")})
        gone = TritonEngine(server.grpc_url, client, {analytic_scene.SCENE: replace(model, version="7")})
        with pytest.raises(EngineUnavailableError, match="version 7 is not found"):
            await gone._infer(gone._models[analytic_scene.SCENE], graph_inputs(model.manifest, rays()), None)
        await gone.render(analytic_scene.SCENE, rays(), None)
        assert gone._models[analytic_scene.SCENE].version == "1"

    use_engine(server.grpc_url, use)


def test_a_server_without_scenes_is_an_error(tmp_path):
    triton_server.require_triton()
    analytic_scene.write_repository(tmp_path, "onnx")
    triton_server.write_configs(tmp_path)
    config = tmp_path / "sphere_onnx" / "config.pbtxt"
    config.write_text(config.read_text().replace(MANIFEST_KEY, "another.key"))
    with (
        triton_server.running_server(triton_server.free_ports(tmp_path), log=print) as server,
        pytest.raises(EngineError, match="no scene among its 1 models"),
    ):
        use_engine(server.grpc_url, lambda engine: engine.ready())


def test_a_running_server_takes_a_new_version_without_losing_a_request(tmp_path):
    """Renders run all the while; each is wholly of the old version or wholly of the new one."""
    triton_server.require_triton()
    options = replace(triton_server.free_ports(tmp_path / "models"), model_control="explicit")
    for version, scale in ((1, 1.0), (2, 0.5)):
        folder = tmp_path / str(version)
        analytic_scene.write_repository(folder, "onnx", version=version, rgb_scale=scale)
        triton_server.write_configs(folder)
    staged = tmp_path / "2" / "sphere_onnx"
    (tmp_path / "1").rename(options.repository)
    model = options.repository / "sphere_onnx"
    pictures = []

    async def use(engine):
        switched = asyncio.Event()

        async def keep_rendering():
            after = 0
            while after < 3:
                after += switched.is_set()
                pictures.append((await engine.render(analytic_scene.SCENE, rays(), None)).rgb)

        renders = [asyncio.create_task(keep_rendering()) for _ in range(3)]
        await asyncio.sleep(0.3)
        (staged / "2").replace(model / "2")
        shutil.copytree(staged / "warmup", model / "warmup", dirs_exist_ok=True)
        (staged / "config.pbtxt").replace(model / "config.pbtxt")
        await engine._client.load_model("sphere_onnx")
        switched.set()
        await asyncio.gather(*renders)
        await engine.ready()
        return engine.scenes()[analytic_scene.SCENE].version

    with running_server(options, log=print) as server:
        assert use_engine(server.grpc_url, use) == 2
    old = analytic_scene.render(*rays().arrays())[0]
    of_old = [np.allclose(picture, old, atol=2e-5) for picture in pictures]
    of_new = [np.allclose(picture, 0.5 * old, atol=2e-5) for picture in pictures]
    assert of_old[0]
    assert of_new[-1]
    assert all(a != b for a, b in zip(of_old, of_new, strict=True))


def test_nobody_at_the_address():
    with pytest.raises(EngineUnavailableError, match=r"127\.0\.0\.1:9"):
        use_engine("127.0.0.1:9", lambda engine: engine.ready())


def test_a_killed_backend_and_a_killed_server_are_unavailable_not_broken(tmp_path):
    analytic_scene.write_repository(tmp_path, "onnx")

    async def use(engine):
        await engine.ready()
        os.kill(stub_of(server.process.pid), signal.SIGKILL)
        with pytest.raises(EngineUnavailableError, match="canary of scene 'sphere' failed"):
            await engine.ready()
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        with pytest.raises(EngineUnavailableError, match=server.grpc_url):
            await engine.render(analytic_scene.SCENE, rays(), time.monotonic() + 10)
        with pytest.raises(EngineUnavailableError):
            await engine.ready()

    with triton_server.triton_server(tmp_path) as server:
        use_engine(server.grpc_url, use)


def stub_of(pid: int) -> int:
    """The process of the server's only model."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    (child,) = [int(child) for file in files for child in file.read_text().split()]
    return child
