"""The blocks of all groups, read one after another and put together. They are not trusted."""

from math import prod

import numpy as np
import numpy.typing as npt

from export.web.blocks import Cut, Layout
from export.web.header import FILE, Block, Header
from export.web.numbers.planes import sums
from export.web.octree.cells import MAX_CELLS, Builder, Cells
from export.web.octree.lattice import Lattices
from neurocity.errors import ManifestError
from neurocity.kernels.voxels import MAX_LEVELS


class BlockReader:
    """What the blocks of all groups hold, in their order."""

    def __init__(self, header: Header, layout: Layout) -> None:
        self._header, self._layout = header, layout
        levels = len(header.levels)
        if not 2 <= levels <= MAX_LEVELS + 1:
            raise ManifestError(f"{FILE}: got {levels} levels, expected 2 to {MAX_LEVELS + 1}")
        total = sum(level.cells for level in header.levels)
        if total > MAX_CELLS:
            raise ManifestError(f"{FILE}: got {total} cells, expected at most {MAX_CELLS}")
        self._point = np.dtype("<f4") if layout.floats else np.dtype(np.uint8)
        self._children: list[list[np.ndarray]] = [[] for _ in header.levels]
        self._inner: list[list[np.ndarray]] = [[] for _ in header.levels]
        self._seen: list[Block] = []
        self.voxel_points = [np.empty(0, self._point)]
        self.inner_points = [[np.empty(0, self._point)] for _ in header.levels]
        self.constants: list[np.ndarray] = []
        self.harmonics: list[np.ndarray] = []

    def take(self, where: str, blocks: tuple[Block, ...], content: bytes) -> None:
        """The blocks of a group. Raises ManifestError."""
        sizes = [self._layout.size(block) for block in blocks]
        if sum(sizes) != len(content):
            raise ManifestError(f"{where}: has {len(content)} bytes, its blocks {sum(sizes)}")
        begin = 0
        for block, size in zip(blocks, sizes, strict=True):
            self._take(where, block, content[begin : begin + size])
            begin += size

    def _take(self, where: str, block: Block, content: bytes) -> None:
        previous = self._seen[-1] if self._seen else None
        if block.level != 0 if previous is None else block.level not in (previous.level, previous.level + 1):
            raise ManifestError(f"{where}: has a block of level {block.level}, which is not the next")
        if block.level >= len(self._header.levels):
            raise ManifestError(f"{where}: has a block of level {block.level}, the deepest is another")
        reader = _Bytes(content)
        children, inner = (reader.octants(block.parents) for _ in range(2))
        if int(children.sum()) != block.cells or (inner & ~children).any():
            raise ManifestError(f"{where}: masks have {int(children.sum())} cells, the block {block.cells}")
        self._children[block.level].append(children)
        self._inner[block.level].append(inner[children])
        self.voxel_points.append(sums(reader.take((block.voxel_points,), self._point)))
        self.inner_points[block.level].append(sums(reader.take((block.inner_points,), self._point)))
        self.constants.append(self._constants(reader, block.cells))
        self.harmonics.append(
            np.moveaxis(reader.take((self._layout.harmonics, 3, block.cells), self._point), -1, 0)
        )
        self._seen.append(block)

    def _constants(self, reader: "_Bytes", cells: int) -> np.ndarray:
        if self._layout.floats:
            return reader.take((3, cells), self._point).T
        low, high = np.moveaxis(reader.take((3, 2, cells), self._point).astype(np.uint16), 1, 0)
        planes: np.ndarray = (low | high << 8).T
        return planes

    def cells(self) -> Cells:
        """All cells. Raises ManifestError when a level is not what the header says, or blocks have gaps."""
        builder = Builder()
        children = [np.concatenate([np.empty((0, 8), bool), *parts]) for parts in self._children]
        inner = [np.concatenate([np.empty(0, bool), *parts]) for parts in self._inner]
        if len(children[0]) != 1 or not children[0][0, 0] or children[0].sum() != 1 or not inner[0].all():
            raise ManifestError(f"{FILE}: level 0 is not one inner cell, the root")
        for level, (present, is_inner) in enumerate(zip(children[1:], inner[1:], strict=True), start=1):
            above = int(inner[level - 1].sum())
            if len(present) != above:
                raise ManifestError(f"{FILE}: level {level} has {len(present)} parents, there are {above}")
            builder.add(present, is_inner)
        if inner[-1].any():
            raise ManifestError(f"{FILE}: the deepest level has inner cells, whose children are missing")
        return builder.cells()

    def check_points(self, cells: Cells, lattices: Lattices) -> None:
        """Raises ManifestError unless the counts of header and blocks are those of the cells."""
        counted = [
            (here.stop - here.start, int(cells.inner[here].sum()), len(points))
            for here, points in zip(cells.slices(), lattices.inner, strict=True)
        ]
        announced = [(level.cells, level.inner, level.inner_points) for level in self._header.levels]
        points = sum(map(len, self.voxel_points)), [sum(map(len, parts)) for parts in self.inner_points]
        if (
            counted != announced
            or self._header.voxel_points != len(lattices.voxels)
            or points != (len(lattices.voxels), [count for *_, count in counted])
        ):
            raise ManifestError(f"{FILE}: its counts of cells and points are not those of the groups")
        if self._blocks_of(cells, lattices) != self._seen:
            raise ManifestError(f"{FILE}: the numbers of its blocks are not those of the groups")

    def _blocks_of(self, cells: Cells, lattices: Lattices) -> list[Block]:
        """The blocks as they must be, for as many cells as they have each."""
        cut, first, blocks = Cut(cells, lattices), 0, []
        for seen in self._seen:
            blocks.append(cut.block(seen.level, first, first + seen.cells))
            first += seen.cells
        return blocks


class _Bytes:
    """Arrays that lie end to end; what asks for them has counted the bytes."""

    def __init__(self, content: bytes) -> None:
        self._content, self._begin = content, 0

    def take(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
        """The next array."""
        array = np.frombuffer(self._content, dtype, prod(shape), self._begin)
        self._begin += array.nbytes
        return array.reshape(shape)

    def octants(self, parents: int) -> np.ndarray:
        """Masks as the octants that they have, [parents, 8] bool."""
        masks = self.take((parents, 1), np.uint8)
        return np.unpackbits(masks, axis=1, bitorder="little").astype(bool)
