"""A block's training: SVRaster's, beginning with the coarse model's voxels, and with that around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from neurocity.cameras import Rays
from neurocity.city.manifest import Ground
from neurocity.city_training.layout import coarse_voxels, place_of_region, take_over
from neurocity.city_training.photographs import shows
from neurocity.city_training.surroundings import Surroundings
from neurocity.data.datasets import RayBatch, TrainingRays, ViewBatch
from neurocity.family import Family
from neurocity.rendering.render import RayRender
from neurocity.rendering.views import over_background, render_rays
from neurocity.svraster.core import SVRaster
from neurocity.svraster.lightning_trainer import SVRasterLightningModule
from neurocity.svraster.training.adaptation import replace_voxels
from neurocity.svraster.training.near_field import near_distance
from neurocity.svraster.training.steps import Around
from neurocity.training.exposure import Exposure
from neurocity.training.metrics import image_metrics, psnr


class CoarseModule(SVRasterLightningModule):
    """Trains the coarse model: voxels begin so that regions of blocks end between them."""

    def __init__(self, *configurations: Any, ground: Ground, bounds: Any) -> None:
        super().__init__(*configurations)
        self._ground, self._bounds = ground, bounds

    def start(self, rays: TrainingRays) -> None:
        if self.model.config.unbounded:
            level, cell = coarse_voxels(self.model, self._ground, self._bounds)
            for model, optimizer in _with_averages(self):
                replace_voxels(model, partial(model.set_voxels, level, cell), optimizer)
        super().start(rays)


@dataclass(frozen=True)
class Beginning:
    """What a block knows when its training begins.

    coarse: the coarse model, frozen. exposure: that was learnt with it, or None. views: numbers of the
    block's training photographs among the coarse model's.
    """

    coarse: SVRaster
    ground: Ground
    surroundings: Surroundings
    exposure: Exposure | None = None
    views: Tensor | None = None

    def __deepcopy__(self, memo: Any) -> "Beginning":
        """Itself: it is frozen, and averages of a module are made by copying that."""
        return self


class BlockModule(SVRasterLightningModule):
    """Trains a block's model; validation looks at the pixels that show its region."""

    def __init__(self, *configurations: Any, beginning: Beginning) -> None:
        super().__init__(*configurations)
        # In a list, so that Lightning takes none of it for a part of this module.
        self._beginning = [beginning]

    @property
    def beginning(self) -> Beginning:
        """See `Beginning`."""
        return self._beginning[0]

    def start(self, rays: TrainingRays) -> None:
        begin = self.beginning
        chosen, level, cell = place_of_region(begin.coarse, begin.ground, begin.surroundings.region)
        for model, optimizer in _with_averages(self):
            replace_voxels(model, partial(model.set_voxels, level, cell), optimizer)
            take_over(model, begin.coarse, chosen)
        self._training = None
        if begin.coarse.config.unbounded:
            near = near_distance(rays.origins, self.config.near_neighbors)
            self.training_of_voxels.begin(near)
        self.parameters_replaced()

    def training_step(self, batch: RayBatch, index: int) -> Tensor:  # noqa: ARG002
        batch = self._neutral(batch)
        backdrop = batch["noise"][:, :3]
        around = self._around(batch["ray_origins"], batch["ray_directions"])
        result = self.training_of_voxels.objective(batch, backdrop, self.progress(), around=around)
        self.log_training(result.loss, rays=len(batch["rgba"]), samples=result.evaluated, mse=result.mse)
        return result.loss

    @torch.compiler.disable
    def validation_step(self, batch: ViewBatch, index: int) -> dict[str, Tensor]:  # noqa: ARG002
        """As that of all models, of the pixels that show the region; others are as they were photographed."""
        shape = (int(batch["height"]), int(batch["width"]), 3)
        origins, directions = batch["ray_origins"], batch["ray_directions"]
        around = self._around(origins, directions)
        own = render_rays(self.model, origins, directions)
        image = over_background(*_composed(own, around), self.background)
        color, alpha = batch["rgba"][:, :3], batch["rgba"][:, 3]
        truth = over_background(color * alpha[:, None], alpha, self.background)
        rays = Rays(*(plane.cpu().numpy() for plane in (origins, directions)))
        shown = torch.from_numpy(shows(rays, self.beginning.surroundings)).to(image.device)
        image = torch.where(shown[:, None], image, truth)
        pictures = image.view(shape), truth.view(shape)
        metrics = {"loss": torch.mean((image - truth) ** 2).item(), **image_metrics(*pictures)}
        if bool(shown.any()):
            metrics["psnr"] = psnr(image[shown], truth[shown])
        for name, value in metrics.items():
            self.log(f"val/{name}", value, batch_size=1, prog_bar=name == "psnr", sync_dist=True)
        return {"image": pictures[0], "truth": pictures[1]}

    def _neutral(self, batch: RayBatch) -> RayBatch:
        """The batch with photographs as the coarse model has them, where exposure was learnt with it."""
        begin, rgba = self.beginning, batch["rgba"]
        if begin.exposure is None or begin.views is None:
            return batch
        number = begin.views.to(rgba.device)[batch["view_index"]]
        colors = begin.exposure.to(rgba.device).neutral(rgba[:, :3], number)
        return {**batch, "rgba": torch.cat([colors, rgba[:, 3:]], dim=1)}

    def _around(self, origins: Tensor, directions: Tensor) -> Around:
        """What is around the region; made by compiled kernels on the CPU, wherever the block is trained."""
        rays = Rays(*(plane.cpu().contiguous().numpy() for plane in (origins, directions)))
        seen = self.beginning.surroundings.seen(rays, threads=torch.get_num_threads())
        planes = (seen.before, seen.left, seen.behind.rgb, seen.behind.opacity)
        return Around(*(torch.from_numpy(plane).to(origins.device) for plane in planes))


@dataclass(frozen=True)
class PartFamily(Family):
    """SVRaster as it is trained for a part of a city. module: makes the module of configurations."""

    module: Any = None

    def lightning_module_class(self) -> Any:
        return self.module


def _composed(own: RayRender, around: Around) -> tuple[Tensor, Tensor]:
    """Light [R, 3] and opacity [R] of a block with what is around it."""
    left = around.left * (1.0 - own.opacity)
    rgb = around.before + around.left[:, None] * own.rgb + left[:, None] * around.behind
    return rgb, 1.0 - left * (1.0 - around.covered)


def _with_averages(module: SVRasterLightningModule) -> Sequence[tuple[SVRaster, Any]]:
    """The module's model with its optimiser, and the averages of it without."""
    return [(module.model, module.trainer.optimizers[0]), *((one, None) for one in module.averaged_models())]
