"""Sweeps: ranked, written down, and not ended by an experiment that fails."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures_training import TINY_MODEL, TINY_TRAINING

from neurocity.checkpoint import read_content
from neurocity.data.datasets import TrainingRays, Views, training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError, TrainingInterruptedError
from neurocity.families import find_family
from neurocity.instant_ngp.lightning_trainer import InstantNGPLightningModule
from neurocity.training.sweep import grid, run_sweep

FAMILY = find_family("instant_ngp")
BASE = FAMILY.lightning_config_class()(model_config=FAMILY.config_class()(**TINY_MODEL), **TINY_TRAINING)


@pytest.fixture(scope="module")
def datasets(sphere: Path) -> tuple[TrainingRays, Views]:
    return training_datasets(load_scene(sphere), batches=20, rays_per_batch=256)


def sweep(configs: Any, datasets: tuple[TrainingRays, Views], out: Path, **options: Any) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run_sweep(configs, *datasets, out=out, gpus=0, max_epochs=1, **options)
    finally:
        torch.set_num_threads(before)


def test_a_grid_has_every_combination() -> None:
    configs = grid(BASE, {"learning_rate": [1e-2, 1e-3], "optimizer_type": ["adam", "adamw"]})
    assert [(config.learning_rate, config.optimizer_type) for config in configs] == [
        (1e-2, "adam"),
        (1e-2, "adamw"),
        (1e-3, "adam"),
        (1e-3, "adamw"),
    ]
    assert all(config.samples_per_batch == BASE.samples_per_batch for config in configs)
    assert grid(BASE, {}) == [BASE]
    with pytest.raises(ConfigError, match=r"has no learning, rate; it has .*learning_rate"):
        grid(BASE, {"learning": [1], "rate": [2]})
    with pytest.raises(ConfigError, match=r"learning_rate: got -1"):
        grid(BASE, {"learning_rate": [-1]})


def test_experiments_are_ranked_and_a_failed_one_is_a_row(
    datasets: tuple[TrainingRays, Views],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = InstantNGPLightningModule.target

    def broken(module: InstantNGPLightningModule, batch: Any) -> Any:
        color, background = target(module, batch)
        return color * (math.nan if module.config.learning_rate == 0.5 else 1.0), background

    monkeypatch.setattr(InstantNGPLightningModule, "target", broken)
    monkeypatch.setenv("COLUMNS", "200")
    configs = grid(BASE, {"learning_rate": [1e-7, 0.5, 1e-2]})
    ranked = sweep(configs, datasets, tmp_path / "sweep")
    assert [experiment.name for experiment in ranked] == ["exp_2", "exp_0", "exp_1"]
    assert ranked[0].psnr > ranked[1].psnr
    assert math.isnan(ranked[2].psnr)
    assert ranked[2].error.startswith("TrainingError: the loss is nan at step 0")
    best = read_content(Path(ranked[0].checkpoint))
    assert best["hyper_parameters"]["metrics"]["val/psnr"] == pytest.approx(ranked[0].psnr, abs=1e-3)
    assert (best["global_step"], ranked[0].steps) == (20, 20)
    with (tmp_path / "sweep" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["learning_rate"] for row in rows] == ["0.01", "1e-07", "0.5"]
    assert list(rows[0]) == [
        "experiment",
        "learning_rate",
        "psnr",
        "ssim",
        "steps",
        "seconds",
        "checkpoint",
        "error",
    ]
    assert float(rows[0]["psnr"]) == pytest.approx(ranked[0].psnr, abs=0.006)
    table = capsys.readouterr().out
    assert table.index("exp_2") < table.index("exp_0") < table.index("exp_1")
    assert "the loss is nan" in table
    with pytest.raises(ConfigError, match="already holds a sweep"):
        sweep(configs, datasets, tmp_path / "sweep")


def test_ctrl_c_ends_the_sweep(
    datasets: tuple[TrainingRays, Views], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(InstantNGPLightningModule, "training_step", interrupted)
    with pytest.raises(TrainingInterruptedError):
        sweep([BASE, BASE], datasets, tmp_path / "sweep", show=False)
    assert not (tmp_path / "sweep" / "exp_1").exists()


def test_nothing_to_train(datasets: tuple[TrainingRays, Views], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="configs: got none"):
        sweep([], datasets, tmp_path)
