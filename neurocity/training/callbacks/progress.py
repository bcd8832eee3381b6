"""How a run shows that it goes on."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar


class ProgressBar(TQDMProgressBar):
    """One line for a whole run: the share of training that is done, and the last figures."""

    def get_metrics(self, trainer: pl.Trainer, module: Any) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        shown: dict[str, Any] = {"done": f"{100.0 * module.progress():.0f}%"}
        for name, value in metrics.items():
            shown[name] = f"{value:.3g}" if name.endswith("/s") else value
        return shown


class ProgressLines(Callback):
    """A plain line every few seconds, for logs and pipes."""

    SECONDS = 10.0

    def __init__(self) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if not trainer.is_global_zero or time.monotonic() - self._last < self.SECONDS:
            return
        self._last = time.monotonic()
        figures = "  ".join(f"{name} {value:.4g}" for name, value in trainer.progress_bar_metrics.items())
        print(
            f"training {100.0 * module.progress():3.0f}%  step {trainer.global_step}  {figures}", flush=True
        )
