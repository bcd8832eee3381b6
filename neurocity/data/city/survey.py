"""Where an aerial survey photographs from: parallel strips over the city, flown there and back.

Five cameras take a picture at each place, as rigs for towns do (and the cameras of MatrixCity): one looks
straight down, four look aslant along and across the strips, so that each wall is seen from in front. Pictures
whose middle is not in the city, or half a step from it, are not taken, and strips go beyond it as far as the
cameras need that look back at it.

Notation
    h  altitude above the roads
    reach  h tan(tilt): from below a slanted camera to the middle of its picture on the ground
"""

import math

import numpy as np
import numpy.typing as npt

from neurocity.data.city.config import MOST_VIEWS, CityConfig
from neurocity.data.city.layout import Layout
from neurocity.errors import ConfigError
from neurocity.poses import look_at

Array = npt.NDArray[np.float64]

TILT = 40.0
"""Degrees between a slanted camera and straight down."""
CAMERAS = {
    "down": (0.0, 0.0),
    "east": (1.0, 0.0),
    "north": (0.0, 1.0),
    "west": (-1.0, 0.0),
    "south": (0.0, -1.0),
}
"""Where the cameras look: x east, y north."""
LEAST_CLEARANCE = 8.0
"""Metres above the tallest building."""
SWAY = 0.03
"""By how much an aeroplane is off its place and its direction, in altitudes on the ground."""


def survey_poses(
    rng: np.random.Generator, config: CityConfig, layout: Layout, top: float
) -> dict[str, list[Array]]:
    """Camera-to-world poses by camera, in the order of flight. top: height of the tallest building.

    Raises ConfigError for an altitude that is too low, and for more views than a city may have.
    """
    h = 2.0 * top if config.altitude is None else config.altitude
    if h < top + LEAST_CLEARANCE:
        raise ConfigError(
            f"altitude: got {h:g}, expected {top + LEAST_CLEARANCE:.1f} at least: the tallest building is "
            f"{top:.1f} m high"
        )
    low, high = np.array(layout.bounds).reshape(2, 2)
    along = int(np.argmax(high - low))
    in_strip, of_strips = config.flight_overlap
    picture = 2.0 * h * math.tan(math.radians(config.fov_degrees) / 2.0)
    step = np.empty(2)
    step[along] = picture * (1.0 - in_strip / 100.0)
    step[1 - along] = picture * config.width / config.height * (1.0 - of_strips / 100.0)
    reach = h * math.tan(math.radians(TILT))
    axes = [_stops(low[axis], high[axis], reach + 0.5 * step[axis], step[axis]) for axis in (0, 1)]
    if (count := len(CAMERAS) * len(axes[0]) * len(axes[1])) > MOST_VIEWS:
        raise ConfigError(
            f"overlap: got {in_strip:g} {of_strips:g}, of which a survey at {h:.0f} m has up to {count:,} "
            f"views; expected {MOST_VIEWS:,} at most, by less overlap, fewer blocks or a larger altitude"
        )
    poses: dict[str, list[Array]] = {name: [] for name in CAMERAS}
    for strip, across in enumerate(axes[1 - along]):
        way = 1.0 if strip % 2 == 0 else -1.0
        for place in axes[along][:: int(way)]:
            ground = np.empty(2)
            ground[along], ground[1 - along] = place, across
            for name, direction in CAMERAS.items():
                eye = np.append(ground + SWAY * h * rng.uniform(-0.5, 0.5, 2), h)
                middle = ground + reach * np.array(direction)
                sway = SWAY * h * rng.uniform(-1.0, 1.0, 2)
                if ((middle < low - 0.5 * step) | (middle > high + 0.5 * step)).any():
                    continue
                # What is up in a picture straight down is where the aeroplane goes.
                up = [SWAY * float(rng.uniform(-1.0, 1.0))] * 2
                up[along] = way
                level = (0.0, 0.0, 1.0) if any(direction) else (*up, 0.0)
                poses[name].append(look_at(eye.tolist(), (*(middle + sway), 0.0), level))
    return poses


def _stops(low: float, high: float, beyond: float, step: float) -> list[float]:
    """Evenly spaced by a step, around the middle between two ends, as far beyond these as that at most."""
    half = math.floor((0.5 * (high - low) + beyond) / step)
    return [0.5 * (low + high) + step * number for number in range(-half, half + 1)]
