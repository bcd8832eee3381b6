"""Training of marched fields: the batch adapts to a number of samples, the occupancy grid to the field.

Müller et al. 2022, appendix E.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from neurocity.contract import SceneInfo
from neurocity.data.datasets import RayBatch, TrainingRays
from neurocity.errors import ConfigError, TrainingError
from neurocity.rendering.compositing import distortion
from neurocity.rendering.marched_field import MarchedField, MarchedRender
from neurocity.rendering.occupancy import NEVER, OCCUPIED, jump_field
from neurocity.training.config import TrainingConfig
from neurocity.training.hull import visual_hull
from neurocity.training.module import RadianceFieldModule
from neurocity.training.pruning import SeenWeights

SEEING_RAYS: Final = 2**17
"""Training rays that are followed to learn what the cameras see: a hundred photographs get a ray for each
square of 6x6 pixels of 200x200, less than the width of two cells at the distance of the box's side."""
CHUNK: Final = 2**12
"""Rays that are followed together; their samples stay within some hundred MiB."""


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
    distortion_weight: float = 0.0
    """Weight of the distortion loss (Barron et al. 2022, eq. 15), unbounded scenes only: what a ray sees
    should be at one place."""
    passing_weight: float = 0.0
    """Weight of the mean squared share of light that passes all matter, unbounded scenes only: the sky is for
    what nothing else explains."""
    prune_weight: float = 0.0
    """Cells where no training ray finds a sample of this compositing weight, nor in a cell next to them, are
    emptied for good."""
    prune_from: float = 0.25
    """Share of training after which cells are emptied."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1024, "samples_per_batch")
        self.check_at_least(0, "distortion_weight", "passing_weight")
        self.check_within(0, 1, "prune_weight", "prune_from")
        if not 0.0 < self.occupancy_share <= 1.0:
            raise ConfigError(f"occupancy_share: got {self.occupancy_share}, expected 0 < share <= 1")


class MarchedFieldModule(RadianceFieldModule):
    """Trains a `MarchedField`; a family may have its own `renders` and `penalty`."""

    model: MarchedField
    config: MarchedTrainingConfig

    def __init__(
        self,
        model_config: Any = None,
        lightning_config: Any = None,
        scene: SceneInfo | dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model_config, lightning_config, scene)
        self.seen_weights = SeenWeights(self.model.marcher.grid)

    def start(self, rays: TrainingRays) -> None:
        """Start from the visual hull, or from what is seen at all and, where there are any, sparse points."""
        marcher = self.model.marcher
        if not marcher.unbounded:
            hull = visual_hull(rays, self.model, low=marcher.low, side=marcher.side, resolution=marcher.grid)
            self.model.occupancy.restrict(hull.to(self.device))
        else:
            self.model.occupancy.restrict(seen_cells(self.model, rays))
        if self.background is None and rays.points is not None:
            self.model.start_from_points(rays.points.to(self.device))

    def training_step(self, batch: RayBatch, index: int) -> Tensor:  # noqa: ARG002
        target, background = self.target(batch)
        # Before surfaces form, all samples are visible and looking for hidden ones costs time only.
        warming_up = self.trainer.global_step < self.config.occupancy_warmup
        visible = 0.0 if warming_up else self.config.visible_transmittance
        origins, directions = batch["ray_origins"].t(), batch["ray_directions"].t()
        renders = self.renders(origins, directions, batch["noise"][:, 3], visible)
        renders = [self.exposed(render, batch["view_index"]) for render in renders]
        evaluated = len(renders[0].weights)
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
        for render in renders:
            loss = loss + self.concentration(render)
        if self.exposure is not None:
            loss = loss + self.exposure.penalty()
        self.note_weights(renders, rays)
        self.log_training(loss, rays=len(batch["rgba"]), samples=evaluated, mse=errors[0])
        self.ask_for_rays(rays * min(2.0, self.config.samples_per_batch / max(samples, 1)))
        return loss

    def concentration(self, render: MarchedRender) -> Tensor | float:
        """What a render is charged for fog and for light that leaves the scene; nothing in bounded scenes."""
        marcher, config = self.model.marcher, self.config
        loss: Tensor | float = 0.0
        if marcher.unbounded and config.distortion_weight:
            # In shares of the lattice, whose intervals grow as they do in perspective.
            begin = marcher.lattice_index(render.samples.t) / marcher.points
            end = begin + 1.0 / marcher.points
            spread = distortion(render.weights, begin, end, render.samples.offsets)
            loss = loss + config.distortion_weight * spread.mean()
        if marcher.unbounded and config.passing_weight:
            loss = loss + config.passing_weight * (1.0 - render.matter).square().mean()
        return loss

    def note_weights(self, renders: Sequence[MarchedRender], rays: float) -> None:
        """Keep what pruning judges cells by, of as many `rays` over all processes."""
        if not self.config.prune_weight or self.progress() < self.config.prune_from:
            return
        for render in renders:
            self.seen_weights.add(self.model.marcher.unit_cell(render.samples.points), render.weights)
        self.seen_weights.rays += int(rays)

    def renders(
        self, origins: Tensor, directions: Tensor, jitter: Tensor, visible: float
    ) -> Sequence[MarchedRender]:
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
        if self.seen_weights.complete:
            largest = self.trainer.strategy.reduce(self.seen_weights.largest, reduce_op="max")
            needed = largest > self.config.prune_weight
            if not bool(needed.any()):
                raise TrainingError(
                    f"prune_weight: got {self.config.prune_weight}, expected less than "
                    f"{float(largest.max()):.2g}, the largest weight of any sample in a while; "
                    "a larger prune_from may help too"
                )
            # Their neighbours stay: rays of other views, and surfaces that move, may need them.
            occupancy.restrict(jump_field(needed, occupancy.resolution) <= 0.0)
            self.seen_weights.clear()
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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.config.prune_weight:
            checkpoint["seen_weights"] = self.seen_weights.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if "seen_weights" in checkpoint:
            self.seen_weights.load(checkpoint["seen_weights"])


@torch.no_grad()
def seen_cells(model: MarchedField, rays: TrainingRays) -> Tensor:
    """Cells [G^3] bool that training rays pass, or pass next to.

    What no camera sees no photograph can clear: it would stay as it began, as fog in other views.
    """
    occupancy, marcher = model.occupancy, model.marcher
    passed = torch.zeros_like(occupancy.jump, dtype=torch.bool)
    rays = rays.part(0, 1)  # the same in every process
    for step in range(SEEING_RAYS // CHUNK):
        batch = rays.batch(-1 - step, CHUNK)
        origins, directions = batch["ray_origins"].t(), batch["ray_directions"].t()
        samples = marcher(origins, directions, occupancy.jump, batch["noise"][:, 3])
        passed[marcher.unit_cell(samples.points)] = True
    return jump_field(passed, occupancy.resolution) <= 0.0
