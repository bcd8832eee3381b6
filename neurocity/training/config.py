"""What the families share of a training configuration."""

from dataclasses import dataclass
from inspect import get_annotations
from typing import Any, Literal

from neurocity.errors import ConfigError
from neurocity.presets import Presets


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Presets):
    """Optimiser, schedule and averaging; a family's configuration adds its own fields.

    A family names what it sets differently as keywords of its class, `class MyConfig(TrainingConfig,
    ema_decay=0.98)`: type, place and documentation of the field stay those of this class.
    """

    def __init_subclass__(cls, **defaults: Any) -> None:
        super().__init_subclass__()
        kinds = {name: kind for base in cls.__mro__[1:] for name, kind in get_annotations(base).items()}
        for name, value in defaults.items():
            cls.__annotations__[name] = kinds[name]
            setattr(cls, name, value)

    model_config: Any = None
    """The model's configuration, for modules that are made from this one alone."""
    learning_rate: float = 1e-3
    """Peak learning rate of parameters whose group names no other."""
    weight_decay: float = 1e-5
    """Weight decay of network matrices (not of feature tables): L2 with adam, decoupled with adamw."""
    optimizer_type: Literal["adam", "adamw"] = "adamw"
    """Optimiser."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the optimiser's running means of the gradient and its square."""
    epsilon: float = 1e-8
    """What the optimiser adds to the root of the mean squared gradient."""
    scheduler_type: Literal["cosine", "exponential", "step", "none"] = "cosine"
    """How the learning rate falls from its peak to `final_learning_rate`; see `training.optimization`."""
    final_learning_rate: float = 0.01
    """Learning rate at the end, as a share of the peak; "none" keeps the peak."""
    step_milestones: tuple[float, ...] = (0.5, 0.75, 0.9)
    """Shares of training after which the "step" schedule lowers the rate, each time by the same factor."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises to its peak."""
    gradient_clip_val: float | None = 0.5
    """Clip gradients at this norm or value; None does not."""
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    """Whether the norm of all gradients is limited, or each value."""
    use_ema: bool = True
    """Keep an exponential moving average of the weights; evaluation and export use it."""
    ema_decay: float = 0.999
    """Decay of the average per step."""
    exposure: bool = False
    """Learn an affine colour of each training photograph, for captures whose exposure or white balance
    changes from frame to frame; see `training.exposure`."""
    steps_per_epoch: int = 1000
    """Training batches of an epoch, which ends with a validation; loaders of one's own have their own."""
    seed: int = 0
    """Seed of initial weights, rays, jitter and backgrounds."""

    def __post_init__(self) -> None:
        self.check_choices()
        self.check_at_least(0, "weight_decay", "warmup_steps")
        self.check_positive("learning_rate", "final_learning_rate", "steps_per_epoch", "epsilon")
        for name, share in (("ema_decay", self.ema_decay), *(("betas", beta) for beta in self.betas)):
            if not 0.0 <= share < 1.0:
                raise ConfigError(f"{name}: got {share}, expected 0 <= {name} < 1")
        if self.gradient_clip_val is not None and self.gradient_clip_val <= 0:
            raise ConfigError(
                f"gradient_clip_val: got {self.gradient_clip_val}, expected more than 0, or None for no limit"
            )
        if not all(0.0 < share < 1.0 for share in self.step_milestones):
            raise ConfigError(
                f"step_milestones: got {self.step_milestones}, expected shares of training between 0 and 1"
            )
