"""Configuration of Instant-NGP: what the model is, apart from how it is trained."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from neurocity.errors import ConfigError
from neurocity.rendering.hash_grid import HashKind

Preset = Literal["paper", "cpu"]


@dataclass(frozen=True, kw_only=True)
class InstantNGPConfig:
    """Instant-NGP (Müller et al. 2022). Defaults are the paper's; `preset("cpu")` learns in minutes."""

    scene_bounds: tuple[float, float, float, float, float, float] = (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
    """Box of the content (x0, y0, z0, x1, y1, z1), world units."""
    unbounded: bool = False
    """Contract all space outside the box into the field's cube, for scenes with surroundings."""
    sky: bool = False
    """Learn a colour by direction behind everything; opacity is then 1 everywhere."""
    num_levels: int = 16
    """Levels L of the hash grid."""
    level_dim: int = 2
    """Features F a level: 1, 2 or 4."""
    log2_hashmap_size: int = 19
    """Binary logarithm of the rows T of a level's table."""
    base_resolution: int = 16
    """Resolution of the coarsest level."""
    finest_resolution: int = 2048
    """Resolution of the finest level."""
    hash_kind: HashKind = "base_convert"
    """Spatial hash: additive (exports everywhere) or the paper's XOR (for comparison)."""
    hidden_dim: int = 64
    """Width of the density and colour networks."""
    geometry_dim: int = 16
    """Outputs of the density network; the first is the log-density, all feed the colour network."""
    color_layers: int = 2
    """Hidden layers of the colour network."""
    occupancy_resolution: int = 128
    """Cells of the occupancy grid along an axis."""
    march_steps: int = 1024
    """Lattice points along the diagonal of the box's cube."""
    step_growth: float = 1.0 / 256.0
    """Relative growth of the step with distance, unbounded scenes only."""
    initial_density: float = 1.0
    """Density of the untrained field, per side of the box's cube: its optical depth across it."""
    near: float = 0.0
    """Nothing is sampled nearer to the camera than this, world units."""

    def __post_init__(self) -> None:
        for name in ("hidden_dim", "geometry_dim", "color_layers", "march_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected at least 1")
        if not 8 <= self.occupancy_resolution <= 512:
            raise ConfigError(f"occupancy_resolution: got {self.occupancy_resolution}, expected 8 to 512")
        if self.initial_density <= 0.0:
            raise ConfigError(f"initial_density: got {self.initial_density}, expected > 0")
        if self.step_growth <= 0.0 or self.near < 0.0:
            raise ConfigError(
                f"step_growth and near: got {self.step_growth} and {self.near}, expected > 0 and >= 0"
            )

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
        """This configuration for a scene's box; an unbounded scene gets contraction and a sky."""
        return replace(self, scene_bounds=bounds, unbounded=unbounded, sky=unbounded)


_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "cpu": {
        "num_levels": 8,
        "level_dim": 4,
        "log2_hashmap_size": 16,
        "finest_resolution": 512,
        "march_steps": 512,
    },
}
