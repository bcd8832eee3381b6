"""Configuration of Mip-NeRF: what the model is, apart from how it is trained."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from neurocity.errors import ConfigError

Preset = Literal["paper", "cpu"]

PAPER_INITIAL_DENSITY = math.log1p(math.exp(-1.0))
"""Density of the untrained field, about: softplus(0 - 1)."""


@dataclass(frozen=True, kw_only=True)
class MipNeRFConfig:
    """Mip-NeRF (Barron et al. 2021). Defaults are the paper's; `preset("cpu")` learns in minutes."""

    scene_bounds: tuple[float, float, float, float, float, float] = (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
    """Box of the content (x0, y0, z0, x1, y1, z1), world units."""
    unbounded: bool = False
    """Contract all space outside the box's inner sphere, for scenes with surroundings."""
    sky: bool = False
    """Learn a colour by direction behind everything; opacity is then 1 everywhere."""
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
    near: float = 0.0
    """Nothing is sampled nearer to the camera than this, world units."""

    def __post_init__(self) -> None:
        least = {
            "position_degrees": 1,
            "direction_degrees": 0,
            "depth": 1,
            "width": 1,
            "skip_layer": 0,
            "bottleneck_width": 1,
            "color_width": 1,
            "coarse_samples": 2,
            "fine_samples": 2,
        }
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected at least {value}")
        for name in ("color_padding", "near"):
            if getattr(self, name) < 0.0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected >= 0")
        for name in ("resampling_padding", "density_scale"):
            if getattr(self, name) <= 0.0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected > 0")
        if not 8 <= self.hull_resolution <= 512:
            raise ConfigError(f"hull_resolution: got {self.hull_resolution}, expected 8 to 512")
        low, high = self.scene_bounds[:3], self.scene_bounds[3:]
        if not all(one < other for one, other in zip(low, high, strict=True)):
            raise ConfigError(f"scene_bounds: got {self.scene_bounds}, expected x0 < x1, y0 < y1, z0 < z1")

    @classmethod
    def preset(cls, name: Preset, **changes: Any) -> Self:
        """The named preset with some fields changed. Raises ConfigError for an unknown name."""
        if name not in _PRESETS:
            raise ConfigError(f"preset: got {name!r}, expected one of {sorted(_PRESETS)}")
        return replace(cls(), **{**_PRESETS[name], **changes})

    def for_scene(
        self,
        bounds: tuple[float, float, float, float, float, float],
        unbounded: bool,
        up: tuple[float, float, float] = (0.0, 0.0, 1.0),  # noqa: ARG002, no direction is special here
    ) -> Self:
        """This configuration for a scene's box; an unbounded scene gets contraction and a sky.

        There no hull keeps the cameras' surroundings clear: the field starts as thin as the paper's, or else
        each camera learns its picture as a fog right before it.
        """
        bias = self.density_bias
        if unbounded:
            bias = min(bias, math.log(math.expm1(PAPER_INITIAL_DENSITY / self.density_scale)))
        return replace(self, scene_bounds=bounds, unbounded=unbounded, sky=unbounded, density_bias=bias)


_PRESETS: dict[str, dict[str, Any]] = {
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
