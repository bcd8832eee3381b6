"""Training of Instant-NGP with Lightning (Müller et al. 2022, section 5.4 and appendix E)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from neurocity.instant_ngp.core import InstantNGP
from neurocity.training.api import create_lightning_trainer, train_any_model
from neurocity.training.occupancy import MarchedFieldModule, MarchedTrainingConfig

__all__ = [
    "InstantNGPLightningConfig",
    "InstantNGPLightningModule",
    "create_lightning_trainer",
    "train_instant_ngp_lightning",
]


@dataclass(frozen=True, kw_only=True)
class InstantNGPLightningConfig(
    MarchedTrainingConfig,
    learning_rate=1e-2,
    weight_decay=1e-6,
    optimizer_type="adam",
    betas=(0.9, 0.99),
    # So small that a feature which is rarely met learns as fast as others.
    epsilon=1e-15,
    scheduler_type="exponential",
    final_learning_rate=3e-2,
    warmup_steps=20,
    gradient_clip_val=None,
    ema_decay=0.98,
):
    """Training of Instant-NGP; defaults are the paper's."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {
            "samples_per_batch": 2**14,
            "occupancy_share": 0.25,
            "distortion_weight": 0.01,
            "passing_weight": 0.01,
            "prune_weight": 0.01,
        },
    }


class InstantNGPLightningModule(MarchedFieldModule):
    """Trains an `InstantNGP`; configurations may be plain dictionaries, as a checkpoint has them."""

    family = "instant_ngp"
    model: InstantNGP
    config: InstantNGPLightningConfig


train_instant_ngp_lightning = partial(train_any_model, InstantNGPLightningModule.family)
"""Train an `InstantNGP` in one call, as `neurocity.training.api.train_any_model` does."""
