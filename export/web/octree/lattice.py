"""Corners that cells share, numbered in the order in which they are met."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from export.web.octree.cells import CORNERS, Cells

_BITS = 17
"""Of a coordinate: those of corners are 0 to 2^16."""


@dataclass(frozen=True)
class Points:
    """Corners of some cells, where those at one place are one point.

    which [n, 8]: the point of each corner, by octant. met [points]: at which of all corners, cell by cell, a
    point is met first, rising.
    """

    which: np.ndarray
    met: np.ndarray

    @classmethod
    def of(cls, cells: Cells, chosen: np.ndarray) -> Self:
        """Those of the cells with the numbers `chosen` [n], in this order."""
        side = cells.deepest - cells.level[chosen]
        ends = (cells.coordinates[chosen, None] + CORNERS) << side[:, None, None]
        place = (ends[..., 0] << 2 * _BITS) + (ends[..., 1] << _BITS) + ends[..., 2]
        _, first, which = np.unique(place, return_index=True, return_inverse=True)
        order = np.argsort(first)
        number = np.empty_like(order)
        number[order] = np.arange(len(order))
        return cls(number[which].reshape(place.shape), first[order])

    def __len__(self) -> int:
        return len(self.met)

    def new_in(self, first: int, last: int) -> int:
        """How many are met first in the cells first to last (exclusive) of those that were chosen."""
        begin, end = np.searchsorted(self.met, (8 * first, 8 * last))
        return int(end - begin)


@dataclass(frozen=True)
class Lattices:
    """voxels: points of all voxels. inner: of the inner cells of each level."""

    voxels: Points
    inner: tuple[Points, ...]

    @classmethod
    def of(cls, cells: Cells) -> Self:
        """Those of an octree."""
        return cls(
            Points.of(cells, np.flatnonzero(~cells.inner)),
            tuple(
                Points.of(cells, here.start + np.flatnonzero(cells.inner[here])) for here in cells.slices()
            ),
        )
