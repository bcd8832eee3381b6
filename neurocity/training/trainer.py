"""The Lightning trainer of the one-call API and of `neurocity train`."""

import errno
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO

from neurocity.checkpoint import write_content
from neurocity.errors import ConfigError, MissingDependencyError, TrainingError, TrainingInterruptedError
from neurocity.training.callbacks import BestAndLast, ProgressBar
from neurocity.training.config import TrainingConfig
from neurocity.training.data import SceneDataModule
from neurocity.training.interruption import Interruption
from neurocity.training.module import RadianceFieldModule

# Lightning warns of its own use of torch, of resumed runs, and of a hook that the module has on purpose.
_EXPECTED_WARNINGS = (
    ("`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning),
    ("Checkpoint directory .* exists and is not empty", UserWarning),
    ("The dirpath has changed from", UserWarning),
    # Batches depend on the step alone, so there is nothing of the loader to resume.
    ("You're resuming from a checkpoint that ended before the epoch ended", UserWarning),
    ("You have overridden `on_after_batch_transfer` in `LightningModule`", UserWarning),
)

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes as `write_content` does; Lightning's own way leaves a part of a file where the disk is full."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, *_: Any, **__: Any) -> None:
        write_content(checkpoint, Path(path))


class ConfiguredTrainer(pl.Trainer):
    """A Lightning trainer that knows what it trains and on what: `fit()` needs no arguments."""

    def __init__(self, module: RadianceFieldModule, data: SceneDataModule, **lightning: Any) -> None:
        self.interruption = Interruption()
        lightning["callbacks"] = [*lightning.get("callbacks", ()), self.interruption]
        super().__init__(**lightning)
        self.module = module
        self.data = data

    def fit(
        self,
        model: pl.LightningModule | None = None,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: pl.LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train as `pl.Trainer.fit` does.

        Raises TrainingInterruptedError after SIGINT and SIGTERM, when `last.ckpt` is saved, and TrainingError
        when the disk is full.
        """
        if train_dataloaders is None and val_dataloaders is None and datamodule is None:
            datamodule = self.data
        with warnings.catch_warnings():
            for message, category in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message, category)
            try:
                super().fit(
                    self.module if model is None else model,
                    train_dataloaders,
                    val_dataloaders,
                    datamodule,
                    ckpt_path,
                    weights_only,
                )
            except SystemExit:  # Lightning's answer to KeyboardInterrupt
                raise TrainingInterruptedError(self.interruption.outcome) from None
            except OSError as error:
                if error.errno in _FULL_DISK:
                    raise TrainingError(
                        f"{self.default_root_dir}: cannot be written ({error.strerror}); checkpoints that "
                        "were saved before are intact. Make room, and resume from the last"
                    ) from error
                raise


def build_trainer(
    module: RadianceFieldModule,
    data: SceneDataModule,
    *,
    gpus: int,
    logger: Logger | bool = False,
    checkpoint_dir: Path | None = None,
    callbacks: Sequence[Callback] = (),
    **lightning: Any,
) -> ConfiguredTrainer:
    """A trainer with the settings of the module's configuration.

    It keeps the three best checkpoints by `val/psnr` and the last one, unless `callbacks` has a
    ModelCheckpoint, and shows a progress bar unless `enable_progress_bar` is False.
    gpus: how many of this machine; 0 trains on the CPU, -1 on all there are. checkpoint_dir: beside the logs
    when None. lightning: further options of `pl.Trainer`, which win over those made here.
    Raises ConfigError, and MissingDependencyError when GPUs are asked for that are not there.
    """
    config: TrainingConfig = module.config
    devices = _devices(gpus)
    if lightning.get("precision") in (16, "16", "16-mixed", "16-true") and devices["accelerator"] == "cpu":
        raise ConfigError(
            f"precision: got {lightning['precision']!r} with gpus=0, but float16 trains on GPUs only; "
            "'bf16-mixed' and '32-true' work on the CPU"
        )
    given = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    if not given and lightning.get("enable_checkpointing", True):
        callbacks = [*callbacks, BestAndLast(checkpoint_dir)]
    if lightning.get("enable_progress_bar", True):
        callbacks = [*callbacks, ProgressBar(refresh_rate=10)]
    settings: dict[str, Any] = {
        **devices,
        "logger": logger,
        "callbacks": list(callbacks),
        "gradient_clip_val": config.gradient_clip_val,
        "gradient_clip_algorithm": config.gradient_clip_algorithm,
        "log_every_n_steps": min(50, len(data.train_dataset)),
        "num_sanity_val_steps": 0,
        "enable_model_summary": False,
        "benchmark": False,
        "plugins": [WholeCheckpointIO()],
    }
    return ConfiguredTrainer(module, data, **{**settings, **lightning})


def _devices(gpus: int) -> dict[str, Any]:
    """Lightning's options for a number of GPUs; never silently another device."""
    if gpus == 0:
        return {"accelerator": "cpu", "devices": 1}
    there = torch.cuda.device_count()
    if gpus < -1:
        raise ConfigError(f"gpus: got {gpus}, expected 0 for the CPU, a number of GPUs, or -1 for all")
    if there == 0:
        raise MissingDependencyError(
            f"gpus={gpus}: torch finds no CUDA device here; gpus=0 trains on the CPU"
        )
    if gpus > there:
        raise MissingDependencyError(f"gpus={gpus}: torch finds {there} here; gpus={there} would work")
    return {"accelerator": "gpu", "devices": gpus}
