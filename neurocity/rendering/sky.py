"""What stands behind everything in a scene that is not cut out: a colour by direction."""

import torch
from torch import Tensor

from neurocity.rendering.mlp import MLP
from neurocity.rendering.spherical_harmonics import COEFFICIENTS


class SkyNet(MLP):
    """Direction basis [R, 16] of `spherical_harmonics` -> sRGB [R, 3] in (0, 1)."""

    def __init__(self) -> None:
        super().__init__(COEFFICIENTS, 32, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.sigmoid(self.outputs(inputs))
