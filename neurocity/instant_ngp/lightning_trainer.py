"""Training of Instant-NGP with Lightning (Müller et al. 2022, section 5.4 and appendix E)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from neurocity.instant_ngp.core import InstantNGP
from neurocity.training.occupancy import MarchedFieldModule, MarchedTrainingConfig
from neurocity.training.one_call import create_lightning_trainer, train_any_model

__all__ = [
    "InstantNGPLightningConfig",
    "InstantNGPLightningModule",
    "create_lightning_trainer",
    "train_instant_ngp_lightning",
]


@dataclass(frozen=True, kw_only=True)
class InstantNGPLightningConfig(MarchedTrainingConfig):
    """Training of Instant-NGP; defaults are the paper's."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {"samples_per_batch": 2**15, "occupancy_share": 0.25},
    }

    learning_rate: float = 1e-2
    """Peak learning rate."""
    weight_decay: float = 1e-6
    """L2 penalty on network weights (not on feature tables)."""
    optimizer_type: Literal["adam", "adamw"] = "adam"
    """Optimiser."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of the optimiser's running means of the gradient and its square."""
    epsilon: float = 1e-15
    """So small that a feature which is rarely met learns as fast as others."""
    scheduler_type: Literal["cosine", "exponential", "step", "none"] = "exponential"
    """How the learning rate falls from its peak to `final_learning_rate`."""
    final_learning_rate: float = 3e-2
    """Learning rate at the end, as a share of the peak."""
    warmup_steps: int = 20
    """Steps over which the learning rate rises to its peak."""
    gradient_clip_val: float | None = None
    """Gradients are not clipped."""
    ema_decay: float = 0.98
    """Decay of the average per step."""


class InstantNGPLightningModule(MarchedFieldModule):
    """Trains an `InstantNGP`; configurations may be plain dictionaries, as a checkpoint has them."""

    family = "instant_ngp"
    model: InstantNGP
    config: InstantNGPLightningConfig


train_instant_ngp_lightning = partial(train_any_model, InstantNGPLightningModule.family)
"""Train an `InstantNGP` in one call, as `neurocity.training.one_call.train_any_model` does."""
