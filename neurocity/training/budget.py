"""How long training lasts: a number of steps, or minutes of training with validation not counted."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from neurocity.errors import ConfigError


class TrainingClock(Callback):
    """Counts the seconds of training: batches, and what a family does between epochs.

    Validation, checkpoints and start-up are not counted. The time spent travels in the checkpoint. In several
    processes all read the clock of the first. now: what tells the time.
    """

    now: ClassVar[Callable[[], float]] = time.monotonic

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def go(self, *_: Any, **__: Any) -> None:
        """Count from now on; does nothing while the clock runs."""
        if self._since is None:
            self._since = type(self).now()

    def stop(self, *_: Any, **__: Any) -> None:
        """Count up to now and no further; does nothing while the clock stands."""
        if self._since is not None:
            self.seconds += type(self).now() - self._since
            self._since = None

    on_train_start = on_train_epoch_start = on_train_batch_start = on_train_epoch_end = go
    # What follows a checkpoint is writing; the next batch or the end of the epoch starts the clock again.
    on_validation_start = on_save_checkpoint = on_train_end = stop

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:  # noqa: ARG002
        self.stop()
        self.go()
        if trainer.world_size > 1:
            self.seconds = trainer.strategy.broadcast(self.seconds)

    def state_dict(self) -> dict[str, Any]:
        running = 0.0 if self._since is None else type(self).now() - self._since
        return {"seconds": self.seconds + running}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = float(state_dict["seconds"])


class TrainingBudget(TrainingClock):
    """Stops training when its steps or minutes are spent, and knows how much of them is.

    With a budget in minutes the number of steps, and so the weights, depend on the machine's speed; with one
    in steps a seed gives the same weights.
    """

    def __init__(self, *, max_steps: int | None, max_minutes: float | None) -> None:
        super().__init__()
        for name, value in (("max_steps", max_steps), ("max_minutes", max_minutes)):
            if value is not None and value <= 0:
                raise ConfigError(f"{name}: got {value}, expected more than 0")
        if max_steps is None and max_minutes is None:
            raise ConfigError("training needs an end: give max_steps, max_minutes or both")
        self.max_steps = max_steps
        self.max_seconds = None if max_minutes is None else 60.0 * max_minutes

    def spent(self, step: int) -> float:
        """Share of the budget that is spent at optimiser step `step`, in [0, 1]."""
        shares = [0.0]
        if self.max_steps is not None:
            shares.append(step / self.max_steps)
        if self.max_seconds is not None:
            shares.append(self.seconds / self.max_seconds)
        return min(max(shares), 1.0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that is resumed after its end takes no step, but makes a validation that was broken off."""
        super().on_train_start(trainer, pl_module)
        if not trainer.fit_loop.epoch_loop.val_loop.restarted_mid_evaluation:
            self._end(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        super().on_train_batch_end(trainer, pl_module)
        self._end(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self._end(trainer)

    def _end(self, trainer: pl.Trainer) -> None:
        if self.spent(trainer.global_step) >= 1.0:
            trainer.should_stop = True
