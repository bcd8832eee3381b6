"""What callbacks log, draw and average."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from fixtures_training import TINY_MODEL, TINY_TRAINING, train_instant_ngp
from PIL import Image
from sphere_photographs import SIZE
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from waiting import PATIENCE

from neurocity.data.datasets import training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError
from neurocity.families import find_family
from neurocity.instant_ngp.core import InstantNGP
from neurocity.instant_ngp.lightning_trainer import InstantNGPLightningModule
from neurocity.rendering.occupancy import OCCUPIED
from neurocity.training.api import create_lightning_trainer
from neurocity.training.callbacks import RenderingCallback, VoxelStatisticsCallback

SHORT = {"steps_per_epoch": 6}


def events(run: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run / "tensorboard"))
    accumulator.Reload()
    return accumulator


def scalars(run: Path, name: str) -> list[float]:
    return [event.value for event in events(run).Scalars(name)]


@pytest.fixture
def _voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that counts its voxels: those of its occupancy grid."""

    def statistics(model: InstantNGP) -> dict[str, float]:
        share = float((model.occupancy.jump == OCCUPIED).float().mean())
        return {"voxels": model.occupancy.jump.numel(), "occupied_share": share}

    monkeypatch.setattr(InstantNGP, "get_voxel_statistics", statistics, raising=False)


def test_the_average_follows_the_weights(
    sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed again from the weights after the first ten steps and after every tenth."""
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def remember(module: InstantNGPLightningModule, *_: Any) -> None:
        seen[module.trainer.global_step] = {
            name: value.detach().clone() for name, value in module.named_parameters()
        }

    monkeypatch.setattr(InstantNGPLightningModule, "on_train_batch_end", remember)
    options = {"steps_per_epoch": 33, "ema_decay": 0.93}
    content = torch.load(
        train_instant_ngp(sphere, tmp_path, training=options, max_steps=33), weights_only=True
    )
    for name, last_value in seen[33].items():
        average = seen[1][name].double()
        for update, step in enumerate((*range(2, 11), 20, 30), start=1):
            kept = min(0.93 if step <= 10 else 0.93**10, (1 + update) / (10 + update))
            average = kept * average + (1.0 - kept) * seen[step][name].double()
        torch.testing.assert_close(content["state_dict"][name].double(), average, rtol=1e-4, atol=1e-6)
        assert torch.equal(content["current_model_state"][name], last_value)


def test_the_logged_gradient_norm_is_that_of_all_parameters_before_clipping(
    sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []

    def remember(module: InstantNGPLightningModule, *_: Any) -> None:
        squares = [float((p.grad.double() ** 2).sum()) for p in module.parameters() if p.grad is not None]
        norms.append(sum(squares) ** 0.5)

    monkeypatch.setattr(InstantNGPLightningModule, "on_before_optimizer_step", remember)
    train_instant_ngp(sphere, tmp_path, training={**SHORT, "gradient_clip_val": 1e-4}, max_steps=12)
    assert norms[5] > 1e-3, "clipping would show"
    assert scalars(tmp_path, "train/gradient_norm") == pytest.approx([norms[5], norms[11]], rel=1e-4)


def test_training_time_is_logged_and_survives_resuming(sphere: Path, tmp_path: Path) -> None:
    first = train_instant_ngp(sphere, tmp_path / "one", training=SHORT, max_steps=12)
    train_instant_ngp(sphere, tmp_path / "two", training=SHORT, max_steps=18, resume=first)
    before, after = (scalars(tmp_path / run, "train/seconds") for run in ("one", "two"))
    assert 0.0 < before[0] < before[1] < after[0]


@pytest.mark.usefixtures("_voxels")
def test_voxel_statistics_of_every_epoch_are_written(sphere: Path, tmp_path: Path) -> None:
    every = [VoxelStatisticsCallback()]
    train_instant_ngp(sphere, tmp_path / "all", training=SHORT, max_steps=18, callbacks=every)
    assert scalars(tmp_path / "all", "voxel_stats/voxels") == [32**3] * 3
    assert all(0.0 < share < 1.0 for share in scalars(tmp_path / "all", "voxel_stats/occupied_share"))
    own = [VoxelStatisticsCallback(every_n_epochs=2)]
    train_instant_ngp(sphere, tmp_path / "some", training=SHORT, max_steps=18, callbacks=own)
    assert [event.step for event in events(tmp_path / "some").Scalars("voxel_stats/voxels")] == [12]


def test_models_without_voxels_have_no_voxel_statistics(sphere: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"InstantNGP has no get_voxel_statistics\(\)"):
        train_instant_ngp(sphere, tmp_path, max_steps=1, callbacks=[VoxelStatisticsCallback()])


def test_pictures_of_some_views_after_some_epochs(sphere: Path, tmp_path: Path) -> None:
    own = RenderingCallback(tmp_path / "pictures", every_n_epochs=2, views=2)
    train_instant_ngp(sphere, tmp_path / "run", training=SHORT, max_steps=24, callbacks=[own])
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"step-0000{step}-view-{view}.png" for step in (12, 24) for view in (0, 1)]
    with Image.open(tmp_path / "pictures" / names[0]) as picture:
        assert picture.size == (2 * SIZE, SIZE)
    assert {"validation/view-0", "validation/view-1"} <= set(events(tmp_path / "run").Tags()["images"])


@pytest.mark.parametrize("build", [RenderingCallback, VoxelStatisticsCallback])
def test_intervals_are_whole_epochs(build: Any) -> None:
    with pytest.raises(ConfigError, match="every_n_epochs: got 0, expected at least 1"):
        build(every_n_epochs=0)


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    wandb = pytest.importorskip("wandb", reason="needs wandb: pip install 'neurocity[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.finish()


@pytest.mark.usefixtures("_voxels", "_offline")
def test_wandb_gets_figures_statistics_and_pictures(sphere: Path, tmp_path: Path) -> None:
    from pytorch_lightning.loggers import WandbLogger  # noqa: PLC0415, an extra

    family = find_family("instant_ngp")
    logger = WandbLogger(project="neurocity-test", name="tiny", save_dir=tmp_path)
    config = family.lightning_config_class()(
        model_config=family.config_class()(**TINY_MODEL), **{**TINY_TRAINING, **SHORT}
    )
    rays, views = training_datasets(load_scene(sphere), batches=6, rays_per_batch=128)
    trainer = create_lightning_trainer(
        config,
        rays,
        views,
        gpus=0,
        max_epochs=2,
        logger=logger,
        callbacks=[RenderingCallback(tmp_path / "pictures"), VoxelStatisticsCallback()],
        checkpoint_dir=tmp_path / "checkpoints",
        enable_progress_bar=False,
    )
    trainer.fit()
    summary = dict(logger.experiment.summary)
    assert summary["voxel_stats/voxels"] == 32**3
    for name in ("train/loss", "train/seconds", "train/gradient_norm", "val/psnr", "rays/s", "lr-Adam/pg1"):
        assert summary[name] > 0.0, name
    (picture,) = summary["validation/view-0"]["filenames"]
    assert list(tmp_path.rglob(Path(picture).name))
    assert len(list((tmp_path / "pictures").iterdir())) == 2


@pytest.mark.usefixtures("_offline")
def test_the_command_logs_to_wandb(sphere: Path, tmp_path: Path) -> None:
    train_instant_ngp(sphere, tmp_path / "run", training=SHORT, max_steps=6, logger="wandb")
    (stored,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    # What was finished is written a moment later, by a process of its own.
    until = time.monotonic() + PATIENCE
    while b"train/loss" not in stored.read_bytes():
        assert time.monotonic() < until
        time.sleep(0.1)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_unknown_loggers_are_refused(sphere: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="logger: got 'comet', expected tensorboard or wandb"):
        train_instant_ngp(sphere, tmp_path, max_steps=1, logger="comet")


def test_early_stopping_ends_a_run_that_no_longer_improves(
    sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(module: InstantNGPLightningModule, *_: Any) -> None:
        module.log("val/psnr", 10.0 - module.trainer.current_epoch, batch_size=1)

    monkeypatch.setattr(InstantNGPLightningModule, "validation_step", worse)
    options = {"max_steps": 60, "early_stopping_patience": 2}
    monkeypatch.setattr(RenderingCallback, "on_validation_batch_end", pl.Callback.on_validation_batch_end)
    path = train_instant_ngp(sphere, tmp_path, training=SHORT, **options)
    assert torch.load(path, weights_only=True)["global_step"] == 18
