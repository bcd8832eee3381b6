"""Ctrl-C in training: it ends between two steps, with everything saved."""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn

from neurocity.errors import TrainingInterruptedError
from neurocity.training.callbacks.averaging import WeightAverage

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption(Callback):
    """On SIGINT or SIGTERM, saves `last.ckpt` after the running step and raises TrainingInterruptedError.

    The file goes where the trainer's first ModelCheckpoint keeps its own. A running validation is broken off.
    A second signal leaves at once, without saving. A signal to one process ends all of them.

    requested: whether there was a signal. outcome: what is saved, in words.
    """

    def __init__(self) -> None:
        self.requested = False
        self.outcome = "interrupted, and left without saving"
        self._rendering = False
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        # Not before: Lightning has set handlers of its own by now, and takes all back when training ends.
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        self._restore_handlers()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if self._requested_anywhere(trainer):
            self._leave(trainer, pl_module)

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if self._requested_anywhere(trainer):
            # What tells Lightning, on resuming, that this validation is still to be made.
            trainer.fit_loop.epoch_loop.val_loop.batch_progress.increment_started()
            self._leave(trainer, pl_module)
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
            self._save(trainer, pl_module)

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

    def _requested_anywhere(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            return self.requested
        return bool(trainer.strategy.reduce_boolean_decision(self.requested, all=False))

    def _leave(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._save(trainer, module)
        raise TrainingInterruptedError(self.outcome)

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAverage):
                callback.restore_weights(module)
        keeper = trainer.checkpoint_callback
        outcome = f"interrupted after step {trainer.global_step}"
        if isinstance(keeper, ModelCheckpoint) and keeper.dirpath is not None:
            path = Path(keeper.dirpath) / f"{keeper.CHECKPOINT_NAME_LAST}{keeper.FILE_EXTENSION}"
            # So that the resumed run overwrites this file, not others.
            keeper.last_model_path = str(path)
            trainer.save_checkpoint(path)
            outcome += f", which is saved in {path}"
        self.outcome = outcome
