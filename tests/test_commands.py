"""The command `neurocity` from arguments to exit code, on a small scene."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sphere_photographs import CENTER, FOV_DEGREES, RADIUS, SIZE
from tiny_families import MODELS, TRAININGS

from neurocity.cameras import Camera
from neurocity.checkpoint import load_checkpoint
from neurocity.cli import main
from neurocity.data.load import load_scene
from neurocity.families import FAMILIES, find_family
from neurocity.poses import orbit
from neurocity.rendering.views import over_background, render_rays
from neurocity.training.metrics import psnr
from neurocity.training.run_config import read_run_config, with_values


@pytest.fixture
def checkpoint(trained_run: Path) -> Path:
    return trained_run / "checkpoints" / "last.ckpt"


def run(*arguments: str | Path) -> int:
    """The command in this process; returns its exit code."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


def camera_file(path: Path, **changes: Any) -> Path:
    """A camera that looks at the sphere, as JSON; a value of ... removes the entry."""
    camera = Camera.from_fov_y(orbit(20.0, 30.0, 4.0), 24, 16, FOV_DEGREES)
    record: dict[str, Any] = {
        "camera_to_world": camera.camera_to_world.tolist(),
        "width": 24,
        "height": 16,
        "fl_x": camera.fl_x,
        "fl_y": camera.fl_y,
        "cx": 12.0,
        "cy": 8.0,
        **changes,
    }
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not ...}))
    return path


def test_evaluate_prints_a_report(checkpoint: Path, sphere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", checkpoint, "--data", sphere) == 0
    report = json.loads(capsys.readouterr().out)
    opened = load_checkpoint(checkpoint)
    assert report["checkpoint_sha256"] == opened.sha256
    assert (report["family"], report["step"], report["device"]) == ("instant_ngp", 240, "cpu")
    assert report["threads"] == torch.get_num_threads()
    frames = load_scene(sphere).splits["test"]
    assert [row["view"] for row in report["views"]] == [frame.name for frame in frames]
    for row, frame in zip(report["views"], frames, strict=True):
        render = render_rays(opened.model, *map(torch.from_numpy, frame.camera.rays().arrays()))
        image = over_background(render.rgb, render.opacity, (1.0, 1.0, 1.0))
        rgba = torch.from_numpy(frame.load_image()).view(-1, 4).float() / 255.0
        truth = rgba[:, :3] * rgba[:, 3:] + 1.0 - rgba[:, 3:]
        assert row["psnr"] == pytest.approx(psnr(image, truth), abs=1e-3)
        assert 0.0 < row["ssim"] <= 1.0
        assert row["seconds"] > 0.0
    for mean, name in (("psnr", "psnr"), ("ssim", "ssim"), ("seconds_per_frame", "seconds")):
        assert report[mean] == pytest.approx(np.mean([row[name] for row in report["views"]]))


def test_evaluate_pictures_smaller_than_the_window_of_ssim(
    checkpoint: Path, sphere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", checkpoint, "--data", sphere, "--downscale", "2") == 1
    assert "at least 11x11 pixels, got 10x10" in capsys.readouterr().err


def test_evaluate_without_held_out_views(
    checkpoint: Path, sphere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train").symlink_to(sphere / "train")
    document = json.loads((sphere / "transforms_train.json").read_text())
    document["frames"] = document["frames"][:1]
    (tmp_path / "transforms_train.json").write_text(json.dumps(document))
    assert run("evaluate", checkpoint, "--data", tmp_path) == 1
    assert "has no val or test frames" in capsys.readouterr().err


def test_missing_images_can_be_skipped_and_are_said(
    checkpoint: Path, sphere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sphere.glob("t*/*.png"):
        (tmp_path / path.relative_to(sphere)).parent.mkdir(exist_ok=True)
        (tmp_path / path.relative_to(sphere)).symlink_to(path)
    for name in ("transforms_train.json", "transforms_test.json"):
        (tmp_path / name).write_text((sphere / name).read_text())
    (tmp_path / "train/r_1.png").unlink()
    (tmp_path / "train/r_3.png").unlink()
    out = tmp_path / "run"
    options = ["--data", tmp_path, "--out", out, "--max-steps", "1", "--device", "cpu", "--set"]
    options += [f"model.{k}={v}" for k, v in MODELS["instant_ngp"].items() if k != "scene_bounds"]
    for command in (["train", "instant_ngp", *options], ["evaluate", checkpoint, "--data", tmp_path]):
        assert run(*command) == 1
        assert "--missing skip leaves such frames out" in capsys.readouterr().err
        assert run(*command[:2], "--missing", "skip", *command[2:]) == 0
        lines = capsys.readouterr().err.splitlines()
        notes = [line for line in lines if line.startswith("neurocity: note: ")]
        assert len(notes) == 1
        assert "transforms_train.json: 2 of 18 frames are left out, their images are missing" in notes[0]


def test_render_a_camera_with_depth(checkpoint: Path, tmp_path: Path) -> None:
    camera = camera_file(tmp_path / "camera.json")
    image, depth = tmp_path / "image.png", tmp_path / "depth.npy"
    assert run("render", checkpoint, "--camera", camera, "--out", image, "--depth", depth) == 0
    pixels = np.array(Image.open(image))
    assert pixels.shape == (16, 24, 3)
    assert pixels[0, 0].min() > 230, "white beside the sphere"
    distances = np.load(depth)
    assert distances.shape == (16, 24)
    assert distances.dtype == np.float32
    seen = Camera.from_fov_y(orbit(20.0, 30.0, 4.0), 24, 16, FOV_DEGREES)
    column, row = seen.project(CENTER[None])[0][0].astype(int)
    expected = np.linalg.norm(seen.position - CENTER) - RADIUS
    assert abs(distances[row, column] - expected) < 0.5 * RADIUS
    assert pixels[row, column].min() < 200, "coloured on the sphere"


def test_render_a_held_out_view(checkpoint: Path, tmp_path: Path) -> None:
    opened = load_checkpoint(checkpoint)
    for number, view in enumerate(opened.info.views):
        render = render_rays(
            opened.model, *(torch.from_numpy(rays) for rays in Camera.from_view(view).rays().arrays())
        )
        expected = over_background(render.rgb, render.opacity, (1.0, 1.0, 1.0)).view(SIZE, SIZE, 3)
        for name, least in (("image.png", 50.0), ("image.webp", 25.0)):
            assert run("render", checkpoint, "--view", str(number), "--out", tmp_path / name) == 0
            image = torch.from_numpy(np.array(Image.open(tmp_path / name).convert("RGB"))).float() / 255.0
            assert psnr(image, expected) > least, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fl_x": ..., "cy": ...}, "missing: fl_x, cy"),
        ({"fl_x": -1.0}, "fl_x is -1.0"),
        ({"width": 0}, "width is 0"),
        ({"width": "wide"}, "wide"),
        ({"camera_to_world": [[1.0, 0.0], [0.0, 1.0]]}, "camera_to_world has shape"),
        ({"camera_to_world": "identity"}, "camera.json"),
        ({"camera_to_world": (2.0 * np.eye(4)).tolist()}, "last row"),
    ],
)
def test_wrong_cameras_are_named(
    changes: dict[str, Any],
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    camera = camera_file(tmp_path / "camera.json", **changes)
    assert run("render", checkpoint, "--camera", camera, "--out", tmp_path / "image.png") == 1
    error = capsys.readouterr().err
    assert message in error
    assert str(camera) in error
    assert not (tmp_path / "image.png").exists()


@pytest.mark.parametrize("text", ["{", "[1, 2]", "\x00\xff"])
def test_camera_files_that_are_no_json_objects(
    text: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = tmp_path / "camera.json"
    camera.write_text(text, encoding="latin-1")
    assert run("render", checkpoint, "--camera", camera, "--out", tmp_path / "image.png") == 1
    assert str(camera) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "i.png"], 2, "needs one of --camera FILE, --view N and --camera-path FILE"),
        (["--out", "i.png", "--view", "0", "--camera", "c.json"], 2, "needs one of"),
        (["--out", "i.png", "--view", "2"], 2, "view: got 2, the scene has held-out views 0 to 1"),
        (["--out", "i.png", "--view", "-1"], 2, "view: got -1"),
        (["--out", "i.tiff", "--view", "0"], 2, "i.tiff, expected a file that ends in .jpg, .png"),
        (["--out", "i.png", "--view", "0", "--depth", "d.txt"], 2, "d.txt, expected a .npy"),
        (["--out", "i.png", "--camera", "absent.json"], 1, "absent.json: cannot be read as a camera"),
        (["--out", "nowhere/i.png", "--view", "0"], 2, "nowhere"),
        (["--out", "i.png", "--view", "0", "--depth", "nowhere/d.npy"], 2, "nowhere"),
    ],
)
def test_render_refuses_what_it_cannot_do(
    arguments: list[str],
    code: int,
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("render", checkpoint, *arguments) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_train_evaluates_and_resumes(
    sphere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few steps of the real preset, from the command line."""
    out = tmp_path / "run"
    options = ["--data", sphere, "--out", out, "--steps-per-epoch", "3", "--device", "cpu", "--seed", "5"]
    assert run("train", "instant_ngp", *options, "--max-steps", "3") == 0
    last = out / "checkpoints" / "last.ckpt"
    assert capsys.readouterr().out.strip().endswith(str(last))
    assert load_checkpoint(last).step == 3
    assert run("train", "instant_ngp", *options, "--max-steps", "4") == 2
    assert "already holds checkpoints" in capsys.readouterr().err
    assert run("train", "instant_ngp", *options, "--max-steps", "4", "--resume", last) == 0
    assert load_checkpoint(last).step == 4
    record = torch.load(last, weights_only=True)["hyper_parameters"]
    assert record["lightning_config"]["seed"] == 5
    assert record["model_config"]["march_steps"] == 512, "the cpu preset"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_and_its_configuration_can_be_given_back(
    family: str, sphere: Path, tmp_path: Path
) -> None:
    values = [f"model.{name}={json.dumps(value)}" for name, value in MODELS.get(family, {}).items()]
    values += [f"training.{name}={json.dumps(value)}" for name, value in TRAININGS.get(family, {}).items()]
    options = ["--data", sphere, "--out", tmp_path, "--device", "cpu", "--max-steps", "1"]
    assert run("train", family, *options, "--set", "training.seed=3", *values) == 0
    record = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]
    written = read_run_config(tmp_path / "config.yaml")
    assert written.family == record["family"] == family
    parts = find_family(family)
    for kind, section, key in (
        (parts.config_class(), written.model, "model_config"),
        (parts.lightning_config_class(), written.training, "lightning_config"),
    ):
        assert with_values(kind.preset("cpu"), section, where=key) == kind(**record[key])
    assert record["lightning_config"]["seed"] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["train", "instant_ngp", "--data", "absent", "--out", "o", "--max-steps", "1"],
            1,
            "absent: is not a folder",
        ),
        (["train", "instant_ngp", "--data", "absent", "--out", "o", "--max-steps", "one"], 2, "max-steps"),
        (["train", "nerf", "--data", "absent", "--out", "o"], 2, "nerf"),
        (["evaluate", "absent.ckpt", "--data", "absent"], 1, "absent.ckpt: no such file"),
        (["render", "absent.ckpt", "--view", "0", "--out", "i.png"], 1, "absent.ckpt: no such file"),
        (["evaluate", "absent.ckpt"], 2, "data"),
        (["demo-data", "city", "--views", "1"], 2, "views: got 1"),
        (["fly"], 2, "fly"),
        ([], 2, "train"),
    ],
)
def test_wrong_usage_and_missing_inputs(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    assert run(*arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err + captured.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["svrasters"], "got 'svrasters', expected grid_nerf, instant_ngp, mip_nerf or svraster; svraster?"),
        (["nerf"], "got 'nerf', expected grid_nerf, instant_ngp, mip_nerf or svraster; mip_nerf?"),
        (["svraster", "--preset", "gpu"], "got 'gpu', expected paper or cpu; cpu?"),
        (["svraster", "--device", "tpu"], "Expected one of ('auto', 'cpu', 'cuda')"),
    ],
)
def test_a_wrong_choice_names_those_there_are_and_the_nearest(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run("train", *arguments, "--data", "absent", "--out", "o") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "None" not in error


def test_a_missing_gpu_is_exit_code_5(
    checkpoint: Path, sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cuda = ["--device", "cuda"]
    assert run("evaluate", checkpoint, "--data", sphere, *cuda) == 5
    assert run("render", checkpoint, "--view", "0", "--out", tmp_path / "i.png", *cuda) == 5
    out = tmp_path / "run"
    assert run("train", "instant_ngp", "--data", sphere, "--out", out, "--max-steps", "1", *cuda) == 5


def test_demo_data_is_a_dataset(tmp_path: Path) -> None:
    small = [
        "--views",
        "4",
        "--held-out-every",
        "2",
        "--width",
        "12",
        "--height",
        "8",
        "--sparse-points",
        "50",
    ]
    out = tmp_path / "city"
    assert run("demo-data", out, "--blocks", "1", "1", *small, "--samples-per-axis", "1") == 0
    scene = load_scene(out)
    assert sum(len(frames) for frames in scene.splits.values()) == 4
    assert scene.splits["train"][0].load_image().shape == (8, 12, 4)
    assert run("demo-data", out, *small) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    assert run("demo-data", tmp_path / "mine", "--overwrite", *small) == 1
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


@pytest.mark.parametrize("command", ["train", "evaluate", "render", "demo-data", ""])
def test_help_answers_without_torch(command: str) -> None:
    script = (
        "import sys, neurocity.cli as cli\n"
        "try:\n"
        f"    cli.main({[command] if command else []!r} + ['--help'])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "assert 'torch' not in sys.modules, 'help loads torch'\n"
    )
    environment = {**os.environ, "COLUMNS": "100"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (command or "demo-data") in result.stdout
