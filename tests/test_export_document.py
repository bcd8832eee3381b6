"""What docs/export.md shows is run, in small and in its order."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import nvlabs_model
import pytest
import torch
from PIL import Image
from svraster_scene import random_model

from export import cli
from export.job.__main__ import main as run_alone
from neurocity.cameras import Camera
from neurocity.checkpoint import load_checkpoint

DOCUMENT = (Path(__file__).parents[1] / "docs" / "export.md").read_text()
PROGRAMS = {
    ("neurocity-export",): cli.main,
    ("python", "-X", "faulthandler", "-m", "export.job"): run_alone,
}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.S | re.M)


def _commands() -> list[list[str]]:
    return [shlex.split(line) for block in _blocks("sh") for line in block.splitlines()]


def _smaller(words: list[str]) -> list[str]:
    """An export writes the format that is written fastest, alone; others are as they are shown."""
    if words[0].startswith("{"):
        return [json.dumps(json.loads(words[0]) | {"rays_per_call": 512, "profile_seconds": 0})]
    if not any(word.endswith((".ckpt", "_model.pt")) for word in words[:1]):
        return words
    if "--formats" in words:
        words = [word if word != "all" else "torchscript" for word in words]
    else:
        words = [*words, "--formats", "torchscript"]
    return [*words, "--rays-per-call", "512", "--profile-seconds", "0"]


FASTER = """
from export.job.source import open_checkpoint
def faster(path, cameras):
    return open_checkpoint(path, cameras) if cameras else tiny_checkpoint_in(path)
export.job.run.open_checkpoint = faster
TinyField.halve = lambda self: None
"""
"""In the processes of stages, the tiny field stands for the checkpoint."""


@pytest.fixture
def _in_a_folder_with_runs(
    ngp_checkpoint: Path, sphere: Path, tmp_path: Path, change_stages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_stages(FASTER)
    run = tmp_path / "runs" / "photos" / "checkpoints"
    run.mkdir(parents=True)
    shutil.copy(ngp_checkpoint, run / "last.ckpt")
    (tmp_path / "photos").symlink_to(sphere)
    content = nvlabs_model.model_content(
        random_model(sh_degree=3), center=(0.0, 0.0, 0.0), extent=3.0, outside_level=0
    )
    nvlabs_model.write(content, tmp_path / "svraster" / "lego")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("_in_a_folder_with_runs")
def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for words in _commands():
        (program,) = [names for names in PROGRAMS if tuple(words[: len(names)]) == names]
        arguments = _smaller(words[len(program) :])
        assert PROGRAMS[program](arguments) == 0, (words, capsys.readouterr().err)
        printed = capsys.readouterr().out
        if "--json" in words:
            assert json.loads(printed)
    models = {str(path.parent) for path in Path().rglob("manifest.json")}
    assert models == {
        "model_repository/photos_torchscript/1",
        "model_repository/photos_torchscript_fp16/1",
        "model_repository/photos_torchscript/3",
        "model_repository/json_torchscript/1",
        "model_repository/lego_torchscript/1",
        "models/garden_torchscript/2",
    }


@pytest.mark.usefixtures("_in_a_folder_with_runs")
def test_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = [block for block in _blocks("python") if "run_job" in block]
    exec(block, {})
    assert capsys.readouterr().out == "from_python/photos_torchscript/1\n"
    assert Path("from_python/photos_torchscript/1/model.pt").is_file()


ALONE = """
import runpy, sys
absent = ("torch", "onnx", "neurocity", "export", "serving")
sys.modules.update(dict.fromkeys(absent))  # to import one of them is an error
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0])
"""


def test_the_view_needs_nothing_of_neurocity(
    ngp_repository: Path, ngp_checkpoint: Path, tmp_path: Path
) -> None:
    (block,) = [block for block in _blocks("python") if "onnxruntime" in block]
    script, picture = tmp_path / "view.py", tmp_path / "view.png"
    script.write_text(block)
    artefact = ngp_repository / "ngp_onnx" / "1" / "model.onnx"
    command = [sys.executable, "-I", "-c", ALONE, script, artefact, picture]
    subprocess.run(command, check=True)
    checkpoint = load_checkpoint(ngp_checkpoint)
    camera = Camera.from_view(checkpoint.info.views[0])
    with torch.no_grad():
        render = checkpoint.model(*map(torch.from_numpy, camera.rays().arrays()))
    expected = 255.0 * (render.rgb + (1.0 - render.opacity[:, None])).numpy()
    got = np.asarray(Image.open(picture), dtype=np.float32)
    assert got.shape == (camera.height, camera.width, 3)
    assert np.abs(got.reshape(-1, 3) - expected).max() < 0.51
    assert got.std() > 1.0  # something is to be seen


def test_every_option_and_command_is_explained() -> None:
    options = set(re.findall(r"^│ (--[a-z-]+)", _help(), re.M))
    assert "--resume" in options
    assert options - set(re.findall(r"--[a-z-]+", DOCUMENT)) == set()
    for name in cli.commands():
        assert name in DOCUMENT, name


def _help() -> str:
    """What `neurocity-export --help` prints."""
    command = [sys.executable, "-m", "export.cli", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
