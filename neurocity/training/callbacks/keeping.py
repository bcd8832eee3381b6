"""Which checkpoints of a run are kept."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint


class BestAndLast(ModelCheckpoint):
    """The three best checkpoints by `val/psnr`, and `last.ckpt` of the last validation, whatever that says.

    Lightning writes its last checkpoint only where a best one is written: a run whose views get worse would
    end with what it was before.
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__(
            dirpath=folder,
            filename="step-{step:06d}-psnr-{val/psnr:.2f}",
            auto_insert_metric_name=False,
            monitor="val/psnr",
            mode="max",
            save_top_k=3,
            save_last=True,
            # Or else a run that goes on in another place than it began writes last-v1.ckpt.
            enable_version_counter=False,
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if not self._should_save_on_train_epoch_end(trainer):
            self._keep_last(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self._should_save_on_train_epoch_end(trainer):
            self._keep_last(trainer)

    def _keep_last(self, trainer: pl.Trainer) -> None:
        """Write `last.ckpt` where no checkpoint of this step was among the best."""
        if not self._should_skip_saving_checkpoint(trainer):  # as it does for a step that is saved
            assert self.dirpath is not None, "it is set up by now"
            path = Path(self.dirpath) / f"{self.CHECKPOINT_NAME_LAST}{self.FILE_EXTENSION}"
            self.last_model_path = str(path)
            trainer.save_checkpoint(path)
