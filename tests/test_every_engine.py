"""One conformance suite for all engines of `serving.engines.base.ENGINES`, and for the choice among them."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import analytic_scene
import numpy as np
import pytest
import triton_server
from waiting import PATIENCE

from neurocity.cameras import Rays
from neurocity.errors import DeadlineExceededError, EngineError, EngineUnavailableError, SceneNotFoundError
from serving.engines.base import AUTO, ENGINES, engine_class
from serving.render.readiness import Readiness
from serving.scenes.opening import SceneOptions, open_scenes
from serving.settings import Settings

SCENE = analytic_scene.SCENE
CONES = "cones"
"""The scene whose graph takes radii."""

ENDLESS = {"auto": {"parts": 10**6}, "native": {"parts": 10**6}, "onnxruntime": {"idle_loops": 10**12}}
"""Engines that stop what they compute, and the options of a scene in which that takes hours."""

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module", params=sorted([AUTO, *ENGINES]))
def opened(request, tmp_path_factory):
    """The engine's name and a function that runs `use(scenes)` on its freshly opened scenes."""
    name = request.param
    repository = tmp_path_factory.mktemp(name)
    for scene in (SCENE, CONES):
        write_scene(repository, name, scene, cones=scene == CONES)
    with engine_options(name, repository) as options:
        yield name, lambda use: run(name, options, use)


def write_scene(repository, name, scene, **options):
    """The scene in the format that the engine prefers."""
    analytic_scene.write_repository(repository, preferred_format(name), scene=scene, **options)


def preferred_format(name):
    """What the engine opens first; `AUTO` tries the first engine's."""
    return engine_class(next(iter(ENGINES)) if name == AUTO else name).formats[0]


@contextmanager
def engine_options(name, repository):
    """What opens the engine on that repository; for Triton, a server is started on it."""
    if name == "triton":
        with triton_server.triton_server(repository) as server:
            yield SceneOptions(triton_url=server.grpc_url)
    else:
        yield SceneOptions(repository=repository, threads=1)


def run(name, options, use):
    """The result of `use(engine)` on a freshly opened engine."""

    async def session():
        engine = await open_scenes(name, options)
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


def rays(count: int = 37, *, radii: bool = False) -> Rays:
    """Rays of which some meet the sphere."""
    of_camera = analytic_scene.camera(8, 6).rays(radii=radii)
    return of_camera[np.arange(count) % len(of_camera)]


def test_it_lists_its_scenes(opened):
    name, run = opened

    async def use(engine):
        return {version.served.engine for version in engine.current().values()}, dict(engine.scenes())

    engines, scenes = run(use)
    assert engines == {next(iter(ENGINES)) if name == AUTO else name}
    assert sorted(scenes) == [CONES, SCENE]
    assert scenes[SCENE].format == preferred_format(name)
    assert scenes[SCENE].info.background == analytic_scene.BACKGROUND
    assert [scenes[scene].takes_ray_radii for scene in (SCENE, CONES)] == [False, True]


def test_the_settings_know_it(opened):
    assert Settings(engine=opened[0]).engine == opened[0]


@pytest.mark.parametrize("scene", [SCENE, CONES])
@pytest.mark.parametrize("count", [1, 2, 37, 48, 257])
def test_it_renders_the_analytic_scene(opened, scene, count):
    wanted = rays(count, radii=scene == CONES)
    light = opened[1](lambda engine: engine.render(scene, wanted, None))
    for values, reference in zip(light, analytic_scene.render(*wanted.arrays()), strict=True):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, reference, atol=2e-5)


def test_radii_count(opened):
    """Wider cones, and in place of 0 the mean radius."""
    origins, directions = rays(48).arrays()

    async def use(engine):
        radii = [np.full((48, 1), radius, np.float32) for radius in (0.001, 1.0, 0.0)]
        return [await engine.render(CONES, Rays(origins, directions, item), None) for item in radii]

    narrow, wide, mean = (light.opacity.max() for light in opened[1](use))
    assert narrow > mean > 5 * wide
    assert mean == pytest.approx(
        analytic_scene.ALPHA / (1 + analytic_scene.THINNING * analytic_scene.MEAN_RADIUS)
    )


@pytest.mark.parametrize(("scene", "radii"), [(SCENE, True), (CONES, False)])
def test_radii_must_be_given_exactly_where_the_scene_takes_them(opened, scene, radii):
    with pytest.raises(EngineError, match=f"scene '{scene}' takes rays with.* ray_radii, got rays with"):
        opened[1](lambda engine: engine.render(scene, rays(radii=radii), None))


@pytest.mark.parametrize("scene", [SCENE, CONES])
def test_rays_do_not_depend_on_their_batch(opened, scene):
    wanted = rays(48, radii=scene == CONES)

    async def use(engine):
        whole = await engine.render(scene, wanted, None)
        parts = [await engine.render(scene, wanted[i : i + 7], None) for i in range(0, 48, 7)]
        return whole, parts

    whole, parts = opened[1](use)
    for values, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(pieces), values, atol=1e-6)


def test_arrays_need_not_be_contiguous(opened):
    wanted = rays(48, radii=True)[::3]
    assert not wanted.origins.flags.contiguous
    light = opened[1](lambda engine: engine.render(CONES, wanted, None))
    np.testing.assert_allclose(light.opacity, analytic_scene.render(*wanted.arrays())[2], atol=2e-5)


def test_calls_may_overlap(opened):
    wanted = rays(48)

    async def use(engine):
        return await asyncio.gather(*(engine.render(SCENE, wanted[:n], None) for n in range(1, 17)))

    for count, light in enumerate(opened[1](use), start=1):
        reference = analytic_scene.render(*wanted[:count].arrays())
        np.testing.assert_allclose(light.rgb, reference[0], atol=2e-5)


def test_unknown_scene_is_refused_with_the_known_ones(opened):
    with pytest.raises(SceneNotFoundError, match="'nowhere', known: cones, sphere"):
        opened[1](lambda engine: engine.render("nowhere", rays(), None))


@pytest.mark.parametrize(
    ("scene", "arrays"),
    [
        (SCENE, (np.zeros((4, 3)), np.zeros((4, 3)))),
        (SCENE, (np.zeros((4, 2), np.float32), np.zeros((4, 2), np.float32))),
        (SCENE, (np.zeros((4, 3), np.float32), np.zeros((5, 3), np.float32))),
        (SCENE, (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))),
        (SCENE, (np.zeros(3, np.float32), np.zeros(3, np.float32))),
        (CONES, (*[np.zeros((4, 3), np.float32)] * 2, np.zeros(4, np.float32))),
        (CONES, (*[np.zeros((4, 3), np.float32)] * 2, np.zeros((3, 1), np.float32))),
        (CONES, (*[np.zeros((4, 3), np.float32)] * 2, np.zeros((4, 1)))),
    ],
)
def test_what_is_not_rays_is_refused(opened, scene, arrays):
    with pytest.raises(EngineError, match="ray_"):
        opened[1](lambda engine: engine.render(scene, Rays(*arrays), None))


def test_non_finite_light_is_an_error(opened):
    origins, directions = rays().arrays()
    origins = origins.copy()
    origins[0] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        opened[1](lambda engine: engine.render(SCENE, Rays(origins, directions), None))


def test_a_passed_deadline_is_an_error_and_leaves_the_engine_usable(opened):
    async def use(engine):
        with pytest.raises(DeadlineExceededError):
            await engine.render(SCENE, rays(), time.monotonic() - 1.0)
        return await engine.render(SCENE, rays(), time.monotonic() + PATIENCE)

    assert opened[1](use).opacity.max() == pytest.approx(analytic_scene.ALPHA)


def test_cancelling_leaves_the_engine_usable(opened):
    async def use(engine):
        task = asyncio.create_task(engine.render(SCENE, rays(), None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await engine.render(SCENE, rays(), None)

    assert opened[1](use).opacity.max() == pytest.approx(analytic_scene.ALPHA)


def test_it_is_ready(opened):
    opened[1](lambda engine: Readiness(engine).check())


@pytest.mark.parametrize("name", sorted([AUTO, *ENGINES]))
def test_it_is_not_ready_when_a_scene_does_not_render(name, tmp_path):
    write_scene(tmp_path, name, SCENE)
    write_scene(tmp_path, name, "broken", rgb_scale=float("nan"))
    with (
        engine_options(name, tmp_path) as options,
        pytest.raises(EngineUnavailableError, match=r"canary of scene 'broken' failed: .* not finite"),
    ):
        run(name, options, lambda engine: Readiness(engine).check())


@pytest.fixture
def endless(request, tmp_path):
    """A function that runs `use(engine)`: one thread for the usual scene and one named endless."""
    name = request.param
    write_scene(tmp_path, name, SCENE)
    write_scene(tmp_path, name, "endless", **ENDLESS[name])
    with engine_options(name, tmp_path) as options:
        yield lambda use: run(name, options, use)


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
def test_a_deadline_stops_the_running_call(endless):
    async def use(engine):
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError, match="did not end before its deadline"):
            await engine.render("endless", rays(), started + 0.2)
        stopped = time.monotonic() - started
        # The only thread is free again, so the call was really stopped.
        return stopped, await engine.render(SCENE, rays(), time.monotonic() + PATIENCE)

    stopped, light = endless(use)
    assert 0.2 <= stopped < PATIENCE
    np.testing.assert_allclose(light.opacity, analytic_scene.render(*rays().arrays())[2], atol=1e-6)


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
def test_cancelling_stops_the_running_call_and_drops_waiting_ones(endless):
    async def use(engine):
        running = asyncio.create_task(engine.render("endless", rays(), None))
        waiting = asyncio.create_task(engine.render("endless", rays(), None))
        await asyncio.sleep(0.2)
        for task in (waiting, running):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await engine.render(SCENE, rays(), time.monotonic() + PATIENCE)

    endless(use)


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
def test_the_event_loop_turns_during_a_call(endless):
    async def use(engine):
        task = asyncio.create_task(engine.render("endless", rays(), time.monotonic() + PATIENCE))
        for _ in range(10):
            await asyncio.sleep(0.01)
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    endless(use)


TOY_ENGINE = Path(__file__).with_name("toys") / "engines" / "toy_engine.py"
TOY_ENTRY = '    "toy": EngineEntry("serving.engines.toy_engine:ToyEngine", "onnx"),\n'


def test_a_new_engine_is_one_file_and_one_line(tmp_path):
    """A copy of `serving` with a toy engine passes this suite, and its command line offers the toy."""
    copy = shutil.copytree(
        REPOSITORY / "serving", tmp_path / "serving", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(TOY_ENGINE, copy / "engines")
    base = copy / "engines" / "base.py"
    head, entries, rest = base.read_text().partition("] = {\n")
    assert head.endswith("ENGINES: dict[str, EngineEntry")
    base.write_text(head + entries + TOY_ENTRY + rest)
    path = [str(tmp_path), str(REPOSITORY)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    pytest_options = ["-c", REPOSITORY / "pyproject.toml", "-o", f"pythonpath={' '.join(path)}"]
    suite = [*pytest_options, "-p", "no:cacheprovider", "-q", "-k", "toy", __file__]
    results = [
        subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for command in (
            ["-m", "pytest", *suite],
            ["-c", "from serving.cli import main; main()", "--help"],
        )
    ]
    assert [result.returncode for result in results] == [0, 0], [result.stdout for result in results]
    assert int(re.search(r"(\d+) passed", results[0].stdout)[1]) >= 30
    assert "skipped" not in results[0].stdout
    assert "--engine {auto,toy,native,onnxruntime,torch,triton}" in results[1].stdout
