"""What is particular to ONNX Runtime in this process: stopping a call, devices, broken graphs."""

import asyncio
import time

import analytic_scene
import numpy as np
import onnx
import onnxruntime
import pytest

from neurocity.errors import DeadlineExceededError, EngineError, MissingDependencyError
from serving.engines.base import EngineOptions
from serving.engines.onnxruntime import OnnxRuntimeEngine, open_session

ENDLESS = 10**12


def opened(repository, use):
    async def session():
        engine = await OnnxRuntimeEngine.open(EngineOptions(repository=repository, threads=1))
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


@pytest.fixture
def two_scenes(tmp_path):
    """A scene whose calls never end by themselves, and the usual one."""
    analytic_scene.write_repository(tmp_path, "onnx", scene="endless", idle_loops=ENDLESS)
    return analytic_scene.write_repository(tmp_path, "onnx")


def test_a_deadline_stops_the_running_call(two_scenes):
    rays = analytic_scene.camera(4, 4).rays().arrays()

    async def use(engine):
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError, match="did not end before its deadline"):
            await engine.render("endless", *rays, started + 0.2)
        stopped = time.monotonic() - started
        # The only thread is free again, so the call was really stopped.
        rendered = await engine.render("sphere", *rays, time.monotonic() + 5.0)
        return stopped, rendered

    stopped, rendered = opened(two_scenes, use)
    assert 0.2 <= stopped < 2.0
    np.testing.assert_allclose(rendered.opacity, analytic_scene.render(*rays)[2], atol=1e-6)


def test_cancelling_stops_the_running_call_and_drops_waiting_ones(two_scenes):
    rays = analytic_scene.camera(4, 4).rays().arrays()

    async def use(engine):
        running = asyncio.create_task(engine.render("endless", *rays, None))
        waiting = asyncio.create_task(engine.render("endless", *rays, None))
        await asyncio.sleep(0.2)
        for task in (waiting, running):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await engine.render("sphere", *rays, time.monotonic() + 5.0)

    opened(two_scenes, use)


def test_the_event_loop_turns_during_a_call(two_scenes):
    rays = analytic_scene.camera(4, 4).rays().arrays()

    async def use(engine):
        task = asyncio.create_task(engine.render("endless", *rays, time.monotonic() + 0.3))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(DeadlineExceededError):
            await task
        return turns

    assert opened(two_scenes, use) > 5


def test_a_graph_that_gives_nan_is_an_engine_error(tmp_path):
    analytic_scene.write_repository(tmp_path, "onnx", rgb_scale=float("nan"))
    rays = analytic_scene.camera(4, 4).rays().arrays()
    with pytest.raises(EngineError, match="'sphere': 48 values of rgb are not finite"):
        opened(tmp_path, lambda engine: engine.render("sphere", *rays, None))


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this build has CUDA"
)
def test_an_absent_device_is_an_error_not_a_fallback(tmp_path):
    path = tmp_path / "model.onnx"
    analytic_scene.write_onnx(path)
    with pytest.raises(
        MissingDependencyError, match=r"CUDAExecutionProvider, this build has .*onnxruntime-gpu"
    ):
        open_session(path, EngineOptions(device="cuda"))


def test_what_is_not_a_render_graph_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not onnx")
    with pytest.raises(EngineError, match="ONNX Runtime cannot open it"):
        open_session(path, EngineOptions())
    analytic_scene.write_onnx(path)
    model = onnx.load(path)
    del model.graph.output[2]
    onnx.save(model, path)
    with pytest.raises(EngineError, match=r"outputs \['depth', 'rgb'\], expected"):
        open_session(path, EngineOptions())
