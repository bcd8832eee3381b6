"""The LightningModule that all families share: optimiser, schedule, validation, checkpoint contents."""

import math
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from neurocity.checkpoint import FORMAT_VERSION
from neurocity.contract import SceneInfo, scene_info_from_dict, to_dict
from neurocity.data.datasets import RayBatch, ViewBatch
from neurocity.errors import TrainingError
from neurocity.training.budget import TrainingBudget
from neurocity.training.config import TrainingConfig
from neurocity.training.metrics import psnr, ssim
from neurocity.training.views import render_view

WHITE = (1.0, 1.0, 1.0)


class RadianceFieldModule(pl.LightningModule):
    """Trains `self.model`, a family's render model. A family overrides `training_step` and names its parts.

    family: name in `neurocity.families`. rays_per_batch: how many rays the next batch should have.
    """

    family: str

    def __init__(self, model: nn.Module, config: TrainingConfig, scene: SceneInfo | None) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.scene = scene
        self.rays_per_batch = 4096
        self.trained_rays = 0
        self.trained_samples = 0
        self.validation_metrics: dict[str, float] = {}
        self.validation_images: list[tuple[Tensor, Tensor]] = []

    def record(self, model_config: Any) -> dict[str, Any]:
        """The plain hyper-parameters that a checkpoint carries; see `neurocity.checkpoint`."""
        return {
            "format_version": FORMAT_VERSION,
            "family": self.family,
            "model_config": asdict(model_config),
            "lightning_config": asdict(self.config),
            "scene": None if self.scene is None else to_dict(self.scene),
            "metrics": {},
        }

    @staticmethod
    def scene_of(scene: SceneInfo | dict[str, Any] | None) -> SceneInfo | None:
        """A scene given as such or, from a checkpoint, as plain data."""
        return scene_info_from_dict(scene) if isinstance(scene, dict) else scene

    @property
    def background(self) -> tuple[float, float, float] | None:
        """What validation images are composited on."""
        return WHITE if self.scene is None else self.scene.background

    def progress(self) -> float:
        """Share of training that is done, in [0, 1]."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainingBudget):
                return callback.spent(self.trainer.global_step)
        steps = self.trainer.estimated_stepping_batches
        return min(self.trainer.global_step / steps, 1.0) if math.isfinite(steps) else 0.0

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Feature tables (three or more axes) without weight decay, network matrices with it."""
        tables = [p for p in self.model.parameters() if p.dim() > 2]
        networks = [p for p in self.model.parameters() if p.dim() <= 2]
        return [
            {"params": tables, "weight_decay": 0.0},
            {"params": networks, "weight_decay": self.config.weight_decay},
        ]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        kind = torch.optim.Adam if self.config.optimizer_type == "adam" else torch.optim.AdamW
        optimizer = kind(
            self.parameter_groups(), lr=self.config.learning_rate, betas=(0.9, 0.99), eps=1e-15, fused=True
        )

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / max(self.config.warmup_steps, 1))
            return warm * self.config.final_learning_rate ** self.progress()

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def target(self, batch: RayBatch) -> tuple[Tensor, Tensor]:
        """Images over a random background: colours and backgrounds, [3, R] each."""
        color, alpha = batch["rgba"][:, :3].t(), batch["rgba"][:, 3]
        background = batch["noise"][:, :3].t()
        return color * alpha + background * (1.0 - alpha), background

    def log_training(self, loss: Tensor, *, rays: int, samples: int) -> None:
        """Log the loss and its PSNR, count rays and samples, and stop at a loss that is not finite."""
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {self.trainer.global_step}; the last good checkpoint is kept. "
                "A smaller learning_rate or gradient_clip_val may help"
            )
        self.trained_rays += rays
        self.trained_samples += samples
        self.log("train/loss", value, batch_size=rays)
        self.log("train/psnr", -10.0 * math.log10(max(value, 1e-10)), batch_size=rays, prog_bar=True)

    def on_validation_epoch_start(self) -> None:
        self.validation_images = []
        self.validation_metrics = {}

    def validation_step(self, batch: ViewBatch, index: int) -> None:
        """Render a view; log PSNR and SSIM against the image over the scene's background."""
        image, truth = render_view(self.model, batch, self.background)
        if index == 0:
            self.validation_images.append((image.cpu(), truth.cpu()))
        for name, value in (("val/psnr", psnr(image, truth)), ("val/ssim", ssim(image, truth))):
            self.log(name, value, batch_size=1, prog_bar=name == "val/psnr", sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        self.validation_metrics = {name: float(metrics[name]) for name in metrics if name.startswith("val/")}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hyper_parameters"]["metrics"] = dict(self.validation_metrics)
        checkpoint["rays_per_batch"] = self.rays_per_batch

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.rays_per_batch = int(checkpoint["rays_per_batch"])
