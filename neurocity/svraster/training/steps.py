"""What training of SVRaster does, whoever runs the loop: start, objective, adaptation."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from neurocity.data.datasets import TrainingRays
from neurocity.light import SSIM_WINDOW
from neurocity.rendering.spherical_harmonics import spherical_harmonics
from neurocity.svraster.core import SVRaster
from neurocity.svraster.training import losses
from neurocity.svraster.training.adaptation import AdaptationPlan, decide, replace_voxels
from neurocity.svraster.training.config import SVRasterTrainingConfig
from neurocity.svraster.training.differentiable import TrainingPass
from neurocity.svraster.training.near_field import near_distance
from neurocity.svraster.training.statistics import VoxelStatistics
from neurocity.svraster.training.unbounded_init import begin_clear, uncover
from neurocity.training.exposure import Exposure
from neurocity.training.hull import visual_hull

PIXEL_WIDTHS = 12.0**0.5 / 2.0
"""Widths of a pixel per radius of its cone (Barron et al. 2021, section 3.1)."""


class Objective(NamedTuple):
    """loss: what is minimised. mse: mean squared error of colours. evaluated: intervals that were shaded."""

    loss: Tensor
    mse: Tensor
    evaluated: int


class Around(NamedTuple):
    """What of rays [R] is known beside the model's part: light before it [R, 3], the share that is left
    there [R], and light behind it [R, 3] with its opacity [R].
    """

    before: Tensor
    left: Tensor
    behind: Tensor
    covered: Tensor


def parameter_groups(model: SVRaster, config: SVRasterTrainingConfig) -> list[dict[str, Any]]:
    """What an optimiser is made of: densities and colours without weight decay, the sky with it."""
    rates = (
        (model.density, config.density_rate),
        (model.sh0, config.color_rate),
        (model.shs, config.harmonics_rate),
    )
    groups: list[dict[str, Any]] = [
        {"params": [parameter], "lr": rate * config.learning_rate, "weight_decay": 0.0}
        for parameter, rate in rates
    ]
    if model.sky_enabled:
        groups.append({"params": [*model.sky_net.parameters()], "weight_decay": config.weight_decay})
    return groups


class VoxelTraining:
    """Training of one model.

    squares: pixels along the side of the squares in which rays come, 1 if they come one by one.
    transparent: whether the photographs have a transparent background. near: see `near_field`.
    """

    def __init__(
        self, model: SVRaster, config: SVRasterTrainingConfig, *, squares: int, transparent: bool
    ) -> None:
        self.model = model
        self.config = config
        self.squares = squares
        self.transparent = transparent
        self.near = 0.0
        self.rays = self._pass()

    @property
    def statistics(self) -> VoxelStatistics:
        """What was seen of the voxels since the last adaptation."""
        return self.rays.statistics

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint has to keep for `load`."""
        return {**self.statistics.tensors(), "near": torch.tensor(self.near, dtype=torch.float64)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on with what `state` gave, for equal voxels."""
        self.near = float(state["near"])
        self.rays = self._pass()
        self.statistics.load(state)

    def objective(
        self,
        batch: Mapping[str, Any],
        backdrop: Tensor,
        progress: float,
        exposure: Exposure | None = None,
        around: Around | None = None,
    ) -> Objective:
        """Losses of a `RayBatch` whose images are composited on the colours `backdrop` [R, 3].

        progress: share of training that is done. exposure: of the photographs, where it is learnt. around: of
        the rays, where the model is a part of what they show.
        """
        # Products of many transmittances are float32 in whatever precision networks run.
        with torch.autocast(batch["rgba"].device.type, enabled=False):
            return self._objective(batch, backdrop, progress, exposure, around)

    def _objective(
        self,
        batch: Mapping[str, Any],
        backdrop: Tensor,
        progress: float,
        exposure: Exposure | None,
        around: Around | None,
    ) -> Objective:
        model, config = self.model, self.config
        color, alpha = batch["rgba"][:, :3], batch["rgba"][:, 3]
        directions = batch["ray_directions"].t()
        self.rays.degree = int(progress / config.degree_interval)
        self.rays.distortion = config.distortion_weight > 0.0 and progress >= config.distortion_start
        own = color if exposure is None else exposure.neutral(color, batch["view_index"])
        if around is not None:
            own = ((own - around.before) / around.left[:, None]).clamp(0.0, 1.0)
        render = self.rays.render(
            batch["ray_origins"].t(), directions, own, batch["ray_radii"][:, 0] * PIXEL_WIDTHS
        )
        rgb, opacity = render.rgb, render.opacity
        if model.sky_enabled:
            sky = model.sky_net(spherical_harmonics(directions))
            rgb, opacity = rgb + (1.0 - opacity[:, None]) * sky, torch.ones_like(opacity)
        if exposure is not None:
            rgb = exposure(rgb, opacity, batch["view_index"])
        photograph = color * alpha[:, None] + backdrop * (1.0 - alpha[:, None])
        counts = alpha
        if around is None:
            image = rgb + (1.0 - opacity[:, None]) * backdrop
        else:
            behind = around.behind + (1.0 - around.covered[:, None]) * backdrop
            image = around.before + around.left[:, None] * (rgb + (1.0 - opacity[:, None]) * behind)
            counts = alpha * around.left.square()
        mse = (image - photograph).square().mean()
        loss = mse + config.concentration_weight * (render.terms["concentration"] * counts).mean()
        if exposure is not None:
            loss = loss + exposure.penalty()
        if self.rays.distortion:
            loss = loss + config.distortion_weight * render.terms["distortion"].mean()
        if self.transparent:
            loss = loss + config.entropy_weight * losses.opacity_entropy(render.opacity)
        elif not model.sky_enabled:
            loss = loss + config.remaining_light_weight * losses.remaining_light(render.opacity)
        smoothing = (
            config.unbounded_total_variation_weight
            if model.config.unbounded
            else config.total_variation_weight
        )
        if smoothing > 0.0 and progress < config.total_variation_end:
            loss = loss + smoothing * losses.total_variation(model.density, model.voxel_points)
        area = self.squares**2
        if config.ssim_weight > 0.0 and self.squares >= SSIM_WINDOW and len(image) >= area:
            whole = len(image) // area * area
            shape = (-1, self.squares, self.squares, 3)
            pictures = [part[:whole].view(shape) for part in (image, photograph)]
            loss = loss + config.ssim_weight * losses.structural_dissimilarity(*pictures)
        return Objective(loss, mse.detach(), render.evaluated)

    def start(self, rays: TrainingRays, optimizer: Optimizer, averages: Sequence[SVRaster]) -> None:
        """Give a model that was never trained the voxels that can hold something.

        Raises TrainingError when there are none.
        """
        model = self.model
        if model.config.unbounded:
            self.near = near_distance(rays.origins, self.config.near_neighbors)
            for change in uncover(model, rays, self.near):
                self._change(change, optimizer, averages)
            for one in (model, *averages):
                begin_clear(one, rays.points)
            return
        resolution = self.config.hull_resolution or model.config.base_resolution
        hull = visual_hull(rays, model, low=model.root_low, side=model.root_side, resolution=resolution)
        replace_voxels(model, lambda: model.start_from_hull(hull), optimizer)
        for average in averages:
            average.start_from_hull(hull)
        self.rays = self._pass()

    def begin(self, near: float) -> None:
        """Start with the voxels that the model has, and views from within `near` counting less."""
        self.near = near
        self.rays = self._pass()

    def adapt(self, epoch: int, progress: float, optimizer: Optimizer, averages: Sequence[SVRaster]) -> bool:
        """Split and remove voxels as configured at the end of `epoch`, counted from 1; whether they changed.

        averages: models that hold averages of this one's weights, and change likewise. In distributed
        training all processes must call this, and decide alike. Raises TrainingError when no voxel would be
        left.
        """
        config = self.config
        if not (config.subdivides(epoch, progress) or config.prunes(epoch, progress)):
            return False
        self.statistics.reduce()
        change = decide(self.model, self.statistics, config, epoch=epoch, progress=progress)
        self._change(change, optimizer, averages)
        return change.changes

    def _change(self, change: AdaptationPlan, optimizer: Optimizer, averages: Sequence[SVRaster]) -> None:
        if change.changes:
            change.apply(self.model, optimizer)
            for average in averages:
                change.apply(average)
        self.rays = self._pass()

    def _pass(self) -> TrainingPass:
        """For the voxels that the model has now."""
        return TrainingPass(self.model, squares=self.squares, near=self.near)
