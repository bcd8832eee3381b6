"""The device that was asked for."""

import torch

from neurocity.errors import MissingDependencyError


def check_device(device: str) -> None:
    """Raises MissingDependencyError when CUDA is asked for and absent; never falls back."""
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError("device cuda: torch finds no CUDA device here; use --device cpu")
