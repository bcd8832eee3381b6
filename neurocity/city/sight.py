"""Which photographs show a part of the city, and near enough to train it.

Notation
    P places: sparse points of the capture, or points of a regular grid where it has none
    width  of a pixel of a photograph at a place: the place's distance over the focal length

A photograph shows a place that falls into its picture and that, as far as the capture's points say, nothing
hides: where most of what is in a direction lies far behind the nearest of it, a wall is in between. It shows
it near enough where its pixels are not much wider there than those of the best photographs.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.resources import available_processors

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

COARSEST: Final = 4.0
"""Pixels may be so many times as wide as those of the third-best photograph of a place."""
RANK: Final = 3
DIRECTIONS: Final = 8
"""A picture is divided into so many parts along its longer side to see what hides what."""
NEAREST_SHARE: Final = 10.0
"""Percentile of the distances in such a part that is taken for what is in front; some points are wrong."""
BEHIND: Final = 1.5
"""What is so many times as far as what is in front is hidden by it."""


class Sight(NamedTuple):
    """What a photograph shows: indices [K] of places, and the width [K] of its pixels there."""

    place: npt.NDArray[np.int64]
    width: npt.NDArray[np.float32]


def sights(cameras: Sequence[Camera], places: Array, *, solid: bool) -> list[Sight]:
    """What each camera shows near enough of places [P, 3].

    solid: places are points of surfaces, which hide what is behind them.
    """
    with ThreadPoolExecutor(available_processors()) as pool:
        seen = list(pool.map(lambda camera: _seen(camera, places, solid=solid), cameras))
    limit = COARSEST * _width_of_rank(seen, len(places))
    return [Sight(place[near], width[near]) for place, width in seen for near in [width <= limit[place]]]


def _seen(camera: Camera, places: Array, *, solid: bool) -> Sight:
    pixels, _ = camera.project(places)
    size = np.array([camera.width, camera.height])
    with np.errstate(invalid="ignore"):
        inside = np.flatnonzero(((pixels >= 0.0) & (pixels < size)).all(1))
    distance = np.linalg.norm(places[inside] - camera.position, axis=1)
    if solid and len(inside):
        parts = pixels[inside] / (size.max() / DIRECTIONS)
        free = ~_hidden(parts.astype(np.int64) @ [1, DIRECTIONS], distance)
        inside, distance = inside[free], distance[free]
    width = distance / (0.5 * (camera.fl_x + camera.fl_y))
    return Sight(inside, width.astype(np.float32))


def _hidden(part: npt.NDArray[np.int64], distance: Array) -> Mask:
    """[K] Which places are hidden by others in the same part of the picture."""
    order = np.lexsort((distance, part))
    _, first, count = np.unique(part[order], return_index=True, return_counts=True)
    front = distance[order][first + (count * NEAREST_SHARE / 100.0).astype(np.int64)]
    hidden = np.empty(len(part), bool)
    hidden[order] = distance[order] > BEHIND * np.repeat(front, count)
    return hidden


def _width_of_rank(seen: Sequence[Sight], places: int) -> npt.NDArray[np.float32]:
    """The `RANK`-smallest width [P] of pixels at each place; infinite where fewer photographs show it."""
    best = np.full((RANK, places), np.inf, np.float32)
    for place, width in seen:
        worst = best[:, place]
        worst[-1] = np.minimum(worst[-1], width)
        best[:, place] = np.sort(worst, axis=0)
    return best[-1]
