"""What the model of every family is told of its scene, and how those that march do it."""

from dataclasses import dataclass, replace
from typing import Self

from neurocity.errors import ConfigError
from neurocity.presets import Presets

Box = tuple[float, float, float, float, float, float]
Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class FieldConfig(Presets):
    """A scene's box, and what lies outside of it; a family's configuration adds its own fields."""

    scene_bounds: Box = (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
    """Box of the content (x0, y0, z0, x1, y1, z1) in scene coordinates; its cube has its longest side."""
    unbounded: bool = False
    """Model all space outside the box too, coarser with distance, for scenes with surroundings."""
    sky: bool = False
    """Learn a colour by direction behind everything; opacity is then 1 everywhere."""
    near: float = 0.0
    """Nothing is seen nearer to the camera than this, world units."""

    def __post_init__(self) -> None:
        low, high = self.scene_bounds[:3], self.scene_bounds[3:]
        if len(self.scene_bounds) != 6 or not all(a < b for a, b in zip(low, high, strict=True)):
            raise ConfigError(f"scene_bounds: got {self.scene_bounds}, expected x0 < x1, y0 < y1, z0 < z1")
        self.check_at_least(0, "near")

    def for_scene(self, bounds: Box, unbounded: bool, up: Vector = (0.0, 0.0, 1.0)) -> Self:  # noqa: ARG002, most families know no direction that is special
        """This configuration for a scene's box and upward direction; an unbounded scene gets a sky."""
        return replace(self, scene_bounds=bounds, unbounded=unbounded, sky=unbounded)


@dataclass(frozen=True, kw_only=True)
class MarchedFieldConfig(FieldConfig):
    """March and density scale of a marched field."""

    occupancy_resolution: int = 128
    """Cells of the occupancy grid along an axis."""
    march_steps: int = 1024
    """Lattice points along the diagonal of the box's cube."""
    step_growth: float = 1.0 / 256.0
    """Relative growth of the step with distance, unbounded scenes only."""
    initial_density: float = 1.0
    """Density of the untrained field, per side of the box's cube: its optical depth across it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_within(8, 512, "occupancy_resolution")
        self.check_at_least(1, "march_steps")
        self.check_positive("initial_density", "step_growth")
