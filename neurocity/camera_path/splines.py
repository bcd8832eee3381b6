"""Smooth curves through keyframes, along a line, in space, or among rotations.

A curve is piecewise cubic, in Bezier's form: between two keyframes, two control points, from which de
Casteljau's algorithm finds the points of the curve. It needs differences and steps alone, so that the same
lines serve positions and rotations (Shoemake 1985; there, a step is a turn).

Notation
    keyframes  [K, D], what the curve goes through.
    knots      [K], the parameter at each, increasing; of a closed curve [K + 1], the last is the first again.
    at         [N], parameters for which points are wanted, within the knots.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Space:
    """Where a curve lies.

    difference: from points a to points b. moved: points after a difference, so that
    moved(a, difference(a, b)) is b.
    """

    difference: Callable[[Array, Array], Array]
    moved: Callable[[Array, Array], Array]

    def between(self, start: Array, end: Array, share: Array) -> Array:
        """The points at a share [N, 1] of the way."""
        return self.moved(start, self.difference(start, end) * share)


LINE = Space(difference=lambda a, b: b - a, moved=lambda a, step: a + step)
"""Numbers and positions."""


def through(
    keyframes: Array,
    knots: Array,
    at: Array,
    *,
    space: Space = LINE,
    tension: float = 0.0,
    closed: bool = False,
    rest: bool = False,
) -> Array:
    """Points [N, D] of the Kochanek-Bartels spline through two keyframes or more (1984), with continuity and
    bias 0.

    Its velocity at a keyframe is (1 - tension) (h1 v0 + h0 v1) / (h0 + h1), with length and mean velocity h0,
    v0 of the stretch before and h1, v1 of that behind; with tension 0 this is the Catmull-Rom spline of these
    knots. At both ends the curvature is zero. rest: whether the curve comes to rest where two keyframes are
    equal, and does not move between them.
    """
    points = np.concatenate([keyframes, keyframes[:1]]) if closed else keyframes
    steps = np.diff(knots)[:, None]
    moves = space.difference(points[:-1], points[1:])
    before, behind = (_around(part, closed) for part in (steps, moves))
    h0, h1 = before
    velocities = (1.0 - tension) * (h1 * behind[0] / h0 + h0 * behind[1] / h1) / (h0 + h1)
    if rest:
        still = np.linalg.norm(moves, axis=-1, keepdims=True) < 1e-9 * max(np.abs(moves).max(), 1e-9)
        velocities = np.where(np.logical_or(*_around(still, closed)), 0.0, velocities)
    interior = points if closed else points[1:-1]
    left = space.moved(interior, -velocities * h0 / 3.0)
    right = space.moved(interior, velocities * h1 / 3.0)
    if closed:
        return _bezier(points, right[:-1], left[1:], knots, at, space)
    if len(points) == 2:
        third = np.array([[1.0 / 3.0]])
        ends = space.between(points[:1], points[1:], third), space.between(points[1:], points[:1], third)
        return _bezier(points, *ends, knots, at, space)
    half = np.array([[0.5]])
    first = space.between(points[:1], left[:1], half)
    last = space.between(points[-1:], right[-1:], half)
    return _bezier(points, np.concatenate([first, right]), np.concatenate([left, last]), knots, at, space)


def monotone(knots: Array, values: Array, at: Array) -> Array:
    """Values [N] between [K] values without overshooting (Fritsch & Carlson 1980, in the form of PCHIP)."""
    if len(knots) == 2:
        return np.interp(at, knots, values)
    h, slopes = np.diff(knots), np.diff(values) / np.diff(knots)
    before, behind = slopes[:-1], slopes[1:]
    weights = 2.0 * h[1:] + h[:-1], h[1:] + 2.0 * h[:-1]
    same = before * behind > 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sum(weights) / (weights[0] / before + weights[1] / behind)
    tangents = np.concatenate(
        [
            [_end_slope(h[0], h[1], slopes[0], slopes[1])],
            np.where(same, mean, 0.0),
            [_end_slope(h[-1], h[-2], slopes[-1], slopes[-2])],
        ]
    )
    right, left = values[:-1] + tangents[:-1] * h / 3.0, values[1:] - tangents[1:] * h / 3.0
    return _bezier(values[:, None], right[:, None], left[:, None], knots, at, LINE)[:, 0]


def _end_slope(near: float, next_to_it: float, slope: float, next_slope: float) -> float:
    """The slope at an end by three points, limited so that the curve keeps its direction."""
    found = ((2.0 * near + next_to_it) * slope - near * next_slope) / (near + next_to_it)
    if found * slope <= 0.0:
        return 0.0
    if slope * next_slope <= 0.0 and abs(found) > 3.0 * abs(slope):
        return 3.0 * slope
    return found


def _around(stretches: Array, closed: bool) -> tuple[Array, Array]:
    """What is so of the stretches before and behind each inner keyframe; of a closed curve, each and the
    first again."""
    if not closed:
        return stretches[:-1], stretches[1:]
    return np.concatenate([stretches[-1:], stretches]), np.concatenate([stretches, stretches[:1]])


def _bezier(points: Array, right: Array, left: Array, knots: Array, at: Array, space: Space) -> Array:
    """De Casteljau's algorithm: points [K + 1, D], control points behind the first and before the second of
    each of K stretches."""
    stretch = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    share = ((at - knots[stretch]) / np.diff(knots)[stretch])[:, None]
    row = [points[stretch], right[stretch], left[stretch], points[stretch + 1]]
    while len(row) > 1:
        row = [space.between(a, b, share) for a, b in pairwise(row)]
    return row[0]
