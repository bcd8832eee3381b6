"""Figures of a run beside its loss and metrics: rates, training time, gradient norm, voxel statistics."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from neurocity.errors import ConfigError
from neurocity.training.budget import TrainingClock


class Throughput(TrainingClock):
    """Logs `train/seconds`, and rays/s and samples/s between log steps; validation is not counted.

    The module counts `trained_rays` and `trained_samples`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._logged = (0, 0, 0.0)

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        super().on_train_start(trainer, module)
        self._logged = self._counts(module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        super().on_train_batch_end(trainer, module)
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        counts = self._counts(module)
        rays, samples, seconds = (now - before for now, before in zip(counts, self._logged, strict=True))
        seconds = max(seconds, 1e-9)
        module.log_dict({"rays/s": rays / seconds, "samples/s": samples / seconds}, prog_bar=True)
        module.log("train/seconds", self.seconds)
        self._logged = counts

    def _counts(self, module: Any) -> tuple[int, int, float]:
        return module.trained_rays, module.trained_samples, self.seconds


class GradientNorm(Callback):
    """Logs `train/gradient_norm`, the Euclidean norm over all parameters before clipping."""

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if (trainer.global_step + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        pl_module.log("train/gradient_norm", torch.nn.utils.get_total_norm(gradients))


class VoxelStatisticsCallback(Callback):
    """Every few epochs, writes the model's `get_voxel_statistics()` as `voxel_stats/*` to every logger.

    Raises ConfigError for a model that has no such statistics.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        if every_n_epochs < 1:
            raise ConfigError(f"every_n_epochs: got {every_n_epochs}, expected at least 1")
        self.every_n_epochs = every_n_epochs

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        if not callable(getattr(pl_module.model, "get_voxel_statistics", None)):
            raise ConfigError(
                f"VoxelStatisticsCallback: {type(pl_module.model).__name__} has no get_voxel_statistics()"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        model: Any = pl_module.model
        statistics = model.get_voxel_statistics()
        figures = {f"voxel_stats/{name}": value for name, value in statistics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)
