"""Configuration of Grid-NeRF: what the model is, apart from how it is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from neurocity.errors import ConfigError
from neurocity.rendering.field_config import Box, MarchedFieldConfig, Vector

Axis = Literal["x", "y", "z"]


@dataclass(frozen=True, kw_only=True)
class GridNeRFConfig(MarchedFieldConfig):
    """Grid-NeRF (Xu et al. 2023). Defaults are the paper's; `preset("cpu")` learns in minutes."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {
            "mode": "objects",
            "initial_resolution": 64,
            "final_resolution": 256,
            "resolution_divisors": (1, 4),
            "density_components": 8,
            "appearance_components": 16,
            "hidden_dim": 64,
            "density_layers": 1,
            "color_layers": 1,
            "nerf_frequencies": 8,
            "nerf_width": 64,
            "march_steps": 512,
        },
    }

    mode: Literal["city", "objects"] = "city"
    """Ground plane times vertical line, for cities (the paper's); or all three planes with their lines, for
    objects that are no height fields (TensoRF's vector-matrix form)."""
    up_axis: Axis = "z"
    """The vertical axis, which the line of a city's ground plane runs along."""
    initial_resolution: int = 128
    """Cube root of the number of voxels that the finest scale's vertices stand for when training begins."""
    final_resolution: int = 1024
    """The same at the end; each axis gets vertices in proportion to the box's extent."""
    resolution_divisors: tuple[int, ...] = (1, 4, 16)
    """A scale for each: the finest scale's resolution over it."""
    density_components: int = 8
    """Components of density features, for each scale and plane."""
    appearance_components: int = 16
    """Components of appearance features, for each scale and plane."""
    hidden_dim: int = 128
    """Width of the grid branch's density and colour networks."""
    density_layers: int = 2
    """Hidden layers of the density network."""
    color_layers: int = 2
    """Hidden layers of the colour network."""
    nerf_frequencies: int = 16
    """Frequencies of the NeRF branch's positional encoding, 2^0 to 2^(K-1)."""
    nerf_width: int = 256
    """Width of the NeRF branch."""
    nerf_layers: int = 4
    """Hidden layers of the NeRF branch."""
    guide_weight: float = 1e-3
    """The NeRF branch is sampled where a sample's weight in the grid branch's render exceeds this."""
    render_branch: Literal["grid", "nerf"] = "grid"
    """The branch that eval renders and exports hold. The paper's grid branch has the higher PSNR, its NeRF
    branch the lower LPIPS."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choices()
        self.check_at_least(1, "density_components", "appearance_components", "hidden_dim", "density_layers")
        self.check_at_least(1, "color_layers", "nerf_frequencies", "nerf_width")
        self.check_at_least(2, "nerf_layers")
        self.check_positive("guide_weight")
        if not 2 <= self.initial_resolution <= self.final_resolution:
            raise ConfigError(
                f"initial_resolution and final_resolution: got {self.initial_resolution} and "
                f"{self.final_resolution}, expected 2 <= initial <= final"
            )
        if not self.resolution_divisors or min(self.resolution_divisors) < 1:
            raise ConfigError(
                f"resolution_divisors: got {self.resolution_divisors}, expected whole numbers from 1"
            )

    def for_scene(self, bounds: Box, unbounded: bool, up: Vector = (0.0, 0.0, 1.0)) -> Self:
        """This configuration for a scene's box; the axis nearest to `up` becomes the vertical one."""
        axes: tuple[Axis, ...] = ("x", "y", "z")
        vertical = max(axes, key=lambda axis: abs(up[axes.index(axis)]))
        return replace(super().for_scene(bounds, unbounded, up), up_axis=vertical)
