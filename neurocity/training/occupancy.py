"""Training of marched fields: the batch adapts to a number of samples, the occupancy grid to the field.

Müller et al. 2022, appendix E.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurocity.data.datasets import RayBatch, TrainingRays
from neurocity.errors import ConfigError, TrainingError
from neurocity.rendering.marched_field import MarchedField
from neurocity.rendering.occupancy import NEVER, OCCUPIED
from neurocity.rendering.render import TrainingRender
from neurocity.training.config import TrainingConfig
from neurocity.training.hull import visual_hull
from neurocity.training.module import RadianceFieldModule


@dataclass(frozen=True, kw_only=True)
class MarchedTrainingConfig(TrainingConfig):
    """What the training of every marched field can be told."""

    samples_per_batch: int = 2**18
    """Samples that a batch is evaluated at; the number of rays adapts to meet it."""
    visible_transmittance: float = 1e-4
    """Samples behind a transmittance below this are not evaluated."""
    occupancy_interval: int = 16
    """Steps between updates of the occupancy grid."""
    occupancy_warmup: int = 256
    """Steps in which updates draw from all cells alike."""
    occupancy_share: float = 1.0
    """Share of the possible cells that an update draws. After the warm-up it draws a quarter of that, and as
    many occupied cells."""
    occupancy_decay: float = 0.95
    """Decay of a cell's density at an update."""
    occupancy_threshold: float = 0.01
    """Opacity of one step at which a cell counts as occupied."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1024, "samples_per_batch")
        if not 0.0 < self.occupancy_share <= 1.0:
            raise ConfigError(f"occupancy_share: got {self.occupancy_share}, expected 0 < share <= 1")


class MarchedFieldModule(RadianceFieldModule):
    """Trains a `MarchedField`; a family may have its own `renders` and `penalty`."""

    model: MarchedField
    config: MarchedTrainingConfig

    def start(self, rays: TrainingRays) -> None:
        """Start from the visual hull, or else from the sparse points."""
        marcher = self.model.marcher
        if not marcher.unbounded:
            hull = visual_hull(rays, self.model, low=marcher.low, side=marcher.side, resolution=marcher.grid)
            self.model.occupancy.restrict(hull.to(self.device))
        if self.background is None and rays.points is not None:
            self.model.start_from_points(rays.points.to(self.device))

    def training_step(self, batch: RayBatch, index: int) -> Tensor:  # noqa: ARG002
        target, background = self.target(batch)
        # Before surfaces form, all samples are visible and looking for hidden ones costs time only.
        warming_up = self.trainer.global_step < self.config.occupancy_warmup
        visible = 0.0 if warming_up else self.config.visible_transmittance
        origins, directions = batch["ray_origins"].t(), batch["ray_directions"].t()
        renders = self.renders(origins, directions, batch["noise"][:, 3], visible)
        evaluated = renders[0].evaluated
        rays = self.sum_over_processes(batch["rgba"].shape[0])
        samples = self.sum_over_processes(evaluated)
        if samples == 0 and not self.model.sky_enabled:
            raise TrainingError(
                f"no ray of step {self.trainer.global_step} meets occupied space: the scene became empty. A "
                "smaller learning_rate or occupancy_threshold may help"
            )
        images = (render.rgb.t() + background * (1.0 - render.opacity) for render in renders)
        errors = torch.stack([torch.mean((image - target) ** 2) for image in images])
        loss = errors.sum() + self.penalty()
        self.log_training(loss, rays=len(batch["rgba"]), samples=evaluated, mse=errors[0])
        self.ask_for_rays(rays * min(2.0, self.config.samples_per_batch / max(samples, 1)))
        return loss

    def renders(
        self, origins: Tensor, directions: Tensor, jitter: Tensor, visible: float
    ) -> Sequence[TrainingRender]:
        """Renders of training rays [3, R] whose errors add up; a family with two branches gives two."""
        return [self.model.render_training(origins, directions, jitter, visible)]

    def penalty(self) -> Tensor | float:
        """What a family adds to the errors."""
        return 0.0

    def on_train_batch_end(self, outputs: Any, batch: RayBatch, index: int) -> None:  # noqa: ARG002
        """Refresh the occupancy grid if due; which cells are drawn depends on the seed and the step alone."""
        occupancy, step = self.model.occupancy, self.trainer.global_step
        if step % self.config.occupancy_interval:
            return
        generator = self.generator()
        pools = [(occupancy.density != NEVER).nonzero()[:, 0]]
        count = int(self.config.occupancy_share * len(pools[0]))
        if step > self.config.occupancy_warmup:
            pools.append((occupancy.jump == OCCUPIED).nonzero()[:, 0])
            count //= 4
        drawn = [
            pool[torch.randint(len(pool), (count,), generator=generator, device=self.device)]
            for pool in pools
            if len(pool)
        ]
        occupancy.update(
            lambda points: self.model.density(points)[1] * self.model.marcher.step,
            cells=torch.cat(drawn),
            decay=self.config.occupancy_decay,
            threshold=self.config.occupancy_threshold,
            generator=generator,
        )
