"""Which engine `auto` gives a scene to, and what it says of it."""

import asyncio
import logging
import sys

import analytic_scene
import numpy as np
import pytest

from neurocity.errors import MissingDependencyError
from serving.app import create_app
from serving.engines.base import AUTO
from serving.scenes.opening import SceneOptions, open_scenes
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
        engine = await open_scenes(AUTO, SceneOptions(threads=1, **options))
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


async def refused(scenes):
    return scenes.refused()


async def choices(engine):
    return {scene: tuple(version.served) for scene, version in engine.current().items()}


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
    assert sorted(opened(choices, repository=repository)) == ["older", "oldest"]
    assert opened(refused, repository=repository) == {"all_native/1": "kernels: absent; build the kernels"}


def test_on_another_device_it_is_not_the_kernels(repository):
    """Whatever comes after, it says what is missing."""
    assert opened(choices, repository=repository, device="cuda") == {}
    reasons = opened(refused, repository=repository, device="cuda")
    assert len(reasons) == 3
    assert all("cuda" in reason.lower() for reason in reasons.values())


def test_a_scene_that_none_can_render_is_refused_with_what_would_work(repository):
    assert sorted(opened(choices, repository=repository, precision="fp16")) == ["all"]
    told = opened(refused, repository=repository, precision="fp16")["older_onnx/1"]
    assert "scene 'older' has onnx fp32, torchscript fp32, --engine auto opens" in told
    assert "--formats native --precision fp16" in told
    assert "--engine auto opens native or onnx or torchscript in fp16" in told


def test_the_log_says_what_renders_a_scene_and_why(repository, caplog):
    caplog.set_level(logging.INFO, "neurocity.serving")
    app = create_app(Settings(repository=repository, threads=1))

    async def start():
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(start())
    assert "scene all: version 1 by engine native (native fp32 is there)" in caplog.messages
    assert any(
        message.startswith("scene oldest: version 1 by engine torch (torchscript fp32")
        for message in caplog.messages
    )
