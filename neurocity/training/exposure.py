"""Exposure and white balance of photographs: an affine colour of each, learnt beside the model.

A camera that sets both by itself changes them from frame to frame. A model that knows nothing of it explains
the differences by fog in front of the cameras. One affine map a photograph is what Kerbl et al. 2024
(hierarchical 3D Gaussians) learn, too.

Notation
    V training photographs, R rays
    A_i [3, 4]  map of photograph i: the model's colour, and its opacity as fourth, to the photograph's colour
    L_i [3, 4]  its logarithm; A_i is the upper part of the exponential of (L_i - mean of all L), squared by
                a row of zeros

The mean is taken of logarithms because gains multiply: twice and half the light are together no change. The
maps are thus the identity on average at every step, so the model keeps the mean exposure and cannot drift.
Exported models and evaluation know nothing of the maps.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn

LEARNING_RATE: Final = 1e-2
"""Peak learning rate of logarithms. A stop is 0.3 in the logarithm of encoded colours, and Adam's step is at
most about as long as its rate. Some thirty steps get there, so the maps lead and the model follows."""
GAIN_WEIGHT: Final = 1e-3
"""Weight of squared logarithms of gains, the diagonal of L: so small that a stop loses some hundredths."""
MIXING_WEIGHT: Final = 0.1
"""Weight of all other squared entries: cameras hardly mix colours or add light, but what a single photograph
shows is easily explained so."""


class Exposure(nn.Module):
    """Affine colours of training photographs, the identity at first; of none before `begin`."""

    logarithms: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self.logarithms = nn.Parameter(torch.zeros(0, 3, 4))

    def begin(self, photographs: int) -> None:
        """Start anew with identities for so many photographs. The parameter stays the same object."""
        self.logarithms.data = self.logarithms.data.new_zeros(photographs, 3, 4)

    def parameter_group(self) -> dict[str, Any]:
        """What an optimiser is made of. Its step does not depend on how many photographs share a batch."""
        return {
            "params": [self.logarithms],
            "lr": LEARNING_RATE,
            "weight_decay": 0.0,
            "betas": (0.9, 0.99),
            "eps": 1e-15,
        }

    def maps(self, sign: float = 1.0) -> Tensor:
        """A_i of all photographs [V, 3, 4]; with -1 their inverses."""
        centered = self.logarithms.float()
        centered = sign * (centered - centered.mean(0))
        return torch.matrix_exp(nn.functional.pad(centered, (0, 0, 0, 1)))[:, :3]

    def forward(self, rgb: Tensor, opacity: Tensor, view_index: Tensor) -> Tensor:
        """Rendered light [R, 3] of opacity [R], as the photographs of `view_index` [R] have it -> [R, 3].

        What is behind the light is left as it is: a background is nothing that was photographed.
        """
        with torch.autocast(rgb.device.type, enabled=False):
            return _apply(self.maps(), rgb.float(), opacity.float(), view_index)

    @torch.no_grad()
    def neutral(self, colors: Tensor, view_index: Tensor) -> Tensor:
        """Colours [R, 3] of the photographs of `view_index` [R], as the model has them. No gradient."""
        with torch.autocast(colors.device.type, enabled=False):
            return _apply(self.maps(-1.0), colors, torch.ones_like(colors[:, 0]), view_index)

    def penalty(self) -> Tensor:
        """What maps are charged for being far from the identity, which is added to the mean squared error.

        Without it they would explain what a photograph shows, where few others show the same.
        """
        centered = self.logarithms - self.logarithms.mean(0)
        gains = centered.diagonal(dim1=1, dim2=2).square().sum(1).mean()
        return GAIN_WEIGHT * gains + MIXING_WEIGHT * (centered.square().sum((1, 2)).mean() - gains)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """A checkpoint says how many photographs there are."""
        loaded = state_dict.get(f"{prefix}logarithms")
        if loaded is not None and loaded.shape != self.logarithms.shape:
            self.begin(len(loaded))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _apply(maps: Tensor, rgb: Tensor, opacity: Tensor, view_index: Tensor) -> Tensor:
    own = maps.index_select(0, view_index)
    return (own[:, :, :3] * rgb[:, None]).sum(-1) + own[:, :, 3] * opacity[:, None]
