"""Training of Mip-NeRF with Lightning (Barron et al. 2021, section 3.2 and appendix)."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from neurocity.data.datasets import RayBatch, TrainingRays
from neurocity.mip_nerf.core import MipNeRF
from neurocity.rendering.render import TrainingRender
from neurocity.training.api import create_lightning_trainer, train_any_model
from neurocity.training.config import TrainingConfig
from neurocity.training.hull import visual_hull
from neurocity.training.module import RadianceFieldModule

__all__ = [
    "MipNeRFLightningConfig",
    "MipNeRFLightningModule",
    "create_lightning_trainer",
    "train_mip_nerf_lightning",
]


@dataclass(frozen=True, kw_only=True)
class MipNeRFLightningConfig(
    TrainingConfig,
    learning_rate=5e-4,
    weight_decay=0.0,
    optimizer_type="adam",
    scheduler_type="exponential",
    warmup_steps=2500,
    gradient_clip_val=None,
):
    """Training of Mip-NeRF; defaults are the paper's."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {
            "learning_rate": 1.5e-2,
            "betas": (0.9, 0.99),
            "epsilon": 1e-15,
            "final_learning_rate": 0.03,
            "warmup_steps": 50,
            "ema_decay": 0.98,
            "cones_per_batch": 400,
            "coarse_interval": 4,
            "fast_matrices": True,
        },
    }

    cones_per_batch: int = 4096
    """Rays of a batch that can meet matter; the number of rays that are drawn adapts to give as many."""
    coarse_weight: float = 0.1
    """Weight of the first pass's loss against that of the second."""
    coarse_interval: int = 1
    """The first pass is trained every so many steps, with as many times the weight; in between it only places
    the samples of the second."""
    weigh_by_area: bool = False
    """Weigh a pixel's error by the area it stands for, for images of several resolutions."""
    fast_matrices: bool = False
    """In training, multiply the network's matrices in bfloat16 on CPUs that have instructions for it; sums,
    weights and everything around the network stay float32."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "cones_per_batch", "coarse_interval")
        self.check_at_least(0, "coarse_weight")


class MipNeRFLightningModule(RadianceFieldModule):
    """Trains a `MipNeRF`; configurations may be plain dictionaries, as a checkpoint has them."""

    family = "mip_nerf"
    model: MipNeRF
    config: MipNeRFLightningConfig

    def start(self, rays: TrainingRays) -> None:
        """Take the cameras' mean cone, and in a bounded scene the visual hull.

        Raises TrainingError when no part of the scene can hold matter.
        """
        self.model.mean_radius.fill_(float(rays.radii.mean()))
        if self.model.config.unbounded:
            return
        space = self.model.space
        side, resolution = 2.0 * space.half_side, space.resolution
        hull = visual_hull(rays, self.model, low=space.low, side=side, resolution=resolution)
        space.restrict(hull.to(self.device))

    def training_step(self, batch: RayBatch, index: int) -> Tensor:  # noqa: ARG002
        hit, cones = self.model.cast(batch["ray_origins"], batch["ray_directions"], batch["ray_radii"])
        model, generator, step = self.model.config, self.generator(), self.trainer.global_step
        coarse_noise, fine_noise = (
            torch.rand(len(hit), samples + 1, generator=generator, device=self.device)
            for samples in (model.coarse_samples, model.fine_samples)
        )
        with self.matrix_precision():
            fine, coarse = self.model.render_training(
                cones, (coarse_noise, fine_noise), step % self.config.coarse_interval == 0
            )
        view_index = batch["view_index"].index_select(0, hit)
        fine, coarse = self.exposed(fine, view_index), coarse and self.exposed(coarse, view_index)
        rgba, weights = batch["rgba"].index_select(0, hit), self.pixel_weights(cones.radii)
        error = squared_error(fine, rgba, weights)
        loss = error
        if coarse is not None:
            share = self.config.coarse_weight * self.config.coarse_interval
            loss = error + share * squared_error(coarse, rgba, weights)
        if self.exposure is not None:
            loss = loss + self.exposure.penalty()
        samples = len(hit) * (model.coarse_samples + model.fine_samples)
        self.log_training(loss, rays=len(batch["rgba"]), samples=samples, mse=error)
        share = self.sum_over_processes(len(hit)) / self.sum_over_processes(len(batch["rgba"]))
        self.ask_for_rays(min(self.config.cones_per_batch / max(share, 1e-3), 2.0 * self.rays_per_batch))
        return loss

    def matrix_precision(self) -> AbstractContextManager[Any]:
        """In what precision the network's matrices are multiplied: as the trainer's, or faster."""
        features = torch.cpu.get_capabilities() if self.device.type == "cpu" else {}
        native = bool(features.get("avx512_bf16") or features.get("amx_bf16"))
        if not (self.config.fast_matrices and native):
            return nullcontext()
        return torch.autocast("cpu", torch.bfloat16)

    def pixel_weights(self, radii: Tensor) -> Tensor:
        """Weights [R, 1] of pixels with cone radii [R, 1], 1 on average."""
        if not self.config.weigh_by_area:
            return torch.ones_like(radii)
        areas = radii * radii
        return areas / areas.mean()


def squared_error(render: TrainingRender, rgba: Tensor, weights: Tensor) -> Tensor:
    """Mean over pixels, channels and all backgrounds of the weighted squared error; 0 without pixels.

    rgba [R, 4] with straight alpha, weights [R, 1]. Over a background b, uniform in [0, 1], the error is
    e + a b with the premultiplied error e and the opacity's error a; the expectation of its square is
    e^2 + e a + a^2 / 3. A drawn background gives the same gradient on average, and noise.
    """
    alpha = rgba[:, 3:]
    e = render.rgb - rgba[:, :3] * alpha
    a = alpha - render.opacity[:, None]
    return (weights * (e * e + e * a + a * a / 3.0)).sum() / max(3 * len(rgba), 1)


train_mip_nerf_lightning = partial(train_any_model, MipNeRFLightningModule.family)
"""Train a `MipNeRF` in one call, as `neurocity.training.api.train_any_model` does."""
