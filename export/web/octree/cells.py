"""Cells of an octree, voxels and inner nodes alike, numbered as they stand in the file.

Notation
    C cells, I inner cells (nodes), V voxels; level 0 is the root, whose coordinates are 0
    octant  4 x + 2 y + z of a child in its parent, or of a corner of a cell, with bits x, y, z
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from neurocity.errors import UnsupportedError

EMPTY, FIRST_VOXEL = -1, -2
"""In a table of children: nothing, and the first voxel (voxel v is FIRST_VOXEL - v)."""
MAX_CELLS = (1 << 24) - 1
"""A texel of the page's renderer holds a cell's number in 24 bits."""
CORNERS = np.array([(octant >> 2 & 1, octant >> 1 & 1, octant & 1) for octant in range(8)])
"""Bits of each octant, [8, 3]."""


@dataclass(frozen=True)
class Cells:
    """All cells by level, and in Morton order within a level; children of a cell are consecutive.

    starts [levels + 1]: number of the first cell of each level, and of all cells.
    inner [C]: whether a cell is an inner one. parent [C]: number of its parent among cells, -1 of the root.
    octant [C]: where it is in its parent. coordinates [C, 3]: among the 2^level cells of its level.
    """

    starts: tuple[int, ...]
    inner: np.ndarray
    parent: np.ndarray
    octant: np.ndarray
    coordinates: np.ndarray

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def deepest(self) -> int:
        """The level of the smallest cells."""
        return len(self.starts) - 2

    @property
    def level(self) -> np.ndarray:
        """Of each cell, [C]."""
        return np.repeat(np.arange(self.deepest + 1), np.diff(self.starts))

    def slices(self) -> list[slice]:
        """The cells of each level."""
        return [slice(*ends) for ends in pairwise(self.starts)]

    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Octants of children, and of those that are inner, as bits of a byte [I] each."""
        rank = np.cumsum(self.inner) - 1
        bits = np.zeros((2, int(self.inner.sum()), 8), bool)
        own, octant = rank[self.parent[1:]], self.octant[1:]
        bits[0, own, octant] = True
        bits[1, own, octant] = self.inner[1:]
        child, inner = np.packbits(bits, axis=2, bitorder="little")[..., 0]
        return child, inner


class Builder:
    """Cells level by level, from the root."""

    def __init__(self) -> None:
        self._starts = [0, 1]
        self._inner = [np.ones(1, bool)]
        self._parent = [np.full(1, -1)]
        self._octant = [np.zeros(1, np.int64)]
        self._coordinates = [np.zeros((1, 3), np.int64)]

    def add(self, present: np.ndarray, inner: np.ndarray) -> None:
        """The next level.

        present [I, 8]: octants that the last level's inner cells, in order, have a cell in. inner: of these
        cells, which are inner.
        """
        row, octant = np.nonzero(present)
        own = np.flatnonzero(self._inner[-1])[row]
        self._parent.append(self._starts[-2] + own)
        self._octant.append(octant)
        self._coordinates.append(2 * self._coordinates[-1][own] + CORNERS[octant])
        self._inner.append(inner)
        self._starts.append(self._starts[-1] + len(inner))

    def cells(self) -> Cells:
        """All of them."""
        parts = (self._inner, self._parent, self._octant, self._coordinates)
        return Cells(tuple(self._starts), *map(np.concatenate, parts))


def cells_of(children: np.ndarray) -> tuple[Cells, np.ndarray]:
    """The cells of an octree, and the number [V] of each voxel in the order of cells.

    children [nodes, 8]: as `neurocity.kernels.voxels` has them. Raises UnsupportedError when there are no
    voxels, or more cells than can be drawn.
    """
    builder, voxels = Builder(), []
    nodes = np.zeros(1, np.int64)
    while len(nodes):
        below = children[nodes]
        present = below != EMPTY
        found = below[present]
        builder.add(present, found >= 0)
        voxels.append(FIRST_VOXEL - found[found < 0])
        nodes = found[found >= 0]
    cells, voxel = builder.cells(), np.concatenate(voxels)
    if not len(voxel):
        raise UnsupportedError("web cannot express this model: it has no voxels; train it first")
    if len(cells) > MAX_CELLS:
        raise UnsupportedError(
            f"web cannot express this model: it has {len(cells):,} cells, and at most {MAX_CELLS:,} can be "
            "drawn; train with fewer voxels, or take the format native"
        )
    return cells, voxel
