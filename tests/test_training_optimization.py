"""Learning rates fall, and averages follow their weights, as the schedules say."""

import math

import pytest

from neurocity.errors import ConfigError
from neurocity.training.config import TrainingConfig
from neurocity.training.optimization import kept_average, learning_rate_factor


def factors(scheduler: str, *shares: float, **fields: object) -> list[float]:
    config = TrainingConfig(scheduler_type=scheduler, **fields)  # type: ignore[arg-type]
    return [learning_rate_factor(config, step=10**6, progress=share) for share in shares]


def test_schedules_over_a_training() -> None:
    assert factors("cosine", 0.0, 0.5, 1.0) == pytest.approx([1.0, 0.505, 0.01])
    assert factors("cosine", 0.25) == pytest.approx([0.01 + 0.99 * (1.0 + math.sqrt(0.5)) / 2.0])
    assert factors("exponential", 0.0, 0.5, 1.0) == pytest.approx([1.0, 0.1, 0.01])
    steps = factors("step", 0.0, 0.49, 0.5, 0.75, 0.95, 1.0)
    assert steps == pytest.approx([1.0, 1.0, 0.01 ** (1 / 3), 0.01 ** (2 / 3), 0.01, 0.01])
    assert factors("step", 1.0, step_milestones=()) == [1.0]
    assert factors("none", 0.0, 1.0) == [1.0, 1.0]


def test_the_rate_rises_over_the_warm_up() -> None:
    config = TrainingConfig(scheduler_type="none", warmup_steps=4)
    rates = [learning_rate_factor(config, step=step, progress=0.0) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_averages_are_updated_after_the_first_steps_and_then_every_tenth() -> None:
    kept = {step: kept_average(step, 0.999) for step in range(1, 50)}
    assert [step for step, share in kept.items() if share is not None] == [*range(1, 11), 20, 30, 40]
    assert (kept[1], kept[2], kept[10], kept[20]) == (0.0, 2 / 11, 10 / 19, 11 / 20)
    assert kept_average(10, 0.3) == 0.3
    assert kept_average(10**6, 0.999) == 0.999**10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler_type": "linear"}, "'linear', expected cosine or exponential or step or none"),
        ({"gradient_clip_algorithm": "max"}, "'max', expected norm or value"),
        ({"gradient_clip_val": 0.0}, "gradient_clip_val: got 0.0, expected more than 0, or None"),
        ({"final_learning_rate": 0.0}, "final_learning_rate: got 0.0"),
        ({"step_milestones": (0.5, 1.5)}, "expected shares of training between 0 and 1"),
        ({"betas": (0.9, 1.0)}, "betas: got 1.0"),
        ({"warmup_steps": -1}, "warmup_steps: got -1, expected at least 0"),
    ],
)
def test_impossible_schedules_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**changes)  # type: ignore[arg-type]
