"""How long training lasts: a number of steps, or minutes of training with validation not counted."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from neurocity.errors import ConfigError


class TrainingBudget(Callback):
    """Stops training when its steps or minutes are spent, and knows how much of them is.

    Only time in training batches counts; validation, checkpoints and start-up do not. The time already spent
    travels in the checkpoint. With a budget in minutes the number of steps, and so the weights, depend on the
    machine's speed; with one in steps a seed gives the same weights.
    """

    def __init__(self, *, max_steps: int | None, max_minutes: float | None) -> None:
        for name, value in (("max_steps", max_steps), ("max_minutes", max_minutes)):
            if value is not None and value <= 0:
                raise ConfigError(f"{name}: got {value}, expected more than 0")
        if max_steps is None and max_minutes is None:
            raise ConfigError("training needs an end: give max_steps, max_minutes or both")
        self.max_steps = max_steps
        self.max_seconds = None if max_minutes is None else 60.0 * max_minutes
        self.seconds = 0.0
        self._resumed_at = 0.0

    def spent(self, step: int) -> float:
        """Share of the budget that is spent at optimiser step `step`, in [0, 1]."""
        shares = [0.0]
        if self.max_steps is not None:
            shares.append(step / self.max_steps)
        if self.max_seconds is not None:
            shares.append(self.seconds / self.max_seconds)
        return min(max(shares), 1.0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self._resumed_at = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self._resumed_at = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        now = time.monotonic()
        self.seconds += now - self._resumed_at
        self._resumed_at = now
        if self.spent(trainer.global_step) >= 1.0:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = float(state_dict["seconds"])
