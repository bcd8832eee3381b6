"""Which engine `auto` gives a scene to, and what it says of it."""

import asyncio
import logging
import sys

import analytic_scene
import numpy as np
import pytest

from neurocity.errors import EngineError, ManifestError, MissingDependencyError
from serving.app import create_app
from serving.engines.auto_engine import AutoEngine
from serving.engines.base import ENGINES, EngineOptions
from serving.settings import Settings


@pytest.fixture
def repository(tmp_path):
    """Scenes that have everything, all but native, TorchScript alone, and native in half precision beside."""
    analytic_scene.write_repository(tmp_path, "native", "onnx", "torchscript", scene="all")
    analytic_scene.write_repository(tmp_path, "native", precision="fp16", scene="all")
    analytic_scene.write_repository(tmp_path, "onnx", "torchscript", scene="older")
    return analytic_scene.write_repository(tmp_path, "torchscript", scene="oldest")


def opened(use, **options):
    async def session():
        engine = await AutoEngine.open(EngineOptions(threads=1, **options))
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


async def choices(engine):
    return {scene: tuple(engine.served_by(scene)) for scene in engine.scenes()}


def test_each_scene_is_rendered_by_the_first_engine_that_can(repository):
    rays = analytic_scene.camera(4, 3).rays()

    async def use(engine):
        light = {scene: await engine.render(scene, rays, None) for scene in engine.scenes()}
        return await choices(engine), light

    found, light = opened(use, repository=repository)
    assert found == {
        "all": ("native", "native fp32 is there"),
        "older": ("onnxruntime", "onnx fp32 is there; not native: there is no native fp32"),
        "oldest": (
            "torch",
            "torchscript fp32 is there; not native: there is no native fp32; "
            "not onnxruntime: there is no onnx fp32",
        ),
    }
    opacity = analytic_scene.render(*rays.arrays())[2]
    for rendered in light.values():
        np.testing.assert_allclose(rendered.opacity, opacity, atol=1e-6)


def test_precision_is_the_one_that_was_asked_for(tmp_path):
    analytic_scene.write_repository(tmp_path, "native")
    analytic_scene.write_repository(tmp_path, "onnx", precision="fp16")
    assert opened(choices, repository=tmp_path)["sphere"][0] == "native"
    assert opened(choices, repository=tmp_path, precision="fp16")["sphere"][0] == "onnxruntime"


def test_an_engine_that_is_not_installed_is_passed_by_with_the_reason(repository, monkeypatch):
    monkeypatch.delitem(sys.modules, "serving.engines.onnxruntime_engine", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    engine, reason = opened(choices, repository=repository)["older"]
    assert engine == "torch"
    assert "not onnxruntime: engine 'onnxruntime' needs a package that is not installed" in reason
    assert "install neurocity[onnxruntime]" in reason


def test_kernels_that_were_not_built_are_an_error_and_no_reason_to_be_slow(repository, monkeypatch):
    def absent():
        raise MissingDependencyError("kernels: absent; build the kernels")

    monkeypatch.setattr("serving.engines.native_engine.library", absent)
    with pytest.raises(MissingDependencyError, match="build the kernels"):
        opened(choices, repository=repository)


def test_on_another_device_it_is_not_the_kernels(repository):
    """Whatever comes after, it says what is missing."""
    with pytest.raises(MissingDependencyError, match=r"(?i)cuda"):
        opened(choices, repository=repository, device="cuda")


def test_a_scene_that_none_can_render_is_an_error_with_every_reason(repository):
    with pytest.raises(EngineError) as refused:
        opened(choices, repository=repository, precision="fp16")
    told = str(refused.value)
    assert "scene 'older' has onnx fp32, torchscript fp32 in" in told
    assert "--formats native --precision fp16" in told
    for name in ("native", "onnxruntime", "torch"):
        assert f"not {name}: there is no {ENGINES[name].automatic} fp16" in told


def test_a_changed_artefact_is_refused(repository):
    path = repository / "all_native" / "1" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(ManifestError, match="has SHA-256"):
        opened(choices, repository=repository)


def test_the_log_says_what_renders_a_scene_and_why(repository, caplog):
    caplog.set_level(logging.INFO, "serving")
    app = create_app(Settings(repository=repository, threads=1))

    async def start():
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(start())
    assert "scene all: engine native (native fp32 is there)" in caplog.messages
    assert any(
        message.startswith("scene oldest: engine torch (torchscript fp32") for message in caplog.messages
    )
