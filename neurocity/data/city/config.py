"""Everything that decides what a procedural city looks like and how it is photographed."""

import math
from dataclasses import dataclass

from neurocity.errors import ConfigError

MOST_VIEWS = 100_000
"""Photographs of a city."""


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
    views: int | None = None
    """Number of photographs, held-out ones included; None is 100. Overlap says how many a survey has."""
    street_share: float | None = None
    """Share of the photographs taken from the streets, None is 0.4; the rest are aerial."""
    drive: bool = False
    """Photograph as a car does that goes along each street and back, in equal steps; no view is aerial."""
    survey: bool = False
    """Photograph as surveyors fly: in parallel strips, by five cameras, of which one looks straight down and
    four look aslant to all sides."""
    overlap: tuple[float, float] | None = None
    """Of a survey, percent: what pictures straight down share on the ground with the next one of their strip,
    and with the next strip. None is 75 60."""
    altitude: float | None = None
    """Of a survey, metres above the roads; None is twice the height of the tallest building."""
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
    sparse_points: int | None = None
    """Coloured surface points, seen from training views, that stand in for a structure-from-motion cloud;
    None is 30,000, and 1,000 for each block where these are more."""

    def __post_init__(self) -> None:
        for name, pair in (("blocks", self.blocks), ("overlap", self.flight_overlap)):
            if len(pair) != 2:
                raise ConfigError(f"{name}: got {pair}, expected two numbers")
        self._refuse_what_has_no_effect()
        for name, value, least, most in (
            ("seed", self.seed, 0, 2**32 - 1),
            ("blocks along x", self.blocks[0], 1, 64),
            ("blocks along y", self.blocks[1], 1, 64),
            ("views", self.view_count, 4, MOST_VIEWS),
            ("street_share", self.share_from_streets, 0.0, 1.0),
            ("overlap in a strip", self.flight_overlap[0], 0.0, 95.0),
            ("overlap of strips", self.flight_overlap[1], 0.0, 95.0),
            ("altitude", 100.0 if self.altitude is None else self.altitude, 1.0, 10_000.0),
            ("held_out_every", self.held_out_every, 2, MOST_VIEWS if self.survey else self.view_count // 2),
            ("width", self.width, 1, 16_384),
            ("height", self.height, 1, 16_384),
            ("fov_degrees", self.fov_degrees, 10.0, 120.0),
            ("samples_per_axis", self.samples_per_axis, 1, 16),
            ("sun_azimuth_degrees", self.sun_azimuth_degrees, -360.0, 360.0),
            ("sun_elevation_degrees", self.sun_elevation_degrees, 10.0, 90.0),
            ("sparse_points", self.point_count, 1, 10_000_000),
        ):
            if not (math.isfinite(value) and least <= value <= most):
                raise ConfigError(f"{name}: got {value}, expected a value from {least} to {most}")

    def _refuse_what_has_no_effect(self) -> None:
        others = {"views": self.views, "street_share": self.street_share, "drive": self.drive or None}
        own = {"overlap": self.overlap, "altitude": self.altitude}
        for name, value in (others if self.survey else own).items():
            if value is not None:
                hint = "a survey has none: its views follow from overlap and altitude" if self.survey else ""
                raise ConfigError(f"{name}: got {value}, {hint or 'which is of surveys: give survey, too'}")

    @property
    def view_count(self) -> int:
        """How many photographs there are, but for a survey."""
        return 100 if self.views is None else self.views

    @property
    def share_from_streets(self) -> float:
        """Share of the photographs taken from the streets, but for drives and surveys."""
        return 0.4 if self.street_share is None else self.street_share

    @property
    def street_views(self) -> int:
        """How many of the photographs are taken from the streets, but for a survey."""
        return self.view_count if self.drive else round(self.view_count * self.share_from_streets)

    @property
    def flight_overlap(self) -> tuple[float, float]:
        """Percent of overlap of a survey, in a strip and of strips."""
        return (75.0, 60.0) if self.overlap is None else self.overlap

    @property
    def point_count(self) -> int:
        """How many sparse points there are."""
        return (
            max(30_000, 1000 * math.prod(self.blocks)) if self.sparse_points is None else self.sparse_points
        )
