"""The triton engine against the real server: pixels, scenes, deadlines, cancellation, a server that dies."""

import asyncio
import contextlib
import io
import os
import re
import shutil
import signal
import time
from dataclasses import replace

import analytic_scene
import grpc
import httpx
import numpy as np
import pytest
import triton_server
import voxel_scene
from gateway_server import running_gateway
from tritonclient.grpc.aio import InferenceServerClient
from waiting import PATIENCE, once

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
from neurocity.pictures.options import RenderOptions
from serving import spans
from serving.app import create_app
from serving.engines.triton_engine import OpenModel, TritonEngine
from serving.engines.triton_models import Model, find_models, read_model
from serving.render.admission import Budget
from serving.render.cancel import Cancel
from serving.render.limits import Limits
from serving.render.picture import PictureRequest
from serving.render.readiness import Readiness
from serving.render.service import RenderService
from serving.scenes.opening import SceneOptions, open_scenes
from serving.settings import Settings
from serving.telemetry.tracing import open_tracing
from serving.tritonserver.backend_processes import stubs_of
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
    """The result of `use(scenes)` on freshly opened scenes."""

    async def session():
        scenes = await open_scenes("triton", SceneOptions(triton_url=url, poll_seconds=0))
        try:
            return await use(scenes)
        finally:
            await scenes.close()

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


@contextlib.asynccontextmanager
async def recording_proxy(url, calls):
    """The address of a server that passes gRPC on, and notes each call's name and metadata."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            async def passed_on(request, context):
                calls.append((details.method, dict(context.invocation_metadata())))
                return await channel.unary_unary(details.method)(request)

            return grpc.unary_unary_rpc_method_handler(passed_on)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    async with grpc.aio.insecure_channel(url) as channel:
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


def test_the_servers_spans_are_parts_of_the_render(server):
    calls = []

    async def session():
        tracing = open_tracing("http://127.0.0.1:9", "1")
        async with recording_proxy(server.grpc_url, calls) as url:
            engine = await open_scenes("triton", SceneOptions(triton_url=url, poll_seconds=0))
            await engine.render(analytic_scene.SCENE, ONE_RAY, None)
            parent = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
            with tracing.request(parent), spans.span("render"):
                await engine.render(analytic_scene.SCENE, ONE_RAY, None)
            await engine.close()
        tracing.close()

    asyncio.run(session())
    untraced, traced = [metadata for method, metadata in calls if method.endswith("/ModelInfer")]
    assert "traceparent" not in untraced
    assert re.fullmatch(f"00-{'a' * 32}-(?!{'b' * 16})[0-9a-f]{{16}}-00", traced["traceparent"])


def test_it_equals_the_local_engine(server, local_repository):
    async def both(engine):
        local = await open_scenes("onnxruntime", SceneOptions(repository=local_repository))
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
        use_engine(None, lambda engine: engine.look())
    with pytest.raises(EngineUnavailableError, match=r"127\.0\.0\.1:9"):
        use_engine("127.0.0.1:9", lambda engine: engine.look())


async def call_seconds(engine) -> float:
    started = time.monotonic()
    await engine.render(SLOW, ONE_RAY, None)
    return time.monotonic() - started


def test_a_passed_deadline_stops_the_computation_on_the_server(server):
    async def use(engine):
        await engine.render(SLOW, ONE_RAY, None)

        async def abandoned_ones_are_not_computed() -> bool:
            whole = await call_seconds(engine)
            late = [engine.render(SLOW, ONE_RAY, time.monotonic() + whole / 5) for _ in range(6)]
            ends = {type(end) for end in await asyncio.gather(*late, return_exceptions=True)}
            return ends == {DeadlineExceededError} and await call_seconds(engine) < 2 * whole

        return await once(abandoned_ones_are_not_computed)

    assert use_engine(server.grpc_url, use)


def test_cancelling_a_render_stops_its_tiles(server):
    async def use(engine):
        async def its_tiles_are_not_computed() -> bool:
            one_call = await call_seconds(engine)
            task = asyncio.create_task(engine.render(SLOW, rays(), None))
            await asyncio.sleep(one_call / 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await call_seconds(engine) < 2 * one_call

        return await once(its_tiles_are_not_computed)

    assert use_engine(server.grpc_url, use)


def test_a_clients_time_is_the_calls_less_what_it_waited(server, monkeypatch):
    """A picture that gets its turn late asks the server for what is left of `X-Request-Timeout`."""
    limits = []
    infer = InferenceServerClient.infer

    def noted_infer(client, name, *arguments, **options):
        if name == "slow_onnx":
            limits.append((time.monotonic(), options["client_timeout"]))
        return infer(client, name, *arguments, **options)

    async def use(engine):
        monkeypatch.setattr(InferenceServerClient, "infer", noted_infer)
        app = create_app(Settings(), engine)
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
            link = "http://gateway/v1/scenes/slow/render.npy?target=0,0,0&width=1&height=1&eye=3,0,"
            answers = [client.get(f"{link}{z}", headers={"X-Request-Timeout": "30"}) for z in range(6)]
            assert {answer.status_code for answer in await asyncio.gather(*answers)} == {200}
            late = await client.get(f"{link}9", headers={"X-Request-Timeout": "0.05"})
            return late.status_code

    assert use_engine(server.grpc_url, use) == 504
    (first, first_limit), (last, last_limit) = limits[0], limits[5]
    assert last_limit < first_limit <= 30
    assert first_limit - last_limit == pytest.approx(last - first, rel=0.5)


def test_waiting_requests_do_not_stall_in_the_queue(server):
    """A queue policy in config.pbtxt would let the model idle for up to half a second before each of them."""
    waiting = 7

    async def use(engine):
        async def the_model_hardly_idles() -> bool:
            before, started = await computed_seconds(engine), time.monotonic()
            await asyncio.gather(*(engine.render(SLOW, ONE_RAY, None) for _ in range(1 + waiting)))
            whole = time.monotonic() - started
            return whole - (await computed_seconds(engine) - before) < 0.1 * waiting

        return await once(the_model_hardly_idles)

    assert use_engine(server.grpc_url, use)


async def computed_seconds(engine):
    """Time that the server has spent inside the slow model so far."""
    statistics = await engine._source._client.get_inference_statistics("slow_onnx")
    return statistics.model_stats[0].inference_stats.compute_infer.ns / 1e9


def test_non_finite_light_is_refused(server):
    broken = Rays(np.full_like(rays().origins, np.nan), rays().directions)
    with pytest.raises(EngineError, match="rgb are not finite"):
        use_engine(server.grpc_url, lambda engine: engine.render(analytic_scene.SCENE, broken, None))


def test_a_version_that_is_not_loaded_is_refused(server):
    async def use(scenes):
        client = scenes._source._client
        (*_, model), refused = await find_models(client, server.grpc_url)
        assert refused == {}
        config = (await client.get_model_config(model.name)).config
        with pytest.raises(ManifestError, match="manifest is of version 1, the server has 2 ready"):
            read_model(config, {(model.name, "2")})
        gone = OpenModel(server.grpc_url, client, replace(model, version="7"))
        with pytest.raises(EngineUnavailableError, match="version 7 is not found"):
            await gone.render(rays(radii=model.manifest.takes_ray_radii), None)

    use_engine(server.grpc_url, use)


def test_a_manifest_that_was_replaced_on_the_server_is_another_version():
    """The artefact is the same, and what stands behind it in a picture is not."""
    manifest, again = (analytic_scene.manifest("onnx", b"") for _ in range(2))
    other = replace(manifest, info=replace(manifest.info, background=None))
    engine = TritonEngine("", client=None)
    found = [engine._offer(Model("sphere_onnx", "1", item, {}, {}, 1)) for item in (manifest, again, other)]
    assert found[0].identity == found[1].identity != found[2].identity


def test_a_server_without_scenes_is_an_error(tmp_path):
    triton_server.require_triton()
    analytic_scene.write_repository(tmp_path, "onnx")
    triton_server.write_configs(tmp_path)
    config = tmp_path / "sphere_onnx" / "config.pbtxt"
    config.write_text(config.read_text().replace(MANIFEST_KEY, "another.key"))
    with (
        triton_server.running_server(triton_server.on_free_ports(tmp_path), log=print) as server,
        pytest.raises(EngineError, match="no scene among its 1 models"),
    ):
        use_engine(server.grpc_url, lambda engine: engine.look())


def test_a_running_server_takes_a_new_version_without_losing_a_request(tmp_path):
    """Renders run all the while; each is wholly of the old version or wholly of the new one."""
    triton_server.require_triton()
    options = replace(triton_server.on_free_ports(tmp_path / "models"), model_control="explicit")
    for version, scale in ((1, 1.0), (2, 0.5)):
        folder = tmp_path / str(version)
        analytic_scene.write_repository(folder, "onnx", version=version, rgb_scale=scale)
        triton_server.write_configs(folder)
    staged = tmp_path / "2" / "sphere_onnx"
    (tmp_path / "1").rename(options.repository)
    model = options.repository / "sphere_onnx"
    pictures = []
    camera = analytic_scene.camera(24, 16)

    async def use(scenes):
        service = RenderService(scenes, Limits(max_pixels=1000, max_side=100), Budget(cache_bytes=0))
        wanted = PictureRequest(
            scene=analytic_scene.SCENE,
            camera=camera,
            options=RenderOptions(format="npy", background=(0, 0, 0)),
        )
        switched = asyncio.Event()

        async def keep_rendering():
            after = 0
            while after < 3:
                after += switched.is_set()
                pictures.append(await service.render(wanted, Cancel()))

        renders = [asyncio.create_task(keep_rendering()) for _ in range(3)]
        await asyncio.sleep(0.3)
        (staged / "2").replace(model / "2")
        shutil.copytree(staged / "warmup", model / "warmup", dirs_exist_ok=True)
        (staged / "config.pbtxt").replace(model / "config.pbtxt")
        await scenes._source._client.load_model("sphere_onnx")
        switched.set()
        await asyncio.gather(*renders)

    with running_server(options, log=print) as server:
        use_engine(server.grpc_url, use)
    old = analytic_scene.render(*camera.rays().arrays())[0].reshape(16, 24, 3)
    for picture in pictures:
        scale = {1: 1.0, 2: 0.5}[picture.scene_version]
        np.testing.assert_allclose(np.load(io.BytesIO(picture.image.data)), scale * old, atol=2e-5)
    assert {picture.scene_version for picture in (pictures[0], pictures[-1])} == {1, 2}


def test_a_killed_backend_and_a_killed_server_are_unavailable_not_broken(tmp_path):
    analytic_scene.write_repository(tmp_path, "onnx")

    async def use(engine):
        await Readiness(engine).check()
        (stub,) = stubs_of(server.process.pid)
        os.kill(stub, signal.SIGKILL)
        with pytest.raises(EngineUnavailableError, match="canary of scene 'sphere' failed"):
            await Readiness(engine).check()
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(PATIENCE)
        with pytest.raises(EngineUnavailableError, match=server.grpc_url):
            await engine.render(analytic_scene.SCENE, rays(), time.monotonic() + PATIENCE)
        with pytest.raises(EngineUnavailableError):
            await Readiness(engine).check()

    with triton_server.triton_server(tmp_path) as server:
        use_engine(server.grpc_url, use)
