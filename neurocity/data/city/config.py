"""Everything that decides what a procedural city looks like and how it is photographed."""

import math
from dataclasses import dataclass

from neurocity.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CityConfig:
    """A city and its photographs. The same values give byte-equal files.

    World units are metres, z points up, the city is centred on the origin and its roads lie at z = 0.
    Raises ConfigError when a value is out of range.
    """

    seed: int = 0
    """Seed of everything random: plots, buildings, trees, cars, clouds, camera jitter."""
    blocks: tuple[int, int] = (2, 2)
    """Number of city blocks along x and y; a block with its street is about 60 m wide."""
    views: int = 100
    """Number of photographs, held-out ones included."""
    street_share: float = 0.4
    """Share of the photographs taken from the streets; the rest are aerial."""
    drive: bool = False
    """Photograph as a car does that goes along each street and back, in equal steps; no view is aerial."""
    held_out_every: int = 10
    """One view in this many is held out; held-out views go to validation and test in turns."""
    width: int = 200
    """Image width in pixels."""
    height: int = 200
    """Image height in pixels."""
    fov_degrees: float = 60.0
    """Vertical field of view in degrees."""
    cutout: bool = False
    """Cut the city out: pixels are transparent where they show the sky or land outside of the city's box."""
    samples_per_axis: int = 2
    """A pixel is the mean of this many squared rays on a regular grid."""
    sun_azimuth_degrees: float = 215.0
    """Direction that the sun stands in, counter-clockwise from +x."""
    sun_elevation_degrees: float = 42.0
    """Height of the sun above the horizon."""
    sparse_points: int = 30_000
    """Coloured surface points, seen from training views, that stand in for a structure-from-motion cloud."""

    def __post_init__(self) -> None:
        if len(self.blocks) != 2:
            raise ConfigError(f"blocks: got {self.blocks}, expected two numbers, blocks along x and along y")
        for name, value, least, most in (
            ("seed", self.seed, 0, 2**32 - 1),
            ("blocks along x", self.blocks[0], 1, 64),
            ("blocks along y", self.blocks[1], 1, 64),
            ("views", self.views, 4, 100_000),
            ("street_share", self.street_share, 0.0, 1.0),
            ("held_out_every", self.held_out_every, 2, self.views // 2),
            ("width", self.width, 1, 16_384),
            ("height", self.height, 1, 16_384),
            ("fov_degrees", self.fov_degrees, 10.0, 120.0),
            ("samples_per_axis", self.samples_per_axis, 1, 16),
            ("sun_azimuth_degrees", self.sun_azimuth_degrees, -360.0, 360.0),
            ("sun_elevation_degrees", self.sun_elevation_degrees, 10.0, 90.0),
            ("sparse_points", self.sparse_points, 1, 10_000_000),
        ):
            if not (math.isfinite(value) and least <= value <= most):
                raise ConfigError(f"{name}: got {value}, expected a value from {least} to {most}")

    @property
    def street_views(self) -> int:
        """How many of the photographs are taken from the streets."""
        return self.views if self.drive else round(self.views * self.street_share)
