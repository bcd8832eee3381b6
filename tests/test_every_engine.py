"""One conformance suite for all engines of `serving.engines.base.ENGINES`."""

import asyncio
import time
from contextlib import contextmanager

import analytic_scene
import numpy as np
import pytest

from export.formats import onnx as onnx_format
from export.triton import CONFIG_FILE, model_config
from neurocity.contract import MANIFEST_FILE, manifest_from_json
from neurocity.errors import (
    DeadlineExceededError,
    EngineError,
    MissingDependencyError,
    SceneNotFoundError,
)
from serving.engines.base import ENGINES, EngineOptions, open_engine
from serving.tritonserver.server import ServerOptions, running_server

FORMATS = {"onnxruntime": "onnx", "torch": "torchscript", "triton": "onnx"}
"""Engine -> the format that it is given here."""

SCENE = analytic_scene.SCENE


@pytest.fixture(scope="module", params=sorted(ENGINES))
def opened(request, tmp_path_factory):
    """The engine's name and a function that runs `use(engine)` on a freshly opened one."""
    name = request.param
    repository = tmp_path_factory.mktemp(name)
    for scene in (SCENE, "second"):
        analytic_scene.write_repository(repository, FORMATS[name], scene=scene)
    with engine_options(name, repository) as options:

        def run(use):
            async def session():
                engine = await open_engine(name, options)
                try:
                    return await use(engine)
                finally:
                    await engine.close()

            return asyncio.run(session())

        yield name, run


@contextmanager
def engine_options(name, repository):
    """What opens the engine on that repository; for Triton, a server is started on it."""
    if name != "triton":
        yield EngineOptions(repository=repository, threads=1)
        return
    for folder in repository.iterdir():
        record = manifest_from_json((folder / "1" / MANIFEST_FILE).read_text())
        signature = onnx_format.FORMAT.signature(folder / "1" / record.artefact.name)
        (folder / CONFIG_FILE).write_text(model_config(record, onnx_format.FORMAT.triton, signature))
    options = ServerOptions(repository=repository, grpc_port=0, http_port=0, metrics_port=0)
    try:
        with running_server(options, lambda _: None) as server:
            yield EngineOptions(triton_url=server.grpc_url)
    except MissingDependencyError as error:
        pytest.skip(str(error))


def rays(count: int = 37):
    """Rays of which some meet the sphere."""
    origins, directions = analytic_scene.camera(8, 6).rays()
    index = np.arange(count) % len(origins)
    return origins[index], directions[index]


def test_it_lists_its_scenes(opened):
    name, run = opened

    async def use(engine):
        return engine.name, dict(engine.scenes())

    engine_name, scenes = run(use)
    assert engine_name == name
    assert sorted(scenes) == ["second", SCENE]
    assert scenes[SCENE].format == FORMATS[name]
    assert scenes[SCENE].info.background == analytic_scene.BACKGROUND


@pytest.mark.parametrize("count", [1, 2, 37, 48])
def test_it_renders_the_analytic_scene(opened, count):
    origins, directions = rays(count)
    rendered = opened[1](lambda engine: engine.render(SCENE, origins, directions, None))
    for values, reference in zip(rendered, analytic_scene.render(origins, directions), strict=True):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, reference, atol=2e-5)


def test_rays_do_not_depend_on_their_batch(opened):
    origins, directions = rays(48)

    async def use(engine):
        whole = await engine.render(SCENE, origins, directions, None)
        parts = [
            await engine.render(SCENE, origins[i : i + 7], directions[i : i + 7], None)
            for i in range(0, 48, 7)
        ]
        return whole, parts

    whole, parts = opened[1](use)
    for values, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(pieces), values, atol=1e-6)


def test_arrays_need_not_be_contiguous(opened):
    origins, directions = rays(48)
    rendered = opened[1](lambda engine: engine.render(SCENE, origins[::3], directions[::3], None))
    np.testing.assert_allclose(
        rendered.depth, analytic_scene.render(origins[::3], directions[::3])[1], atol=2e-5
    )


def test_calls_may_overlap(opened):
    origins, directions = rays(48)

    async def use(engine):
        calls = [engine.render(SCENE, origins[:n], directions[:n], None) for n in range(1, 17)]
        return await asyncio.gather(*calls)

    for count, rendered in enumerate(opened[1](use), start=1):
        reference = analytic_scene.render(origins[:count], directions[:count])
        np.testing.assert_allclose(rendered.rgb, reference[0], atol=2e-5)


def test_unknown_scene_is_refused_with_the_known_ones(opened):
    with pytest.raises(SceneNotFoundError, match="'nowhere', known: second, sphere"):
        opened[1](lambda engine: engine.render("nowhere", *rays(), None))


@pytest.mark.parametrize(
    ("origins", "directions"),
    [
        (np.zeros((4, 3)), np.zeros((4, 3))),
        (np.zeros((4, 2), np.float32), np.zeros((4, 2), np.float32)),
        (np.zeros((4, 3), np.float32), np.zeros((5, 3), np.float32)),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)),
        (np.zeros(3, np.float32), np.zeros(3, np.float32)),
    ],
)
def test_what_is_not_rays_is_refused(opened, origins, directions):
    with pytest.raises(EngineError, match="ray_"):
        opened[1](lambda engine: engine.render(SCENE, origins, directions, None))


def test_non_finite_light_is_an_error(opened):
    origins, directions = rays()
    origins = origins.copy()
    origins[0] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        opened[1](lambda engine: engine.render(SCENE, origins, directions, None))


def test_a_passed_deadline_is_an_error_and_leaves_the_engine_usable(opened):
    async def use(engine):
        with pytest.raises(DeadlineExceededError):
            await engine.render(SCENE, *rays(), time.monotonic() - 1.0)
        return await engine.render(SCENE, *rays(), time.monotonic() + 30.0)

    assert opened[1](use).opacity.max() == pytest.approx(analytic_scene.ALPHA)


def test_cancelling_leaves_the_engine_usable(opened):
    async def use(engine):
        task = asyncio.create_task(engine.render(SCENE, *rays(), None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await engine.render(SCENE, *rays(), None)

    assert opened[1](use).opacity.max() == pytest.approx(analytic_scene.ALPHA)


def test_what_is_ready_renders_every_scene(opened):
    async def use(engine):
        await engine.ready()
        return {scene: await engine.render(scene, *rays(), None) for scene in engine.scenes()}

    rendered = opened[1](use)
    assert sorted(rendered) == ["second", SCENE]
    for light in rendered.values():
        np.testing.assert_allclose(light.rgb, analytic_scene.render(*rays())[0], atol=2e-5)
