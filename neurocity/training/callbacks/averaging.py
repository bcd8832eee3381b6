"""The averaged weights, which validation, evaluation and export use."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging

from neurocity.training.optimization import kept_average, update_average


class WeightAverage(WeightAveraging):
    """Lightning's exponential moving average of the weights, updated as `training.optimization` says.

    decay: of the average per step. Buffers (the occupancy grid) are copied, not averaged. A model whose
    parameters change size in training changes its average likewise, see
    `RadianceFieldModule.averaged_models`.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        super().__init__(use_buffers=False, multi_avg_fn=self._average)
        self._kept: float | None = None
        self._swapped = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:  # noqa: ARG002
        self._kept = None if step_idx is None else kept_average(step_idx + 1, self.decay)
        return self._kept is not None

    def _average(self, averages: Any, weights: Any, updates: Any) -> None:  # noqa: ARG002
        assert self._kept is not None, "Lightning asks should_update before it averages"
        update_average(averages, weights, self._kept)

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
