"""Positional encodings of Gaussians and of directions (Barron et al. 2021, section 3.1).

Notation
    L octaves; octave l has the angular frequency 2^l
"""

import torch
from torch import Tensor


def frequencies(degrees: int) -> Tensor:
    """The angular frequencies of `degrees` octaves: [L] float32."""
    return 2.0 ** torch.arange(degrees, dtype=torch.float32)


def positional_encoding(values: Tensor, scales: Tensor) -> Tensor:
    """Sines, then cosines of values [..., C] at frequencies [L] -> [..., 2 C L]."""
    phase = (values[..., None] * scales).flatten(-2)
    return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)


def integrated_encoding(mean: Tensor, variance: Tensor, scales: Tensor) -> Tensor:
    """Expected `positional_encoding` of Gaussians [..., C] with diagonal covariances (equations 13 to 15).

    A frequency whose wave is short against a Gaussian fades: exp(-scale^2 variance / 2).
    """
    phase = (mean[..., None] * scales).flatten(-2)
    fading = torch.exp((variance[..., None] * (scales * scales * -0.5)).flatten(-2))
    return torch.cat([torch.sin(phase) * fading, torch.cos(phase) * fading], dim=-1)
