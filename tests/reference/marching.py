"""The ray march as a walk over every lattice point, in double precision.

Where rounding decides (a point on the border of a cell, a last lattice point on the far face), both outcomes
are right: `Walk.must` are the samples that any march finds, `Walk.may` those that it is free to find.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

TOLERANCE = 2e-5
"""In cells and lattice steps; float32 positions in a scene are some 1e-6 of a cell off."""


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """What a march is asked for: bounds, unbounded, steps, growth and near as `RayMarcher` takes them.

    far: end of an unbounded ray, in half sides of the box's cube.
    """

    bounds: tuple[float, ...]
    unbounded: bool
    steps: int
    growth: float
    near: float
    far: float

    @property
    def side(self) -> float:
        """The longest edge of the box."""
        return max(self.bounds[axis + 3] - self.bounds[axis] for axis in range(3))

    @property
    def step(self) -> float:
        """Distance of two lattice points inside the box."""
        return float(self.side * 3**0.5 / self.steps)

    def relative(self, points: np.ndarray) -> np.ndarray:
        """World points [N, 3] in half sides from the box's centre."""
        low, high = np.array(self.bounds[:3]), np.array(self.bounds[3:])
        return np.asarray((points - (low + high) / 2) / (self.side / 2))

    def unit_positions(self, points: np.ndarray) -> np.ndarray:
        """World points [N, 3] in the unit cube of the field."""
        if not self.unbounded:
            return np.asarray((points - np.array(self.bounds[:3])) / self.side)
        return np.stack([contract(point) for point in self.relative(points)]) / 4 + 0.5

    def edges(self) -> list[float]:
        """Edges of an unbounded ray's intervals, each e^growth times as wide as the one before."""
        edges, far = [self.near], self.far * self.side / 2
        while edges[-1] - self.near < far:
            edges.append(self.near + self.step / self.growth * (np.exp(self.growth * len(edges)) - 1.0))
        return edges


@dataclass(frozen=True)
class Sample:
    """Depth along the ray, width in world units as the field sees it, position in the unit cube."""

    t: float
    width: float
    position: np.ndarray


@dataclass(frozen=True)
class Walk:
    """Samples of one ray by lattice index."""

    must: set[int] = field(default_factory=set)
    may: dict[int, Sample] = field(default_factory=dict)


def contract(point: np.ndarray) -> np.ndarray:
    """Mip-NeRF 360 (Barron et al. 2022), eq. 10, in maximum norm: all space into the cube [-2, 2]^3."""
    norm = np.abs(point).max()
    return point if norm <= 1.0 else (2.0 - 1.0 / norm) * (point / norm)


def walk(
    origin: np.ndarray, direction: np.ndarray, occupied: np.ndarray, lattice: Lattice, *, jitter: float
) -> Walk:
    """Visit all lattice points of a ray [3], [3]; occupied [G, G, G] bool is indexed by x, y, z."""
    found, grid = Walk(), len(occupied)
    if lattice.unbounded:
        visits = [(a + jitter * (b - a), b - a, True) for a, b in pairwise(lattice.edges())]
    else:
        visits = _visits_of_box(origin, direction, lattice, jitter)
    if not visits:
        return found
    points = origin + np.array([t for t, _, _ in visits])[:, None] * direction
    positions = lattice.unit_positions(points)
    slack = TOLERANCE * max(1.0, grid / 8)
    low, high = (
        np.clip(np.floor(positions * grid + offset), 0, grid - 1).astype(int) for offset in (-slack, slack)
    )
    for index, (t, width, certain) in enumerate(visits):
        cells = occupied[tuple(slice(a, b + 1) for a, b in zip(low[index], high[index], strict=True))]
        if cells.any():
            seen = np.abs(lattice.relative(points[index])).max() if lattice.unbounded else 1.0
            scale = 1.0 if seen <= 1.0 else (2.0 - 1.0 / seen) / seen
            found.may[index] = Sample(t, width * scale, positions[index])
            if cells.all() and certain:
                found.must.add(index)
    return found


def _visits_of_box(
    origin: np.ndarray, direction: np.ndarray, lattice: Lattice, jitter: float
) -> list[tuple[float, float, bool]]:
    """Depth, width and certainty of the lattice points between a ray's entry into the box and its exit."""
    begin, end, step = lattice.near, np.inf, lattice.step
    for axis in range(3):
        low, high = lattice.bounds[axis], lattice.bounds[axis + 3]
        if abs(direction[axis]) < 1e-9:
            if not low <= origin[axis] <= high:
                return []
            continue
        crossings = sorted([(low - origin[axis]) / direction[axis], (high - origin[axis]) / direction[axis]])
        begin, end = max(begin, crossings[0]), min(end, crossings[1])
    whole = (end - begin) / step
    if whole < 0:
        return []
    tolerance = TOLERANCE * (1.0 + abs(begin) / step)
    certain, possible = np.floor(whole - tolerance), np.floor(whole + tolerance)
    return [(begin + (i + jitter) * step, step, i < certain) for i in range(int(possible))]
