"""A training run: scene in, checkpoints, logs and pictures out."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger

from neurocity.checkpoint import read_content
from neurocity.data.datasets import training_datasets
from neurocity.data.scene import Scene
from neurocity.data.scene_info import scene_info
from neurocity.errors import ConfigError, MissingDependencyError
from neurocity.families import Family
from neurocity.training.budget import TrainingBudget
from neurocity.training.callbacks import (
    GradientNorm,
    ProgressBar,
    ProgressLines,
    RenderingCallback,
    Throughput,
    WeightAverage,
)
from neurocity.training.config import TrainingConfig
from neurocity.training.data import SceneDataModule
from neurocity.training.module import RadianceFieldModule

# What Lightning says of its own use of torch, and of a run that goes on in its folder or in another.
_EXPECTED_WARNINGS = (
    ("`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning),
    ("Checkpoint directory .* exists and is not empty", UserWarning),
    ("The dirpath has changed from", UserWarning),
    ("You have overridden `on_after_batch_transfer` in `LightningModule`", UserWarning),
)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how long a run goes.

    out: folder of checkpoints, logs and validation pictures. resume: checkpoint to go on from. progress: a
    bar for terminals, plain lines for logs.
    """

    out: Path
    max_steps: int | None = None
    max_minutes: float | None = None
    device: str = "auto"
    resume: Path | None = None
    progress: Literal["bar", "lines", "none"] = "bar"


def train(
    family: Family, scene: Scene, model_config: Any, config: TrainingConfig, options: RunOptions
) -> Path:
    """Train a family on a scene and return the last checkpoint, `<out>/checkpoints/last.ckpt`.

    Beside it stand the three best by `val/psnr`. Raises ConfigError, DataError, TrainingError,
    CheckpointError when `resume` is not one, and MissingDependencyError when CUDA is asked for and absent.
    """
    accelerator = accelerator_of(options.device)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    rays, views = training_datasets(scene, seed=config.seed, batches=config.steps_per_epoch)
    info = scene_info(rays, views, model_config.scene_bounds)
    module = family.lightning_module_class()(model_config, config, info)
    if options.resume is not None:
        _check_same_model(options.resume, module)
    data = SceneDataModule(rays, views)
    checkpoints = options.out / "checkpoints"
    if options.resume is None and checkpoints.exists() and any(checkpoints.iterdir()):
        raise ConfigError(
            f"{checkpoints} already holds checkpoints; choose another folder, or resume with "
            f"--resume {checkpoints / 'last.ckpt'}"
        )
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_steps=-1,
        max_epochs=-1,
        default_root_dir=options.out,
        callbacks=_callbacks(config, options, checkpoints),
        logger=TensorBoardLogger(options.out, name="tensorboard", version=""),
        log_every_n_steps=min(50, config.steps_per_epoch),
        num_sanity_val_steps=0,
        enable_progress_bar=options.progress == "bar",
        enable_model_summary=False,
        gradient_clip_val=config.gradient_clip_val,
        use_distributed_sampler=False,
        benchmark=False,
    )
    with warnings.catch_warnings():
        for message, category in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        trainer.fit(module, datamodule=data, ckpt_path=options.resume, weights_only=True)
    return checkpoints / "last.ckpt"


def _check_same_model(resume: Path, module: RadianceFieldModule) -> None:
    """Raises CheckpointError for a file that is no checkpoint, ConfigError for one of another model."""
    theirs = read_content(resume)["hyper_parameters"]
    if theirs["family"] != module.family:
        raise ConfigError(f"resume: {resume} is of family {theirs['family']}, not {module.family}")
    before, now = theirs["model_config"], module.hparams["model_config"]
    changed = [
        f"{name} is {now[name]}, was {before.get(name)}" for name in now if now[name] != before.get(name)
    ]
    if changed:
        raise ConfigError(f"resume: {resume} has another model: {'; '.join(changed)}")


def accelerator_of(device: str) -> str:
    """Lightning's accelerator for "auto", "cpu" or "cuda"; never a silent other device."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: got {device!r}, expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError("device cuda: torch finds no CUDA device here; use --device cpu")
    if device == "auto":
        return "gpu" if torch.cuda.is_available() else "cpu"
    return "gpu" if device == "cuda" else "cpu"


def _callbacks(config: TrainingConfig, options: RunOptions, checkpoints: Path) -> list[Callback]:
    callbacks: list[Callback] = [
        TrainingBudget(max_steps=options.max_steps, max_minutes=options.max_minutes),
        Throughput(),
        LearningRateMonitor(),
        GradientNorm(),
        RenderingCallback(options.out / "validation"),
        ModelCheckpoint(
            dirpath=checkpoints,
            filename="step-{step:06d}-psnr-{val/psnr:.2f}",
            auto_insert_metric_name=False,
            monitor="val/psnr",
            mode="max",
            save_top_k=3,
            save_last=True,
        ),
    ]
    if config.use_ema:
        callbacks.append(WeightAverage(config.ema_decay))
    if options.progress == "bar":
        callbacks.append(ProgressBar(refresh_rate=10))
    elif options.progress == "lines":
        callbacks.append(ProgressLines())
    return callbacks
