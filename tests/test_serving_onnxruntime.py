"""What is particular to ONNX Runtime in this process: devices, broken graphs."""

import asyncio

import analytic_scene
import onnx
import onnxruntime
import pytest

from neurocity.errors import EngineError, MissingDependencyError
from serving.scenes.opening import SceneOptions, open_scenes


def opened(repository, use):
    async def session():
        engine = await open_scenes("onnxruntime", SceneOptions(repository=repository, threads=1))
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


async def render(scenes):
    await scenes.render("sphere", analytic_scene.camera(2, 2).rays(), None)


def test_a_graph_that_gives_nan_is_an_engine_error(tmp_path):
    analytic_scene.write_repository(tmp_path, "onnx", rgb_scale=float("nan"))
    rays = analytic_scene.camera(4, 4).rays()
    with pytest.raises(EngineError, match="'sphere': 48 values of rgb are not finite"):
        opened(tmp_path, lambda engine: engine.render("sphere", rays, None))


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this build has CUDA"
)
def test_an_absent_device_is_an_error_not_a_fallback(tmp_path):
    repository = analytic_scene.write_repository(tmp_path, "onnx")
    with pytest.raises(
        MissingDependencyError, match=r"CUDAExecutionProvider, this build has .*onnxruntime-gpu"
    ):
        asyncio.run(open_scenes("onnxruntime", SceneOptions(repository=repository, device="cuda")))


def test_what_is_not_onnx_is_refused(tmp_path):
    analytic_scene.write_repository(tmp_path, "onnx")
    analytic_scene.change_artefact(tmp_path / "sphere_onnx" / "1", b"not onnx")
    with pytest.raises(EngineError, match="ONNX Runtime cannot open it"):
        opened(tmp_path, render)


def test_a_graph_that_is_not_the_manifests_is_refused(tmp_path):
    version = analytic_scene.write_repository(tmp_path, "onnx") / "sphere_onnx" / "1"
    model = onnx.load(version / "model.onnx")
    removed = model.graph.output.pop(2)
    analytic_scene.change_artefact(version, model.SerializeToString())
    with pytest.raises(EngineError, match=r"outputs \['depth', 'rgb'\], expected .*'opacity', 'rgb'\]"):
        opened(tmp_path, render)
    model.graph.output.append(removed)
    model.graph.input.append(onnx.helper.make_tensor_value_info("time", onnx.TensorProto.FLOAT, [1]))
    analytic_scene.change_artefact(version, model.SerializeToString())
    with pytest.raises(EngineError, match=r"inputs \['ray_directions', 'ray_origins', 'time'\] and"):
        opened(tmp_path, render)
