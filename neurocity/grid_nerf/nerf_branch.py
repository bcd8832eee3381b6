"""The NeRF branch of Grid-NeRF: a small network on positions that grid features inform (Xu et al. 2023, 3.2).

Notation
    N points; K frequencies; PE(x) = sin and cos of 2^k pi x, k = 0 ... K - 1, with x in [-1, 1] along the box
"""

import math

import torch
from torch import Tensor, nn

from neurocity.grid_nerf.config import GridNeRFConfig
from neurocity.rendering.mlp import MLP
from neurocity.rendering.spherical_harmonics import COEFFICIENTS


class PositionalEncoding(nn.Module):
    """points [3, N] in [0, 1] -> [N, 6 K] (Mildenhall et al. 2020, eq. 4)."""

    halves: Tensor

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.width = 6 * frequencies
        self.register_buffer("halves", 2.0 ** (torch.arange(frequencies) - 1.0), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        turns = (points * 2.0 - 1.0)[:, None, :] * self.halves[:, None]
        # Whole turns are taken off exactly: sines of large arguments differ among runtimes.
        angles = ((turns - turns.floor()) * (2.0 * math.pi)).flatten(0, 1).t()
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class NeRFBranch(nn.Module):
    """Density over the grid branch's, and colour, from position, direction and the grid's features.

    density_features, appearance_features: the widths of the grid's two sets. Of the hidden layers the last
    alone sees appearance and direction.
    """

    def __init__(self, config: GridNeRFConfig, density_features: int, appearance_features: int) -> None:
        super().__init__()
        self.encoding = PositionalEncoding(config.nerf_frequencies)
        width = config.nerf_width
        hidden = (width,) * (config.nerf_layers - 1)
        self.trunk = MLP(self.encoding.width + density_features, *hidden, 1 + width)
        self.color_net = MLP(width + appearance_features + COEFFICIENTS, width, 3)

    def forward(self, points: Tensor, density_features: Tensor) -> tuple[Tensor, Tensor]:
        """points [3, N] in [0, 1], density features [N, .] -> hidden layer [N, width], log-factor [N].

        The exponential of the factor's logarithm multiplies the grid branch's density.
        """
        outputs = self.trunk(torch.cat([self.encoding(points), density_features], dim=1))
        return torch.relu(outputs[:, 1:]), outputs[:, 0]

    def color(self, hidden: Tensor, appearance_features: Tensor, basis: Tensor) -> Tensor:
        """hidden [N, width], appearance features [N, .], direction basis [N, 16] -> sRGB [N, 3] in (0, 1)."""
        inputs = torch.cat([hidden, appearance_features, basis], dim=1)
        return torch.sigmoid(self.color_net(inputs))
