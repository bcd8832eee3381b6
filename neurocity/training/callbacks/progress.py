"""How a run shows that it goes on."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar

from neurocity.publishing import published


class ProgressBar(TQDMProgressBar):
    """One line for a whole run: the share of training that is done, and the last figures."""

    def get_metrics(self, trainer: pl.Trainer, module: Any) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        shown: dict[str, Any] = {"done": f"{100.0 * module.progress():.0f}%"}
        for name, value in metrics.items():
            shown[name] = f"{value:.3g}" if name.endswith("/s") else value
        return shown


class ProgressFile(Callback):
    """A small JSON file of how far a run is, replaced every few seconds, for who watches many runs.

    It holds `share` in [0, 1], `step`, and the `psnr` of the last batch in dB, or null.
    """

    SECONDS = 1.0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = -math.inf

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.is_global_zero and time.monotonic() - self._last >= self.SECONDS:
            self._write(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            self._write(trainer, module)

    def _write(self, trainer: pl.Trainer, module: Any) -> None:
        self._last = time.monotonic()
        psnr = float(trainer.callback_metrics.get("train/psnr", math.nan))
        found = {"share": module.progress(), "step": trainer.global_step}
        with published(self.path) as partial:
            partial.write_text(json.dumps({**found, "psnr": psnr if math.isfinite(psnr) else None}))


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
