"""The Lightning module in the hands of Lightning's users: their own trainers, loaders and callbacks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from fixtures_training import TINY_MODEL, TINY_TRAINING
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

from neurocity.data.datasets import TrainingRays, Views
from neurocity.data.load import load_scene
from neurocity.instant_ngp.core import InstantNGPConfig
from neurocity.instant_ngp.lightning_trainer import InstantNGPLightningConfig, InstantNGPLightningModule


@contextmanager
def lightning_remarks() -> Iterator[None]:
    """Lightning remarks on loaders without workers, and on a torch function that it uses itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*", UserWarning)
        warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "The number of training batches", UserWarning)
        yield


def module() -> InstantNGPLightningModule:
    pl.seed_everything(0, verbose=False)
    return InstantNGPLightningModule(
        InstantNGPConfig(**TINY_MODEL), InstantNGPLightningConfig(**TINY_TRAINING)
    )


def loaders(sphere: Path) -> tuple[DataLoader, DataLoader]:
    scene = load_scene(sphere)
    rays = TrainingRays(scene.splits["train"], batches=12, rays_per_batch=128)
    return DataLoader(rays, batch_size=None), DataLoader(Views(scene.splits["val"]), batch_size=None)


def test_a_hand_made_trainer_fits_and_its_checkpoint_loads(sphere: Path, tmp_path: Path) -> None:
    best = ModelCheckpoint(
        dirpath=tmp_path / "checkpoints", monitor="val/psnr", mode="max", save_top_k=2, save_last=True
    )
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        devices=1,
        default_root_dir=tmp_path,
        logger=False,
        callbacks=[best, EarlyStopping(monitor="val/psnr", patience=20, mode="max")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trained = module()
    with lightning_remarks():
        trainer.fit(trained, *loaders(sphere))
    assert trainer.global_step == 36
    assert best.best_model_score is not None
    loaded = InstantNGPLightningModule.load_from_checkpoint(best.best_model_path, weights_only=True).eval()
    assert loaded.config == trained.config
    assert loaded.model.config == trained.model.config
    origins, directions = torch.tensor([[0.0, -4.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    with torch.no_grad():
        assert float(loaded.model(origins, directions).opacity) > 0.0
    with lightning_remarks():
        (metrics,) = trainer.validate(loaded, loaders(sphere)[1], verbose=False)
    assert metrics["val/psnr"] == pytest.approx(float(best.best_model_score), abs=1e-4)


def test_the_learning_rate_anneals_over_the_epochs_of_a_hand_made_trainer(
    sphere: Path, tmp_path: Path
) -> None:
    rates: list[float] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    trainer = pl.Trainer(
        max_epochs=4,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        callbacks=[Watch()],
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    with lightning_remarks():
        trainer.fit(module(), *loaders(sphere))
    # Rates are read after a step, when they are those of the next.
    expected = [1e-2 * min(1.0, (step + 1) / 20) * 0.03 ** (step / 48) for step in range(1, 49)]
    assert rates == pytest.approx(expected, rel=1e-6)


def test_a_fast_dev_run(sphere: Path, tmp_path: Path) -> None:
    trainer = pl.Trainer(
        fast_dev_run=True,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with lightning_remarks():
        trainer.fit(module(), *loaders(sphere))
    assert trainer.global_step == 1
