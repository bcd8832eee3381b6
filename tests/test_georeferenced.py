"""The whole way of a survey: a moved copy of a dataset trains, is exported, served and asked as the original.

The copy differs from the original by whole numbers, and positions are rounded so that these lose no bit. So
weights and pictures have to be equal to the last bit.
"""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_training import train_instant_ngp
from gateway_server import running_gateway
from georeferenced import OFFSET, write_copy
from training_states import differences, state

from export.cli import main as export_main
from export.job.job import Job
from export.job.run import run_job
from neurocity.cameras import Camera
from neurocity.checkpoint import load_checkpoint
from neurocity.cli import main
from neurocity.data.load import load_scene
from neurocity.data.scene import Scene
from neurocity.errors import ConfigError
from neurocity.light import over_background
from neurocity.model_repository import open_version
from neurocity.rendering.views import render_rays
from serving.app import create_app
from serving.settings import Settings

MODEL = {"num_levels": 2, "march_steps": 48}
TRAINING = {"steps_per_epoch": 16, "occupancy_interval": 4, "occupancy_warmup": 8}


@pytest.fixture(scope="module")
def runs(sphere: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Dataset and checkpoint of the original (`here`) and of its copy (`there`)."""
    folder = tmp_path_factory.mktemp("survey")
    data = {
        "here": write_copy(sphere, folder / "here", np.zeros(3)),
        "there": write_copy(sphere, folder / "there"),
    }
    return {
        name: (
            path,
            train_instant_ngp(path, folder / f"run_{name}", model=MODEL, training=TRAINING, max_steps=48),
        )
        for name, path in data.items()
    }


@pytest.fixture(
    scope="module", params=["native", pytest.param("onnx", marks=pytest.mark.slow)], ids=["native", "onnx"]
)
def exported(
    request: pytest.FixtureRequest,
    runs: dict[str, tuple[Path, Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Version folder of the copy as an artefact that was compared with the copy's photographs."""
    data, checkpoint = runs["there"]
    job = Job(
        checkpoint=checkpoint,
        out=tmp_path_factory.mktemp("repository"),
        format=request.param,
        name="survey",
        data=data,
        rays_per_call=400,
        profile_seconds=0,
    )
    outcome = run_job(job)
    assert not outcome.error, outcome.error
    return job.folder


def camera_file(camera: Camera, path: Path) -> Path:
    path.write_text(json.dumps({"camera_to_world": camera.camera_to_world.tolist(), **camera.intrinsics}))
    return path


def held_out(data: Path) -> tuple[Camera, ...]:
    """The cameras of the files, in the files' coordinates."""
    scene: Scene = load_scene(data, origin=(0.0, 0.0, 0.0))
    return tuple(frame.camera for frame in scene.held_out)


def test_the_copy_trains_to_the_same_weights(runs: dict[str, tuple[Path, Path]]) -> None:
    here, there = (checkpoint for _, checkpoint in runs.values())
    assert differences(state(here), state(there)) == []
    infos = [load_checkpoint(checkpoint).info for checkpoint in (here, there)]
    assert [info.origin for info in infos] == [(0.0, 0.0, 0.0), tuple(OFFSET)]
    assert infos[0].views == infos[1].views
    assert infos[0].bounds == infos[1].bounds


def test_the_copy_is_evaluated_as_the_original(
    runs: dict[str, tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    reports = []
    for data, checkpoint in runs.values():
        assert main(["evaluate", str(checkpoint), "--data", str(data)]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert reports[0]["psnr"] == reports[1]["psnr"]


def test_a_camera_file_is_in_world_coordinates(
    runs: dict[str, tuple[Path, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = []
    for name, (data, checkpoint) in runs.items():
        camera = camera_file(held_out(data)[1], tmp_path / f"{name}.json")
        out = tmp_path / f"{name}.png"
        assert main(["render", str(checkpoint), "--camera", str(camera), "--out", str(out)]) == 0
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]
    words = ["render", str(runs["there"][1]), "--camera", str(tmp_path / "here.json")]
    assert main([*words, "--out", str(tmp_path / "none.png")]) == 1
    error = capsys.readouterr().err
    assert "here.json: the camera stands 5423" in error
    assert "world coordinates" in error


def test_the_copy_is_served_in_world_coordinates(runs: dict[str, tuple[Path, Path]], exported: Path) -> None:
    original = load_checkpoint(runs["here"][1])
    with running_gateway(create_app(Settings(repository=exported.parents[1]))) as client:
        for camera, there in zip(*(held_out(data) for data, _ in runs.values()), strict=True):
            intrinsics = {name: there.intrinsics[name] for name in ("fl_x", "fl_y", "cx", "cy")}
            pose = {"camera_to_world": there.camera_to_world.tolist(), "convention": "opengl"}
            size = {"width": there.width, "height": there.height, "format": "npy"}
            answer = client.post(
                "/v1/scenes/survey/render", json={"camera": {**pose, "intrinsics": intrinsics}, **size}
            )
            assert answer.status_code == 200, answer.text
            got = np.load(io.BytesIO(answer.content))
            rays = (torch.from_numpy(part) for part in camera.rays().arrays())
            render = render_rays(original.model, *rays)
            expected = over_background(render.rgb.numpy(), render.opacity.numpy(), original.info.background)
            np.testing.assert_allclose(got.reshape(-1, 3), expected, atol=1e-4)


def test_the_manifest_carries_the_origin_and_the_proof_on_photographs(
    runs: dict[str, tuple[Path, Path]], exported: Path
) -> None:
    manifest = open_version(exported).manifest
    assert manifest.info == load_checkpoint(runs["there"][1]).info
    assert manifest.info.origin == tuple(OFFSET)
    assert abs(manifest.parity["photographs"]["loss_db"]) < 0.05


def test_the_origin_of_a_checkpoint_is_told_to_the_metre(
    runs: dict[str, tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_main(["inspect", str(runs["there"][1])]) == 0
    assert "origin: 500000 5400000 0\n" in capsys.readouterr().out


def test_a_run_is_not_resumed_on_data_at_another_place(
    runs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"resume: .* with the origin \[0\.0, 0\.0, 0\.0\], the data"):
        train_instant_ngp(
            runs["there"][0], tmp_path, training=TRAINING, max_steps=64, model=MODEL, resume=runs["here"][1]
        )


def test_a_model_in_world_coordinates_is_refused(runs: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    box = [499_998.5, 5_399_998.5, -1.5, 500_001.5, 5_400_001.5, 1.5]
    with pytest.raises(
        ConfigError, match=r"model\.scene_bounds: got .* relative to the scene's origin \[500"
    ):
        train_instant_ngp(runs["there"][0], tmp_path, model={"scene_bounds": box}, max_steps=2)
