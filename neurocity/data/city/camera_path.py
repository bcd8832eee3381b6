"""Where photographs are taken from: orbits over the city at three heights, and drives along its streets."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera, look_at
from neurocity.data.city.chance import chance
from neurocity.data.city.config import CityConfig
from neurocity.data.city.layout import Layout

UP = (0.0, 0.0, 1.0)
ORBITS = ((27.0, 1.25), (42.0, 1.1), (60.0, 1.0))
"""Elevation in degrees, and radius in half-diagonals of the area flown around."""
BLOCKS_PER_ORBIT = 2
CLEARANCE = 8.0
EYE_HEIGHT = 2.6
LANE = 1.6
END_SHARE = 0.35
YAWS = (4.0, 62.0, -38.0, 20.0, -66.0, 36.0, -12.0)
"""Viewing directions at successive stops, in degrees to the left of the street."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A named view."""

    name: str
    camera: Camera


def plan_shots(config: CityConfig, layout: Layout, top: float) -> list[Shot]:
    """All views: `aerial_NNNN`, then `street_NNNN`. top: height of the tallest building."""
    rng = chance(config.seed, "cameras")
    aerial, street = _aerial_poses(rng, config, layout, top=top), _street_poses(rng, config, layout)
    return [
        Shot(f"{kind}_{i:04d}", Camera.from_fov_y(pose, config.width, config.height, config.fov_degrees))
        for kind, poses in (("aerial", aerial), ("street", street))
        for i, pose in enumerate(poses)
    ]


def split_shots(shots: list[Shot], held_out_every: int) -> dict[str, list[Shot]]:
    """Every `held_out_every`-th view to val and test in turns, the others to train."""
    held_out = shots[held_out_every // 2 :: held_out_every]
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
    count = config.views - config.street_views
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
    drives = [(line, layout.street_y, True) for line in layout.street_x[1:-1] or layout.street_x]
    drives += [(line, layout.street_x, False) for line in layout.street_y[1:-1] or layout.street_y]
    borders = np.cumsum([0.0] + [crossings[-1] - crossings[0] for _, crossings, _ in drives])
    poses = []
    for index in range(config.street_views):
        travelled = (index + 0.5) / config.street_views * borders[-1]
        drive = int(np.searchsorted(borders, travelled, side="right")) - 1
        line, crossings, along_y = drives[drive]
        along = crossings[0] + travelled - borders[drive]
        share = (travelled - borders[drive]) / (borders[drive + 1] - borders[drive])
        forwards = share < END_SHARE or (share <= 1 - END_SHARE and index % 2 == 0)
        heading = math.radians(90.0 if along_y else 0.0) + (0.0 if forwards else math.pi)
        base = (line, along) if along_y else (along, line)
        eye = (base[0] + LANE * math.sin(heading), base[1] - LANE * math.cos(heading), EYE_HEIGHT)
        yaw = heading + math.radians(YAWS[index % len(YAWS)] + float(rng.uniform(-7, 7)))
        climb = math.tan(math.radians(float(rng.uniform(4, 12))))
        poses.append(look_at(eye, (eye[0] + math.cos(yaw), eye[1] + math.sin(yaw), eye[2] + climb), UP))
    return poses
