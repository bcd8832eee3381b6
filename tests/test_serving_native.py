"""What is particular to the compiled kernels in this process: whole pictures, stopping, what is imported."""

import asyncio
import subprocess
import sys
import time

import analytic_scene
import numpy as np
import pytest
import toy_kernels

from neurocity.errors import DeadlineExceededError, EngineError, ManifestError, MissingDependencyError
from serving.engines.base import EngineOptions
from serving.engines.native_engine import NativeEngine

LONG = 10**6
"""Parts, of 10 ms each."""


def opened(repository, use, **options):
    async def session():
        engine = await NativeEngine.open(EngineOptions(repository=repository, threads=1, **options))
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


@pytest.fixture
def two_scenes(tmp_path):
    """A scene that takes hours, and the usual one."""
    analytic_scene.write_repository(tmp_path, "native", scene="long", parts=LONG)
    return analytic_scene.write_repository(tmp_path, "native")


def test_a_picture_is_one_call_that_knows_its_width(two_scenes, monkeypatch):
    seen = []
    render = toy_kernels.SphereScene.render

    def watched(self, rays, light, *, threads, work):
        seen.append((len(rays), rays.width, threads, rays.directions.flags.c_contiguous))
        return render(self, rays, light, threads=threads, work=work)

    monkeypatch.setattr(toy_kernels.SphereScene, "render", watched)
    rays = analytic_scene.camera(24, 16).rays()
    assert len(rays) > analytic_scene.RAYS_PER_CALL
    opened(two_scenes, lambda engine: engine.render("sphere", rays, None))
    opened(two_scenes, lambda engine: engine.render("sphere", rays[::2], None))
    assert seen == [(384, 24, 1, True), (192, 0, 1, True)]


def test_a_deadline_stops_the_picture(two_scenes):
    rays = analytic_scene.camera(4, 4).rays()

    async def use(engine):
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError, match="did not end before its deadline"):
            await engine.render("long", rays, started + 0.1)
        # The only thread is free again, so the picture was really stopped.
        rendered = await engine.render("sphere", rays, time.monotonic() + 5.0)
        return time.monotonic() - started, rendered

    seconds, rendered = opened(two_scenes, use)
    assert 0.1 <= seconds < 1.0
    np.testing.assert_allclose(rendered.opacity, analytic_scene.render(*rays.arrays())[2], atol=1e-6)


def test_a_picture_that_nobody_waits_for_ends(two_scenes):
    rays = analytic_scene.camera(4, 4).rays()

    async def use(engine):
        running = asyncio.create_task(engine.render("long", rays, None))
        waiting = asyncio.create_task(engine.render("long", rays, None))
        await asyncio.sleep(0.1)
        for task in (waiting, running):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await engine.render("sphere", rays, time.monotonic() + 1.0)

    opened(two_scenes, use)


def test_a_file_that_is_no_scene_is_refused(tmp_path):
    version = analytic_scene.write_repository(tmp_path, "native") / "sphere_native" / "1"
    content = (version / "model.safetensors").read_bytes()
    analytic_scene.change_artefact(version, content[:-2])
    with pytest.raises(ManifestError, match="export the scene again"):
        opened(tmp_path, lambda engine: engine.ready())


def test_a_scene_whose_rays_are_not_the_manifests_is_refused(tmp_path):
    version = analytic_scene.write_repository(tmp_path, "native") / "sphere_native" / "1"
    other = tmp_path / "other.safetensors"
    analytic_scene.write_native(other, cones=True)
    analytic_scene.change_artefact(version, other.read_bytes())
    with pytest.raises(EngineError, match=r"takes .*'ray_radii'\], its manifest says \['ray_origins'"):
        opened(tmp_path, lambda engine: engine.ready())


def test_another_device_is_an_error(tmp_path):
    analytic_scene.write_repository(tmp_path, "native")
    with pytest.raises(MissingDependencyError, match=r"device 'cuda': the engine native computes on cpu"):
        opened(tmp_path, lambda engine: engine.ready(), device="cuda")


def test_it_imports_neither_torch_nor_onnxruntime():
    code = "import serving.app, serving.engines.auto_engine, serving.engines.native_engine, sys\n"
    code += "print(sorted({'torch', 'onnxruntime', 'onnx', 'safetensors', 'export'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
