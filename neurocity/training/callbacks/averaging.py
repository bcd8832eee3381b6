"""The averaged weights, which validation, evaluation and export use."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class WeightAverage(WeightAveraging):
    """Lightning's exponential moving average of the weights, updated every few steps to cost little.

    decay: of the average per step. Young averages follow the weights more closely: the n-th update keeps at
    most (1 + n) / (10 + n) of the average, so that the first weights do not stay in it for long. Buffers (the
    occupancy grid) are copied, not averaged. A model whose parameters change size in training changes its
    average likewise, see `RadianceFieldModule.averaged_models`.
    """

    EVERY = 10

    def __init__(self, decay: float) -> None:
        self.decay = decay
        super().__init__(use_buffers=False, multi_avg_fn=self._average)
        self._swapped = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:  # noqa: ARG002
        """After each of the first steps, and after every tenth."""
        step = 0 if step_idx is None else step_idx + 1
        return 0 < step <= self.EVERY or (step > 0 and step % self.EVERY == 0)

    def _average(self, averages: Any, weights: Any, updates: Tensor | int) -> None:
        count = int(updates)
        # As many steps as lie between two updates: one at first, later ten.
        steps = 1 if count < self.EVERY else self.EVERY
        kept = min(self.decay**steps, (1 + count) / (10 + count))
        torch._foreach_lerp_(averages, weights, 1.0 - kept)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """The trainer may be used again, to validate another module for one."""
        self._average_model = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:  # noqa: ARG002
        self.restore_weights(pl_module)

    def restore_weights(self, pl_module: pl.LightningModule) -> None:
        """After a validation that was broken off, give the module its own weights back."""
        if self._swapped:
            self._swap_models(pl_module)

    def _swap_models(self, pl_module: pl.LightningModule) -> None:
        super()._swap_models(pl_module)
        self._swapped = not self._swapped
