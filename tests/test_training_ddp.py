"""Two CPU processes train as one does, and end with the same model."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import ddp_training
import pytest
import torch

from neurocity.families import FAMILIES


@pytest.fixture(scope="module")
def two_processes(sphere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what two processes end with, for every family."""
    out = tmp_path_factory.mktemp("two_processes")
    script = Path(ddp_training.__file__)
    subprocess.run([sys.executable, str(script), str(sphere), str(out), "2"], check=True, cwd=out)
    return out


def ending(folder: Path, family: str, rank: int) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / f"{family}-{rank}.pt", weights_only=True)
    return content


@pytest.mark.parametrize("family", FAMILIES)
def test_processes_stay_the_same(family: str, two_processes: Path) -> None:
    """Weights, occupancy, octree, resolutions, the size of batches, and what validation says."""
    first, second = (ending(two_processes, family, rank) for rank in range(2))
    assert first["rays_per_batch"] == second["rays_per_batch"]
    assert first["metrics"] == second["metrics"]
    assert first["state"].keys() == second["state"].keys()
    for name, value in first["state"].items():
        assert torch.equal(value, second["state"][name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_learn_what_one_does(
    family: str, two_processes: Path, sphere: Path, tmp_path: Path
) -> None:
    ddp_training.train(family, sphere, tmp_path, 1)
    one, two = ending(tmp_path, family, 0), ending(two_processes, family, 0)
    assert two["metrics"]["val/psnr"] == pytest.approx(one["metrics"]["val/psnr"], abs=0.1)
    if family != "instant_ngp":
        return
    assert one["rays_per_batch"] == two["rays_per_batch"]
    for name, value in one["state"].items():
        difference = (two["state"][name].double() - value.double()).abs().nan_to_num(0.0)
        assert float(difference.mean()) < 1e-5, name
