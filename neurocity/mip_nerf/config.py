"""Configuration of Mip-NeRF: what the model is, apart from how it is trained."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from neurocity.rendering.field_config import Box, FieldConfig, Vector

PAPER_INITIAL_DENSITY = math.log1p(math.exp(-1.0))
"""Density of the untrained field, about: softplus(0 - 1)."""


@dataclass(frozen=True, kw_only=True)
class MipNeRFConfig(FieldConfig):
    """Mip-NeRF (Barron et al. 2021). Defaults are the paper's; `preset("cpu")` learns in minutes."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {
            "position_degrees": 9,
            "depth": 4,
            "width": 64,
            "bottleneck_width": 64,
            "color_width": 64,
            "density_scale": 10.0,
            "coarse_samples": 16,
            "fine_samples": 24,
        },
    }

    integrated: bool = True
    """Integrate the positional encoding over conical frustums; False encodes their means alone (NeRF), which
    is the ablation."""
    position_degrees: int = 16
    """Octaves of the encoding of positions; the lowest has angular frequency 1 per half side of the box."""
    direction_degrees: int = 4
    """Octaves of the encoding of view directions."""
    depth: int = 8
    """Hidden layers of the network."""
    width: int = 256
    """Width of the hidden layers."""
    skip_layer: int = 4
    """The encoding is given again to the layer after this one (counted from 0); `depth` or more: to none."""
    bottleneck_width: int = 256
    """Features that go from the hidden layers to the colour layer."""
    color_width: int = 128
    """Width of the layer that sees the view direction."""
    density_bias: float = -1.0
    """Added to the raw density before softplus."""
    density_scale: float = 1.0
    """Factor of the density after softplus, per half side of the box."""
    color_padding: float = 0.001
    """The sigmoid of colours reaches this far beyond 0 and 1 in training, so that it can reach these."""
    coarse_samples: int = 128
    """Frustums along a ray in the first pass."""
    fine_samples: int = 128
    """Frustums along a ray in the second pass."""
    resampling_padding: float = 0.01
    """Added to the blurred weights of the first pass before the second one is drawn from them."""
    hull_resolution: int = 128
    """Cells along an axis of the grid that says where a bounded scene can hold matter."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(0, "direction_degrees", "skip_layer", "color_padding")
        self.check_at_least(1, "position_degrees", "depth", "width", "bottleneck_width", "color_width")
        self.check_at_least(2, "coarse_samples", "fine_samples")
        self.check_positive("resampling_padding", "density_scale")
        self.check_within(8, 512, "hull_resolution")

    def for_scene(self, bounds: Box, unbounded: bool, up: Vector = (0.0, 0.0, 1.0)) -> Self:
        """This configuration for a scene's box; an unbounded scene gets contraction and a sky.

        There no hull keeps the cameras' surroundings clear: the field starts as thin as the paper's, or else
        each camera learns its picture as a fog right before it.
        """
        bias = self.density_bias
        if unbounded:
            bias = min(bias, math.log(math.expm1(PAPER_INITIAL_DENSITY / self.density_scale)))
        return replace(super().for_scene(bounds, unbounded, up), density_bias=bias)
