"""The Lightning module in the hands of Lightning's users: their own trainers, loaders and callbacks."""

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from fixtures_training import TINY_MODEL, TINY_TRAINING
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from torch.utils.data import DataLoader

from neurocity.data.datasets import RayBatch, TrainingRays, Views, training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError
from neurocity.instant_ngp.core import InstantNGPConfig
from neurocity.instant_ngp.lightning_trainer import InstantNGPLightningConfig, InstantNGPLightningModule
from neurocity.rendering.occupancy import OCCUPIED
from neurocity.training.callbacks import WeightAverage


@contextmanager
def lightning_remarks() -> Iterator[None]:
    """Lightning remarks on loaders without workers, and on a torch function that it uses itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*", UserWarning)
        warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "The number of training batches", UserWarning)
        yield


def module(**training: Any) -> InstantNGPLightningModule:
    pl.seed_everything(0, verbose=False)
    return InstantNGPLightningModule(
        InstantNGPConfig(**TINY_MODEL), InstantNGPLightningConfig(**{**TINY_TRAINING, **training})
    )


def quick_trainer(folder: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
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


def test_the_scene_is_learned_of_from_the_datasets(sphere: Path, tmp_path: Path) -> None:
    """With the scene where `training_datasets` made them, without where they are of frames alone."""
    scene = load_scene(sphere)
    rays, views = training_datasets(scene, batches=2, rays_per_batch=64)
    known, guessed = module(), module()
    with lightning_remarks():
        quick_trainer(tmp_path).fit(known, *(DataLoader(data, batch_size=1) for data in (rays, views)))
        quick_trainer(tmp_path, limit_train_batches=2).fit(guessed, *loaders(sphere))
    assert known.scene is not None
    assert guessed.scene is not None
    assert known.scene.dataset_fingerprint == scene.fingerprint()
    assert known.hparams["scene"]["dataset_fingerprint"] == scene.fingerprint()
    assert [view.name for view in known.scene.views] == [frame.name for frame in scene.held_out]
    assert known.scene.bounds == guessed.scene.bounds == TINY_MODEL["scene_bounds"]
    assert known.scene.background == guessed.scene.background == (1.0, 1.0, 1.0)
    assert guessed.scene.up == (0.0, 0.0, 1.0)
    assert [view.name for view in guessed.scene.views] == [frame.name for frame in scene.splits["val"]]


def test_training_starts_from_the_hull_once(sphere: Path, tmp_path: Path) -> None:
    """Not again in a model that was trained: it would lose what it learned."""
    starts: list[TrainingRays] = []

    class Counted(InstantNGPLightningModule):
        def start(self, rays: TrainingRays) -> None:
            super().start(rays)
            starts.append(rays)

    config = InstantNGPLightningConfig(**TINY_TRAINING)
    trained = Counted(TINY_MODEL, config)
    with lightning_remarks():
        trainer = quick_trainer(tmp_path, limit_train_batches=1, limit_val_batches=0)
        trainer.fit(trained, *loaders(sphere))
        assert (trained.model.occupancy.jump == OCCUPIED).float().mean() < 0.9
        trainer.save_checkpoint(tmp_path / "trained.ckpt")
        for again in (trained, Counted.load_from_checkpoint(tmp_path / "trained.ckpt")):
            other = quick_trainer(tmp_path, limit_train_batches=1, limit_val_batches=0)
            other.fit(again, *loaders(sphere))
    assert len(starts) == 1


def test_foreign_data_trains_with_a_warning(sphere: Path, tmp_path: Path) -> None:
    rays = TrainingRays(load_scene(sphere).splits["train"], rays_per_batch=64)

    class Foreign(torch.utils.data.Dataset[RayBatch]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> RayBatch:
            return rays[index]

    trained, data = module(), DataLoader(Foreign(), batch_size=2)
    trainer = quick_trainer(tmp_path, limit_val_batches=0)
    message = "the training data is no TrainingRays.* if the module got a `scene`"
    with lightning_remarks(), pytest.warns(UserWarning, match=message):
        trainer.fit(trained, data, loaders(sphere)[1])
    assert trained.trained_rays == 128
    assert trained.scene is None


@pytest.mark.parametrize("asked", ["config", "trainer"])
def test_gradients_are_clipped_as_the_trainer_or_else_the_configuration_says(
    asked: str, sphere: Path, tmp_path: Path
) -> None:
    norms: list[float] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, _: pl.Trainer, pl_module: pl.LightningModule, *__: object) -> None:
            gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    options = {"gradient_clip_val": 1e-3} if asked == "trainer" else {}
    trainer = quick_trainer(tmp_path, Watch(), limit_val_batches=0, limit_train_batches=3, **options)
    with lightning_remarks():
        trainer.fit(module(gradient_clip_val=1e-3 if asked == "config" else 1.0), *loaders(sphere))
    assert norms == pytest.approx([1e-3] * 3, rel=1e-3)


def test_a_group_keeps_the_learning_rate_that_it_names(sphere: Path, tmp_path: Path) -> None:
    class TwoRates(InstantNGPLightningModule):
        def parameter_groups(self) -> list[dict[str, Any]]:
            tables, networks = super().parameter_groups()
            return [tables, {**networks, "lr": 5e-4}]

    trained = TwoRates(TINY_MODEL, {**TINY_TRAINING, "warmup_steps": 0, "scheduler_type": "none"})
    trainer = quick_trainer(tmp_path, limit_train_batches=2, limit_val_batches=0)
    with lightning_remarks():
        trainer.fit(trained, *loaders(sphere))
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == [1e-2, 5e-4]


def test_an_average_of_the_users_own_is_the_only_one(sphere: Path, tmp_path: Path) -> None:
    trainer = quick_trainer(tmp_path, WeightAveraging(), limit_train_batches=2, limit_val_batches=0)
    with lightning_remarks():
        trainer.fit(module(), *loaders(sphere))
    assert not any(isinstance(callback, WeightAverage) for callback in trainer.callbacks)  # type: ignore[attr-defined]


def test_randomness_of_a_step_depends_on_seed_step_and_use(sphere: Path, tmp_path: Path) -> None:
    draws: dict[tuple[int, int], float] = {}

    class Draws(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *_: object) -> None:
            for stream in range(2):
                draws[trainer.global_step, stream] = float(
                    torch.rand((), generator=pl_module.generator(stream))
                )

    with lightning_remarks():
        for _ in range(2):
            before = dict(draws)
            trainer = quick_trainer(tmp_path, Draws(), limit_train_batches=4, limit_val_batches=0)
            trainer.fit(module(), *loaders(sphere))
    assert draws == before
    assert len(set(draws.values())) == 8


def test_configurations_may_be_given_in_every_way() -> None:
    model = InstantNGPConfig(**TINY_MODEL)
    training = InstantNGPLightningConfig(**TINY_TRAINING, model_config=model)
    for made in (
        InstantNGPLightningModule(training),
        InstantNGPLightningModule(lightning_config=training),
        InstantNGPLightningModule(model, training),
        InstantNGPLightningModule(TINY_MODEL, {**TINY_TRAINING, "model_config": TINY_MODEL}),
    ):
        assert made.model.config == model
        assert made.hparams["model_config"] == dataclasses.asdict(model)
        assert made.hparams["lightning_config"]["model_config"] is None
    for wrong, message in (
        ({"model_config": 3}, "model_config: got a int, expected a InstantNGPConfig"),
        ({"model_config": {"depth": 3}}, "model_config: .*unexpected keyword argument 'depth'"),
        ({"model_config": model, "lightning_config": model}, "expected a InstantNGPLightningConfig"),
    ):
        with pytest.raises(ConfigError, match=message):
            InstantNGPLightningModule(**wrong)
