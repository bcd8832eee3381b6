"""Cells of a ground: where points are, and in which order an eye meets what is in them.

Notation
    place  of an eye: column and row of the cell that it is in, above or below, beyond the grid for eyes
           outside of it; and 0 where it is as high as cells are, -1 below and 1 above
    A ray goes one way along each axis, so that each cell that it enters is a step further from the eye's.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from neurocity.city.manifest import Box, Cell, Ground

Cells = npt.NDArray[np.int64]
Place = tuple[int, int, int]

_ALIGNED = 1e-6
"""How near to a border, in cells, a box ends that ends there."""


@dataclass(frozen=True)
class Rectangle:
    """Cells from `low` to `high`, both included."""

    low: Cell
    high: Cell

    @classmethod
    def around(cls, cells: Iterable[Cell]) -> Self:
        """The smallest that holds the cells, of which there is one at least."""
        columns, rows = zip(*cells, strict=True)
        return cls((min(columns), min(rows)), (max(columns), max(rows)))

    def cells(self) -> list[Cell]:
        """Its cells, row by row."""
        (i0, j0), (i1, j1) = self.low, self.high
        return [(i, j) for j in range(j0, j1 + 1) for i in range(i0, i1 + 1)]

    def zone(self, place: Place) -> Place:
        """Along both axes of the ground and upwards: -1 for a place before the cells, 1 behind, else 0."""
        first, second = (
            (at > high) - (at < low) for at, low, high in zip(place[:2], self.low, self.high, strict=True)
        )
        return first, second, place[2]


def places_of_eyes(ground: Ground, eyes: npt.NDArray[np.float32]) -> Cells:
    """The places [N, 3] of eyes [N, 3], scene coordinates.

    In float32, as kernels compare an eye with the planes between cells, so that both are of one mind about an
    eye on such a plane. What is no number is at 0.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        unit = (eyes - np.array(ground.low, np.float32)) / np.float32(ground.side)
        cells = np.floor(unit[:, list(ground.axes)] * np.float32(ground.count))
        height = unit[:, ground.up_axis]
    low, high = ground.heights
    above = (height >= high).astype(np.int64) - (height < low)
    # Further away than next to the root nothing changes.
    cells = np.clip(np.nan_to_num(cells, nan=0.0), -1, ground.count).astype(np.int64)
    return np.concatenate([cells, above[:, None]], axis=1)


def front_to_back(eye: Place, cells: Iterable[Cell]) -> list[Cell]:
    """Cells in an order that is front to back for every ray that begins at the eye's place."""
    return sorted(cells, key=lambda cell: (abs(cell[0] - eye[0]) + abs(cell[1] - eye[1]), cell))


def cells_of_box(ground: Ground, box: Box) -> Rectangle:
    """The cells that a box has a part in, up to rounding; those next to it where it is outside."""
    first, last = ground.range
    ends = []
    for corner, rounding, last_is_before in ((box[:3], math.floor, 0), (box[3:], math.ceil, 1)):
        places = [(corner[axis] - ground.low[axis]) / ground.cell_side for axis in ground.axes]
        near = [round(at) if abs(at - round(at)) < _ALIGNED else rounding(at) for at in places]
        column, row = (min(max(at - last_is_before, first), last) for at in near)
        ends.append((column, row))
    return Rectangle(*ends)


def cells_of_points(ground: Ground, points: npt.NDArray[np.float64]) -> Cells:
    """The cells [N, 2] of points [N, 3], scene coordinates; outside of the grid they go on."""
    low = np.array([ground.low[axis] for axis in ground.axes])
    return np.floor((points[:, list(ground.axes)] - low) / ground.cell_side).astype(np.int64)


def grown(ground: Ground, box: Box, margin: float) -> Box:
    """A box with a margin on the ground, not upwards."""
    values = list(box)
    for axis in ground.axes:
        values[axis] -= margin
        values[axis + 3] += margin
    return (values[0], values[1], values[2], values[3], values[4], values[5])


def as_high_as(ground: Ground, box: Box, bounds: Box) -> Box:
    """A box that goes upwards from where to where the bounds go."""
    values, up = list(box), ground.up_axis
    values[up], values[up + 3] = bounds[up], bounds[up + 3]
    return (values[0], values[1], values[2], values[3], values[4], values[5])


def joined(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all, of which there is one at least."""
    array = np.array(list(boxes))
    x0, y0, z0 = array[:, :3].min(0).tolist()
    x1, y1, z1 = array[:, 3:].max(0).tolist()
    return (x0, y0, z0, x1, y1, z1)


def neighbours(cell: Cell) -> tuple[Cell, ...]:
    """The cells that share a side with it."""
    i, j = cell
    return (i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)
