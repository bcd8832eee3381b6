"""Pictures of validation views."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from neurocity.errors import ConfigError
from neurocity.light import Bytes, to_bytes


class RenderingCallback(Callback):
    """Every few epochs, writes the first validation views, each photograph beside its render.

    folder: where `step-N-view-V.png` go; `validation` below the trainer's default_root_dir when None. views:
    how many. TensorBoard and W&B get the pictures too. What is written is what validation rendered, so the
    pictures are of the averaged weights where an average is kept, and cost no second rendering.
    """

    def __init__(self, folder: Path | str | None = None, *, every_n_epochs: int = 1, views: int = 1) -> None:
        for name, value in (("every_n_epochs", every_n_epochs), ("views", views)):
            if value < 1:
                raise ConfigError(f"{name}: got {value}, expected at least 1")
        self.folder = None if folder is None else Path(folder)
        self.every_n_epochs = every_n_epochs
        self.views = views

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """`outputs` has the `image` and the `truth`, [H, W, 3] in [0, 1], of `validation_step`."""
        if trainer.sanity_checking or trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        if batch_idx >= self.views or (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        both = torch.cat([outputs["truth"], outputs["image"]], dim=1)
        pixels = to_bytes(both.cpu().numpy())
        folder = self.folder or Path(trainer.default_root_dir) / "validation"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"step-{trainer.global_step:06d}-view-{batch_idx}.png")
        self._log(trainer, f"validation/view-{batch_idx}", pixels)

    def _log(self, trainer: pl.Trainer, name: str, pixels: Bytes) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, pixels, trainer.global_step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(name, [Image.fromarray(pixels)])
