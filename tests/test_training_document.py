"""What docs/training.md shows is run, in small; test_training_guide.py has the rest of the Python API."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from neurocity.checkpoint import load_checkpoint
from neurocity.cli import main

DOCUMENT = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
SMALLER = {
    "--max-minutes 12": "--max-steps 3",
    "--max-steps 20000": "--max-steps 3",
    "training_datasets(scene)": "training_datasets(scene, batches=2, rays_per_batch=64)",
    "max_epochs=20": "max_epochs=1, enable_progress_bar=False",
}
"""What the document says -> what is run here."""


def blocks(language: str) -> list[str]:
    """The document's code blocks in a language, made smaller."""
    document = DOCUMENT
    for shown, smaller in SMALLER.items():
        document = document.replace(shown, smaller)
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.S | re.M)


@pytest.fixture
def _in_a_folder_with_photos(sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").symlink_to(sphere)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_in_a_folder_with_photos")
def test_the_commands() -> None:
    (block,) = blocks("sh")
    commands = [shlex.split(line) for line in block.splitlines()]
    assert [words[:2] for words in commands] == [["neurocity", "train"]] * 4
    for words in commands:
        assert main(words[1:]) == 0, words
    first, finer, again = (
        yaml.safe_load(Path(f"runs/{name}/config.yaml").read_text()) for name in ("photos", "finer", "again")
    )
    assert finer["model"]["max_octree_levels"] == 10
    assert finer["training"]["learning_rate"] == 2e-3
    assert (first["training"]["seed"], again["training"]["seed"]) == (0, 1)
    assert again["model"] == first["model"]
    assert load_checkpoint("runs/photos/checkpoints/last.ckpt").step == 3


@pytest.mark.usefixtures("_in_a_folder_with_photos")
def test_the_call() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    with torch.no_grad():
        render = names["trained_model"](torch.tensor([[0.0, -4.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]]))
    assert 0.0 < float(render.opacity) <= 1.0


def test_nothing_is_made_smaller_that_is_not_shown() -> None:
    assert [shown for shown in SMALLER if shown not in DOCUMENT] == []
