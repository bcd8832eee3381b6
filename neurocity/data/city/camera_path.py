"""Where photographs are taken from: orbits over the city at three heights, drives along streets, surveys."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.city.chance import chance
from neurocity.data.city.config import CityConfig
from neurocity.data.city.layout import Layout
from neurocity.data.city.survey import survey_poses
from neurocity.errors import ConfigError
from neurocity.poses import look_at

UP = (0.0, 0.0, 1.0)
ORBITS = ((27.0, 1.25), (42.0, 1.1), (60.0, 1.0))
"""Elevation in degrees, and radius in half-diagonals of the area flown around."""
BLOCKS_PER_ORBIT = 2
CLEARANCE = 8.0
EYE_HEIGHT = 2.6
LANE = 1.6
END_SHARE = 0.35
DRIVE_YAWS = (0.0, 50.0, -50.0)
"""Viewing directions of a drive in turns, as of a car with three cameras."""
YAWS = (4.0, 62.0, -38.0, 20.0, -66.0, 36.0, -12.0)
"""Viewing directions at successive stops, in degrees to the left of the street."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A named view."""

    name: str
    camera: Camera


def plan_shots(config: CityConfig, layout: Layout, top: float) -> list[Shot]:
    """All views: `aerial_NNNN`, then `street_NNNN`; of a survey a kind for each camera.

    top: height of the tallest building. Raises ConfigError as `survey_poses`.
    """
    rng = chance(config.seed, "cameras")
    if config.survey:
        kinds = survey_poses(rng, config, layout, top)
    else:
        kinds = {
            "aerial": _aerial_poses(rng, config, layout, top=top),
            "street": (_drive_poses if config.drive else _street_poses)(rng, config, layout),
        }
    return [
        Shot(f"{kind}_{i:04d}", Camera.from_fov_y(pose, config.width, config.height, config.fov_degrees))
        for kind, poses in kinds.items()
        for i, pose in enumerate(poses)
    ]


def split_shots(config: CityConfig, shots: list[Shot]) -> dict[str, list[Shot]]:
    """Of every `held_out_every` views one to val or test in turns, the others to train.

    It is the one in their middle. Of a survey it is any of them, since strips are regular: those in the
    middle could all be in the same columns of the flight. Raises ConfigError where none is.
    """
    every = config.held_out_every
    if config.survey:
        rng = chance(config.seed, "held out")
        chosen = np.arange(0, len(shots), every) + rng.integers(every, size=-(-len(shots) // every))
        held_out = [shots[index] for index in chosen.tolist() if index < len(shots)]
    else:
        held_out = shots[every // 2 :: every]
    if not held_out:
        raise ConfigError(
            f"held_out_every: got {every}, of which none of the {len(shots)} views of this survey is held "
            f"out, expected {len(shots) // 2} at most"
        )
    names = {shot.name for shot in held_out}
    return {
        "train": [shot for shot in shots if shot.name not in names],
        "val": held_out[::2],
        "test": held_out[1::2],
    }


def _aerial_poses(
    rng: np.random.Generator, config: CityConfig, layout: Layout, *, top: float
) -> list[npt.NDArray[np.float64]]:
    """Orbits around every group of 2 by 2 blocks, so that a larger city is not seen from further away."""
    bounds = layout.bounds
    columns, rows = (math.ceil(count / BLOCKS_PER_ORBIT) for count in config.blocks)
    width, depth = bounds.size[0] / columns, bounds.size[1] / rows
    centers = [
        (bounds.x0 + (i + 0.5) * width, bounds.y0 + (j + 0.5) * depth)
        for j in range(rows)
        for i in range(columns)
    ]
    half_diagonal = 0.5 * math.hypot(width, depth)
    count = config.view_count - config.street_views
    poses = []
    for index in range(count):
        center = centers[index % len(centers)]
        turn = index // len(centers)
        elevation, reach = ORBITS[turn % len(ORBITS)]
        # The golden angle spreads any number of views evenly around the orbit.
        azimuth = math.radians(turn * 137.508 + float(rng.uniform(-6, 6)))
        radius = half_diagonal * reach * float(rng.uniform(0.93, 1.07))
        level = radius * math.cos(math.radians(elevation))
        height = max(radius * math.sin(math.radians(elevation)), top + CLEARANCE)
        eye = (center[0] + level * math.cos(azimuth), center[1] + level * math.sin(azimuth), height)
        shift = rng.uniform(-0.12, 0.12, size=2) * (width, depth)
        poses.append(look_at(eye, (center[0] + shift[0], center[1] + shift[1], 0.12 * top), UP))
    return poses


def _street_poses(
    rng: np.random.Generator, config: CityConfig, layout: Layout
) -> list[npt.NDArray[np.float64]]:
    """Evenly spaced stops along the streets between blocks (along all, where no street has blocks on both
    sides). Near an end of its street a camera looks inwards, elsewhere up and down the street in turns."""
    streets = _streets(layout)
    borders = np.cumsum([0.0, *(street.length for street in streets)])
    poses = []
    for index in range(config.street_views):
        travelled = (index + 0.5) / config.street_views * borders[-1]
        drive = int(np.searchsorted(borders, travelled, side="right")) - 1
        street, along = streets[drive], travelled - borders[drive]
        share = along / street.length
        forwards = share < END_SHARE or (share <= 1 - END_SHARE and index % 2 == 0)
        yaw = YAWS[index % len(YAWS)] + float(rng.uniform(-7, 7))
        poses.append(street.pose(along, forwards, yaw, float(rng.uniform(4, 12))))
    return poses


def _drive_poses(
    rng: np.random.Generator, config: CityConfig, layout: Layout
) -> list[npt.NDArray[np.float64]]:
    """Equal steps along each of the streets of `_street_poses`, there and back, by three cameras in turns."""
    streets = _streets(layout)
    borders = np.cumsum([0.0, *(street.length for street in streets for _ in range(2))])
    poses = []
    for index in range(config.street_views):
        travelled = (index + 0.5) / config.street_views * borders[-1]
        drive = int(np.searchsorted(borders, travelled, side="right")) - 1
        street, forwards, driven = streets[drive // 2], drive % 2 == 0, travelled - borders[drive]
        yaw = DRIVE_YAWS[index % len(DRIVE_YAWS)] + float(rng.uniform(-2, 2))
        along = driven if forwards else street.length - driven
        poses.append(street.pose(along, forwards, yaw, float(rng.uniform(5, 8))))
    return poses


class _Street(NamedTuple):
    """A street's centre line, from the first to the last of its crossings."""

    line: float
    first: float
    length: float
    along_y: bool

    def pose(
        self, along: float, forwards: bool, yaw_degrees: float, climb_degrees: float
    ) -> npt.NDArray[np.float64]:
        """Of a camera in the right lane, turned left by a yaw from where the street goes, and upwards."""
        heading = math.radians(90.0 if self.along_y else 0.0) + (0.0 if forwards else math.pi)
        at = self.first + along
        base = (self.line, at) if self.along_y else (at, self.line)
        eye = (base[0] + LANE * math.sin(heading), base[1] - LANE * math.cos(heading), EYE_HEIGHT)
        yaw, climb = heading + math.radians(yaw_degrees), math.tan(math.radians(climb_degrees))
        return look_at(eye, (eye[0] + math.cos(yaw), eye[1] + math.sin(yaw), eye[2] + climb), UP)


def _streets(layout: Layout) -> list[_Street]:
    """Those between blocks; where no street has blocks on both sides, all."""
    ways = ((layout.street_x, layout.street_y, True), (layout.street_y, layout.street_x, False))
    return [
        _Street(line, crossings[0], crossings[-1] - crossings[0], along_y)
        for lines, crossings, along_y in ways
        for line in lines[1:-1] or lines
    ]
