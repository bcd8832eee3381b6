"""Cells cut into blocks, runs of parents of one level with all their children, and these into groups."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from export.web.contents import Contents
from export.web.header import Block
from export.web.octree.cells import Cells
from export.web.octree.lattice import Lattices

FIRST_SHARE, FIRST_CELLS = 50, 4096
"""The first group has the levels that are together at most one in so many cells, or so few."""
GROUP_BYTES = 12 << 20
"""About the most bytes of a group before they are compressed to a third."""


@dataclass(frozen=True)
class Layout:
    """Sizes of what stands in a block. floats: whether nothing is quantised. harmonics: B of a colour."""

    floats: bool
    harmonics: int

    @property
    def bytes_per_cell(self) -> int:
        """Of colours."""
        return 12 * (1 + self.harmonics) if self.floats else 6 + 3 * self.harmonics

    def size(self, block: Block) -> int:
        """Bytes of a block."""
        points = block.voxel_points + block.inner_points
        return 2 * block.parents + (4 if self.floats else 1) * points + self.bytes_per_cell * block.cells


def layout_of(contents: Contents) -> Layout:
    """That of a scene."""
    return Layout(contents.scales is None, contents.harmonics.shape[1])


def planned(contents: Contents) -> Iterator[list[Block]]:
    """The blocks of each group."""
    cells = contents.cells
    most = max(len(cells) // FIRST_SHARE, FIRST_CELLS)
    last = max(level for level in range(cells.deepest + 1) if level <= 1 or cells.starts[level + 1] <= most)
    cut = Cut(cells, contents.lattices)
    yield [cut.whole(level) for level in range(last + 1)]
    per_group = max(GROUP_BYTES // layout_of(contents).bytes_per_cell, 8)
    for level in range(last + 1, cells.deepest + 1):
        for block in cut.pieces(level, per_group):
            yield [block]


class Cut:
    """Makes blocks."""

    def __init__(self, cells: Cells, lattices: Lattices) -> None:
        self._cells, self._lattices = cells, lattices
        # How many inner cells are before each.
        self._inner_before = np.concatenate([[0], np.cumsum(self._cells.inner)])

    def whole(self, level: int) -> Block:
        """All cells of a level."""
        return self.block(level, *self._cells.starts[level : level + 2])

    def pieces(self, level: int, most: int) -> Iterator[Block]:
        """The cells of a level, about `most` at a time, and never the children of one parent apart."""
        here = self._cells.slices()[level]
        parents = self._cells.parent[here]
        begins = np.flatnonzero(np.diff(parents, prepend=-1))
        first = 0
        while first < len(parents):
            later = begins[begins > first + most - 8]
            end = int(later[0]) if len(later) else len(parents)
            yield self.block(level, here.start + first, here.start + end)
            first = end

    def block(self, level: int, first: int, end: int) -> Block:
        """The cells first to end (exclusive)."""
        cells, before = self._cells, self._inner_before
        start = cells.starts[level]
        parents = before[cells.parent[[first, end - 1]]] if level else np.array([-1, -1])
        inner_start = before[start]
        return Block(
            level=level,
            parents=int(parents[1] - parents[0]) + 1,
            cells=end - first,
            first_parent=int(parents[0]),
            first_cell=first,
            voxel_points=self._lattices.voxels.new_in(first - before[first], end - before[end]),
            inner_points=self._lattices.inner[level].new_in(
                before[first] - inner_start, before[end] - inner_start
            ),
        )
