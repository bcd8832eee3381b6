"""Training of Grid-NeRF with Lightning (Xu et al. 2023, sections 3.3 and 4.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from neurocity.contract import SceneInfo
from neurocity.data.datasets import RayBatch
from neurocity.errors import ConfigError
from neurocity.grid_nerf.core import GridNeRF
from neurocity.grid_nerf.planes import sparsity, total_variation
from neurocity.rendering.marched_field import MarchedRender
from neurocity.training.api import create_lightning_trainer, train_any_model
from neurocity.training.occupancy import MarchedFieldModule, MarchedTrainingConfig

__all__ = [
    "GridNeRFLightningConfig",
    "GridNeRFLightningModule",
    "create_lightning_trainer",
    "train_grid_nerf_lightning",
]


@dataclass(frozen=True, kw_only=True)
class GridNeRFLightningConfig(
    MarchedTrainingConfig,
    # Of planes and lines; networks have their own.
    learning_rate=2e-2,
    weight_decay=0.0,
    optimizer_type="adam",
    betas=(0.9, 0.99),
    # So small that a feature which is rarely met learns as fast as others.
    epsilon=1e-15,
    scheduler_type="exponential",
    final_learning_rate=0.1,
    warmup_steps=20,
    gradient_clip_val=None,
    ema_decay=0.98,
):
    """Training of Grid-NeRF; defaults are the paper's, where it states them.

    Shares are shares of training: the paper's first stage has 10,000 iterations of 110,000.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {
            "samples_per_batch": 2**15,
            "occupancy_share": 0.25,
            "growth_shares": (0.1, 0.2, 0.3, 0.4),
            "joint_share": 0.5,
        },
    }

    network_learning_rate: float = 1e-2
    """Peak learning rate of the networks."""
    growth_shares: tuple[float, ...] = (0.02, 0.03, 0.04, 0.05, 0.065)
    """When planes and lines grow: the resolution rises to its final one in as many equal ratios."""
    joint_share: float = 1.0 / 11.0
    """When the second stage begins, in which the NeRF branch is trained with the grid branch, losses 1:1;
    1 leaves it out, and the NeRF branch untrained."""
    sparsity_weight: float = 0.0
    """Weight of the mean absolute density features."""
    variation_weight: float = 0.0
    """Weight of the total variation of all features."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(0, "network_learning_rate", "sparsity_weight", "variation_weight")
        self.check_within(0, 1, "joint_share")
        shares = self.growth_shares
        if not shares or sorted(shares) != list(shares) or not all(0.0 <= share < 1.0 for share in shares):
            raise ConfigError(
                f"growth_shares: got {shares}, expected one or more rising shares of training below 1"
            )


class GridNeRFLightningModule(MarchedFieldModule):
    """Trains a `GridNeRF` in two stages, while its planes and lines grow."""

    family = "grid_nerf"
    model: GridNeRF
    config: GridNeRFLightningConfig

    def __init__(
        self,
        model_config: Any = None,
        lightning_config: Any = None,
        scene: SceneInfo | dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model_config, lightning_config, scene)
        if self.model.nerf_rendered and self.config.joint_share == 1.0:
            raise ConfigError(
                "render_branch is nerf, but joint_share is 1, which leaves the NeRF branch untrained; set "
                "joint_share below 1, or render_branch to grid"
            )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Planes and lines at their own learning rate and without weight decay; networks."""
        tables = [p for features in self.model.feature_sets() for p in features.parameters()]
        networks = [p for p in self.model.parameters() if all(p is not table for table in tables)]
        rate = self.config.network_learning_rate
        return [
            {"params": tables, "weight_decay": 0.0},
            {"params": networks, "weight_decay": self.config.weight_decay, "lr": rate},
        ]

    def renders(
        self, origins: Tensor, directions: Tensor, jitter: Tensor, visible: float
    ) -> Sequence[MarchedRender]:
        """The grid branch's render; in the second stage the NeRF branch's as well."""
        joint = self.progress() >= self.config.joint_share
        return self.model.render_branches(origins, directions, jitter, visible, nerf=joint)

    def penalty(self) -> Tensor | float:
        """Sparsity of density features, total variation of all."""
        total: Tensor | float = 0.0
        if self.config.sparsity_weight:
            total = total + self.config.sparsity_weight * sparsity(self.model.density_features)
        if self.config.variation_weight:
            variation = sum(total_variation(features) for features in self.model.feature_sets())
            total = total + self.config.variation_weight * variation
        return total

    def on_train_batch_end(self, outputs: Any, batch: RayBatch, index: int) -> None:
        super().on_train_batch_end(outputs, batch, index)
        self.grow()

    def grow(self) -> None:
        """Bring planes and lines to the resolution of this share of training, with all that follows them.

        The optimiser's moments and the averages are spread like the entries themselves.
        """
        progress, shares = self.progress(), self.config.growth_shares
        stage = sum(progress >= share for share in shares) / len(shares)
        config = self.model.config
        ratio = config.final_resolution / config.initial_resolution
        vertices = self.model.vertices(config.initial_resolution * ratio**stage)
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list), "configure_optimizers makes one"
        for number, features in enumerate(self.model.feature_sets()):
            if not features.smaller_than(vertices):
                continue
            states = [optimizer.state[table] for table in (features.planes, features.lines)]
            moments = [
                (states[0][key], states[1][key]) for key in ("exp_avg", "exp_avg_sq") if key in states[0]
            ]
            features.grow(vertices, moments)
            for average in self.averaged_models():
                average.feature_sets()[number].grow(vertices)


train_grid_nerf_lightning = partial(train_any_model, GridNeRFLightningModule.family)
"""Train a `GridNeRF` in one call, as `neurocity.training.api.train_any_model` does."""
