"""What is particular to the compiled kernels in this process: whole pictures, what is imported."""

import asyncio
import subprocess
import sys

import analytic_scene
import pytest
import toy_kernels

from neurocity.errors import EngineError, MissingDependencyError
from serving.scenes.opening import SceneOptions, open_scenes


def opened(repository, use, **options):
    async def session():
        engine = await open_scenes("native", SceneOptions(repository=repository, threads=1, **options))
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


async def render(scenes):
    await scenes.render("sphere", analytic_scene.camera(2, 2).rays(), None)


def test_a_picture_is_one_call_that_knows_its_width(tmp_path, monkeypatch):
    seen = []
    render = toy_kernels.SphereScene.render

    def watched(self, rays, light, *, threads, work):
        seen.append((len(rays), rays.width, threads, rays.directions.flags.c_contiguous))
        return render(self, rays, light, threads=threads, work=work)

    monkeypatch.setattr(toy_kernels.SphereScene, "render", watched)
    repository = analytic_scene.write_repository(tmp_path, "native")
    rays = analytic_scene.camera(24, 16).rays()
    assert len(rays) > analytic_scene.RAYS_PER_CALL
    opened(repository, lambda engine: engine.render("sphere", rays, None))
    opened(repository, lambda engine: engine.render("sphere", rays[::2], None))
    assert seen == [(384, 24, 1, True), (192, 0, 1, True)]


def test_a_file_that_is_no_scene_is_refused(tmp_path):
    version = analytic_scene.write_repository(tmp_path, "native") / "sphere_native" / "1"
    content = (version / "model.safetensors").read_bytes()
    analytic_scene.change_artefact(version, content[:-2])
    with pytest.raises(EngineError, match="export the scene again"):
        opened(tmp_path, render)


def test_a_scene_whose_rays_are_not_the_manifests_is_refused(tmp_path):
    version = analytic_scene.write_repository(tmp_path, "native") / "sphere_native" / "1"
    other = tmp_path / "other.safetensors"
    analytic_scene.write_native(other, cones=True)
    analytic_scene.change_artefact(version, other.read_bytes())
    with pytest.raises(EngineError, match=r"takes .*'ray_radii'\], its manifest says \['ray_origins'"):
        opened(tmp_path, render)


def test_another_device_is_an_error(tmp_path):
    analytic_scene.write_repository(tmp_path, "native")
    with pytest.raises(MissingDependencyError, match=r"device 'cuda': the engine native computes on cpu"):
        opened(tmp_path, lambda scenes: scenes.look(), device="cuda")


def test_it_imports_neither_torch_nor_onnxruntime():
    code = "import serving.app, serving.engines.native_engine, sys\n"
    code += "print(sorted({'torch', 'onnxruntime', 'onnx', 'safetensors', 'export'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
