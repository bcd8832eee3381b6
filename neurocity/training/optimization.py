"""How weights are learnt: optimiser, learning rate over a training, and the average that follows them."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from neurocity.training.config import TrainingConfig

AVERAGE_EVERY = 10
"""Steps between two updates of the averaged weights, to cost little; each of the first steps has one."""


def build_optimizer(config: TrainingConfig, groups: list[dict[str, Any]], *, fused: bool = True) -> Optimizer:
    """The configuration's optimiser of parameter groups, whose own "lr" and "weight_decay" win."""
    kind = torch.optim.Adam if config.optimizer_type == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.learning_rate, betas=config.betas, eps=config.epsilon, fused=fused)


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


def kept_average(step: int, decay: float) -> float | None:
    """Share of the averaged weights that the update after optimiser step `step` keeps; None if none is due.

    decay: of the average per step. The first update takes the weights themselves. Young averages follow the
    weights closely: the n-th update after it keeps at most (1 + n) / (10 + n), so that the first weights do
    not stay in the average for long.
    """
    first_steps = step <= AVERAGE_EVERY
    if not first_steps and step % AVERAGE_EVERY:
        return None
    update, steps = (
        (step - 1, 1) if first_steps else (AVERAGE_EVERY - 2 + step // AVERAGE_EVERY, AVERAGE_EVERY)
    )
    return min(decay**steps, (1 + update) / (10 + update) if update else 0.0)


def update_average(averages: list[Tensor], weights: list[Tensor], kept: float) -> None:
    """Move averages towards the weights of the same shapes, in place; `kept` is `kept_average`'s."""
    torch._foreach_lerp_(averages, weights, 1.0 - kept)
