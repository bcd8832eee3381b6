"""What a run shows and leaves behind: rates, validation pictures, the averaged weights."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging, TQDMProgressBar

from neurocity.training.module import RadianceFieldModule


class Throughput(Callback):
    """Logs rays/s and samples/s of training, measured between log steps, validation not counted."""

    def __init__(self) -> None:
        self._reset(0, 0)

    def _reset(self, rays: int, samples: int) -> None:
        self._rays, self._samples, self._began = rays, samples, time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:  # noqa: ARG002
        assert isinstance(module, RadianceFieldModule)
        self._reset(module.trained_rays, module.trained_samples)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.on_train_start(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(module, RadianceFieldModule)
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        seconds = max(time.monotonic() - self._began, 1e-9)
        rates = {
            "rays/s": (module.trained_rays - self._rays) / seconds,
            "samples/s": (module.trained_samples - self._samples) / seconds,
        }
        module.log_dict(rates, prog_bar=True)
        self._reset(module.trained_rays, module.trained_samples)


class ValidationPicture(Callback):
    """After each validation, writes the first held-out view beside its render as `validation/step-N.png`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, RadianceFieldModule)
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        for image, truth in module.validation_images:
            pixels = (torch.cat([truth, image], dim=1) * 255.0 + 0.5).to(torch.uint8).numpy()
            self.folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).save(
                self.folder / f"step-{trainer.global_step:06d}.png"
            )


class WeightAverage(EMAWeightAveraging):
    """Lightning's exponential moving average of the weights, updated every few steps to cost little.

    Buffers (the occupancy grid) are copied, not averaged.
    """

    EVERY = 10

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay**self.EVERY, update_every_n_steps=self.EVERY, use_buffers=False)


class ProgressBar(TQDMProgressBar):
    """One line for a whole run: the share of the training budget that is spent, and the last figures."""

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        assert isinstance(module, RadianceFieldModule)
        shown: dict[str, Any] = {"done": f"{100.0 * module.progress():.0f}%"}
        for name, value in metrics.items():
            shown[name] = f"{value:.3g}" if name.endswith("/s") else value
        return shown


class ProgressLines(Callback):
    """A plain line every few seconds, for logs and pipes."""

    SECONDS = 10.0

    def __init__(self) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        if time.monotonic() - self._last < self.SECONDS:
            return
        self._last = time.monotonic()
        assert isinstance(module, RadianceFieldModule)
        figures = "  ".join(f"{name} {value:.4g}" for name, value in trainer.progress_bar_metrics.items())
        print(
            f"training {100.0 * module.progress():3.0f}%  step {trainer.global_step}  {figures}", flush=True
        )
