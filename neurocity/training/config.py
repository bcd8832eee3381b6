"""What the families share of a training configuration."""

from dataclasses import dataclass
from typing import Literal

from neurocity.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimiser, schedule and averaging; a family's configuration adds its own fields."""

    learning_rate: float = 1e-2
    """Peak learning rate."""
    final_learning_rate: float = 3e-2
    """Learning rate at the end, as a share of the peak; the decay is exponential."""
    warmup_steps: int = 20
    """Steps over which the learning rate rises to its peak."""
    weight_decay: float = 1e-6
    """L2 penalty on network weights (not on feature tables)."""
    optimizer_type: Literal["adam", "adamw"] = "adam"
    """Optimiser; its betas are 0.9 and 0.99 and its epsilon 1e-15, as in Instant-NGP."""
    gradient_clip_val: float | None = None
    """Clip gradients at this norm; none by default."""
    use_ema: bool = True
    """Keep an exponential moving average of the weights; evaluation and export use it."""
    ema_decay: float = 0.98
    """Decay of the average per step."""
    steps_per_epoch: int = 1000
    """Steps between validations."""
    seed: int = 0
    """Seed of initial weights, rays, jitter and backgrounds."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "final_learning_rate", "steps_per_epoch"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected more than 0")
        if self.optimizer_type not in ("adam", "adamw"):
            raise ConfigError(f"optimizer_type: got {self.optimizer_type!r}, expected adam or adamw")
        if not 0.0 <= self.ema_decay < 1.0:
            raise ConfigError(f"ema_decay: got {self.ema_decay}, expected 0 <= ema_decay < 1")
