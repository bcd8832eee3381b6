"""Configuration of SVRaster: what the model is, apart from how it is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from neurocity.errors import ConfigError
from neurocity.rendering.field_config import Box, FieldConfig

MAX_LEVELS: Final = 16
"""Levels below the octree's root at most: on the finest lattice, corners are whole numbers up to 2^16."""


@dataclass(frozen=True, kw_only=True)
class SVRasterConfig(FieldConfig):
    """SVRaster (Sun et al. 2024). Defaults are the paper's; `preset("cpu")` learns in minutes."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {
            "max_octree_levels": 10,
            "base_resolution": 32,
            "sh_degree": 2,
            "initial_density": -3.0,
            "max_voxels": 400_000,
        },
    }

    scene_bounds: Box = (-2.0, -2.0, -2.0, 2.0, 2.0, 2.0)
    """Box of the content (x0, y0, z0, x1, y1, z1) in scene coordinates; its cube has its centre and longest
    side."""
    max_octree_levels: int = 12
    """Voxels are never smaller than the box's cube halved this many times; with shells, 16 in all."""
    base_resolution: int = 64
    """Voxels of the untrained model along an axis of the box's cube, a power of two."""
    outside_levels: int = 4
    """Shells of an unbounded scene; each doubles the side of the cube that is modelled."""
    sh_degree: int = 3
    """Bands of spherical harmonics that a voxel's colour has beyond its constant, 0 to 3."""
    samples_per_voxel: int = 1
    """Points at which density is evaluated on a ray's way through a voxel, 1 to 3."""
    initial_density: float = -10.0
    """Raw density of the untrained model, before activation."""
    max_voxels: int = 10_000_000
    """Subdivision stops at this many voxels."""
    depth_per_side: float = 300.0
    """Optical depth across the box's cube at activated density 1; the paper's is 100 a unit, its cube 3."""
    brightest: float = 1.0
    """Rendered colours of voxels are clamped to this; above 1 for models trained without a limit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_within(1, MAX_LEVELS, "max_octree_levels")
        base = self.base_resolution
        if base < 2 or base & (base - 1) or base > 2**self.max_octree_levels:
            raise ConfigError(
                f"base_resolution: got {base}, expected a power of two from 2 to 2^max_octree_levels = "
                f"{2**self.max_octree_levels}"
            )
        if self.outside_levels < 1 or (self.unbounded and self.octree_levels > MAX_LEVELS):
            raise ConfigError(
                f"outside_levels: got {self.outside_levels} with max_octree_levels {self.max_octree_levels}, "
                f"expected at least 1 and at most {MAX_LEVELS} together"
            )
        self.check_within(0, 3, "sh_degree")
        self.check_within(1, 3, "samples_per_voxel")
        self.check_positive("depth_per_side")
        self.check_at_least(1, "brightest", "max_voxels")

    @property
    def octree_levels(self) -> int:
        """Levels below the octree's root, the shells' included."""
        return self.max_octree_levels + self.bounds_level

    @property
    def bounds_level(self) -> int:
        """How many times the octree's root is halved to the side of the box's cube; 0 when bounded."""
        return self.outside_levels if self.unbounded else 0
