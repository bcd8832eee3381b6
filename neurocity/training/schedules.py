"""How the learning rate falls over a training, as a factor of its peak."""

import math

from neurocity.training.config import TrainingConfig


def learning_rate_factor(config: TrainingConfig, *, step: int, progress: float) -> float:
    """Factor of the peak learning rate at optimiser step `step`, when the share `progress` is done.

    A linear warm-up times, with f = `final_learning_rate` and p = `progress`:
    cosine f + (1 - f) (1 + cos(pi p)) / 2 (Loshchilov and Hutter 2017, equation 5, one period);
    exponential f^p; step f^(milestones passed / milestones); none 1.
    """
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    final = config.final_learning_rate
    if config.scheduler_type == "cosine":
        return warm * (final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress)))
    if config.scheduler_type == "exponential":
        return warm * final**progress
    if config.scheduler_type == "step" and config.step_milestones:
        passed = sum(progress >= milestone for milestone in config.step_milestones)
        return warm * final ** (passed / len(config.step_milestones))
    return warm
