"""Dense grid: density and colour at the points of one grid, trilinear between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocity.family import render_model
from neurocity.rendering.marched_field import MarchedField, MarchedFieldConfig


@dataclass(frozen=True, kw_only=True)
class DenseGridConfig(MarchedFieldConfig):
    """A dense grid in the scene's cube."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {"resolution": 48, "march_steps": 256},
    }

    resolution: int = 160
    """Grid points along an axis."""


@render_model
class DenseGrid(MarchedField):
    """Log-density and colour, [1, 4, D, H, W] over z, y, x of the unit cube."""

    def __init__(self, config: DenseGridConfig) -> None:
        super().__init__(config)
        self.config = config
        self.values = nn.Parameter(torch.zeros(1, 4, *(config.resolution,) * 3))

    def density(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-cube points [3, N] -> values [N, 4], density [N] per world unit."""
        places = (2.0 * points.t() - 1.0)[None, :, None, None]
        grid = self.values.to(points.dtype)  # it may be kept in float16
        values = functional.grid_sample(grid, places, align_corners=True)[0, :, :, 0, 0].t()
        return values, torch.exp(values[:, 0].clamp(-15.0, 15.0)) * self.density_scale

    def color(self, points: Tensor, features: Tensor, basis: Tensor) -> Tensor:  # noqa: ARG002
        """The values [N, 4] of samples -> sRGB [N, 3] in (0, 1)."""
        return torch.sigmoid(features[:, 1:])
