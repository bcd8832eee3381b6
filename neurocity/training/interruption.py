"""Ctrl-C in training: it ends between two steps, with everything saved."""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from neurocity.errors import TrainingInterruptedError
from neurocity.training.callbacks.averaging import WeightAverage

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption(Callback):
    """On SIGINT or SIGTERM, saves `last.ckpt` after the running step and raises TrainingInterruptedError.

    The file goes where the trainer's first ModelCheckpoint keeps its own. A running validation is broken off.
    A second signal leaves at once, without saving. Of several processes all end with the first that is told
    to.

    requested: whether there was a signal. outcome: what is saved, in words.
    """

    def __init__(self) -> None:
        self.requested = False
        self.outcome = "interrupted, and left without saving"
        self._rendering = False
        self._handlers: dict[int, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        self._restore_handlers()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._leave(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        if not trainer.sanity_checking:
            self._leave(trainer)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        # Processes that render on would wait for the one that left.
        self._rendering = trainer.world_size == 1

    def on_validation_batch_end(self, *_: Any) -> None:
        self._rendering = False

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._restore_handlers()
        if self._rendering and self.requested and isinstance(exception, KeyboardInterrupt):
            self._rendering = False
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, WeightAverage):
                    callback.restore_weights(pl_module)
            self._save(trainer)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\ninterrupted: saving; a second time leaves without", file=sys.stderr, flush=True)
        if self._rendering:
            raise KeyboardInterrupt

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _leave(self, trainer: pl.Trainer) -> None:
        requested = self.requested
        if trainer.world_size > 1:
            requested = trainer.strategy.reduce_boolean_decision(requested, all=False)
        if requested:
            self._save(trainer)
            raise TrainingInterruptedError(self.outcome)

    def _save(self, trainer: pl.Trainer) -> None:
        keeper = trainer.checkpoint_callback
        self.outcome = f"interrupted after step {trainer.global_step}"
        if isinstance(keeper, ModelCheckpoint) and keeper.dirpath is not None:
            path = Path(keeper.dirpath) / f"{keeper.CHECKPOINT_NAME_LAST}{keeper.FILE_EXTENSION}"
            # So that the resumed run overwrites this file, not others.
            keeper.last_model_path = str(path)
            trainer.save_checkpoint(path)
            self.outcome += f", which is saved in {path}"
