"""A model of sparse voxels cut by the cells of a ground: blocks, and what lies around them.

A block keeps the way from the octree's root down to its voxels. Rays then meet these at the same depths, in
the same order, with the same densities and colours as in the undivided model, to the bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from neurocity.city.ground import Rectangle
from neurocity.city.manifest import MAX_LEVEL, MOST_CELLS, Cell, Ground
from neurocity.city.octree import pruned, renumbered, voxel_places
from neurocity.errors import ConfigError, UnsupportedError
from neurocity.kernels.scene import SceneData

Mask = npt.NDArray[np.bool_]
Voxels = npt.NDArray[np.int64]
"""Numbers of voxels in a model."""

_ALIGNED = 1e-3
"""How far, in cells, the planes of a model may be from those of the ground: what float32 leaves of places."""
_EQUAL = 1e-5
"""By what part the sides of both may differ."""


@dataclass(frozen=True)
class GroundSpans:
    """Over which cells N voxels are: from `low` to `high` [N, 3], both included.

    Column, row, and height in heights of cells: 0 for what is as high as they are.
    """

    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]

    def within(self, low: Cell, high: Cell) -> Mask:
        """[N] Which are within these cells."""
        inside: Mask = ((self.low >= (*low, 0)) & (self.high <= (*high, 0))).all(1)
        return inside

    def touching(self, low: Cell, high: Cell) -> Mask:
        """[N] Which have a part in these cells."""
        touched: Mask = ((self.high >= (*low, 0)) & (self.low <= (*high, 0))).all(1)
        return touched


@dataclass(frozen=True)
class CutModel:
    """A model in parts that together are all of it.

    blocks: by cell, those that have voxels. around: what lies outside of the rectangle of cells, and the sky.
    """

    blocks: Mapping[Cell, SceneData]
    around: SceneData


def ground_of(data: SceneData, cell_side: float, *, up_axis: int = 2, inner: int = 0) -> Ground:
    """The ground of a model's own octree, whose cells are as near to that side as halving its root can be.

    inner: see `Ground`. Raises UnsupportedError as `ground_spans`, and ConfigError for a side that is no
    length, or longer than the inner part.
    """
    _require_voxels(data)
    side = float(data.settings["root_side"])
    within = side / 2**inner
    if not 0.0 < cell_side < math.inf or round(math.log2(side / cell_side)) < inner + (inner > 0):
        raise ConfigError(f"block_size: got {cell_side}, expected a length greater than 0 below {within:g}")
    x, y, z = data.tensors["root_low"].tolist()
    level = round(math.log2(side / cell_side))
    if level > MAX_LEVEL:
        raise ConfigError(f"block_size: got {cell_side}, expected at least {side / 2**MAX_LEVEL:g}")
    return Ground(low=(x, y, z), side=side, level=level, up_axis=up_axis, inner=inner)


def ground_spans(data: SceneData, ground: Ground) -> GroundSpans:
    """Over which cells each voxel of a model is.

    The model's root is that of the ground, or that doubled some times around it. Raises UnsupportedError for
    another kind of model, and ConfigError where the planes of both are not the same.
    """
    _require_voxels(data)
    places = voxel_places(data.tensors["children"], len(data.tensors["records"]))
    axes = [*ground.axes, ground.up_axis]
    floor, ceiling = ground.heights
    sizes = np.array([ground.cell_side, ground.cell_side, (ceiling - floor) * ground.side])
    lows = np.array(ground.low)[axes] + (0.0, 0.0, floor * ground.side)
    begin = (data.tensors["root_low"].astype(np.float64)[axes] - lows) / sizes
    across = float(data.settings["root_side"]) / sizes
    begin_at, across_at = np.round(2.0 * begin) / 2.0, 2.0 ** np.round(np.log2(across))
    if abs(begin - begin_at).max() > _ALIGNED or abs(across / across_at - 1.0).max() > _EQUAL:
        raise ConfigError(
            f"ground: got a model whose root begins at cell {begin[:2].tolist()} and is {across[0]:g} cells "
            "wide; expected the root of the city, or that doubled around it"
        )
    size = across_at / 2.0 ** places.level[:, None]
    low = begin_at + places.cell[:, axes] * size
    return GroundSpans(np.floor(low).astype(np.int64), np.ceil(low + size).astype(np.int64) - 1)


def cut(data: SceneData, ground: Ground, rectangle: Rectangle) -> CutModel:
    """The model cut by the cells of a rectangle.

    Raises as `ground_spans` and `cell_voxels`, and ConfigError where more than MOST_CELLS have voxels.
    """
    spans = ground_spans(data, ground)
    voxels = cell_voxels(spans, rectangle)
    if len(voxels) > MOST_CELLS:
        raise ConfigError(
            f"block_size: {len(voxels)} cells of {ground.cell_side:g} units have voxels, expected "
            f"{MOST_CELLS} at most; blocks twice as wide are a quarter as many"
        )
    around = ~spans.within(rectangle.low, rectangle.high)
    blocks = {cell: part(data, mask_of(own, len(around))) for cell, own in voxels.items()}
    return CutModel(blocks, part(data, around, sky=True))


def cell_voxels(spans: GroundSpans, rectangle: Rectangle) -> dict[Cell, Voxels]:
    """The voxels of each cell of a rectangle that has some, row by row.

    Raises ConfigError where a voxel is over several cells, so that no border of blocks can go there.
    """
    inside = spans.touching(rectangle.low, rectangle.high)
    broad = inside & (spans.low != spans.high).any(1)
    if broad.any():
        widest = int((spans.high - spans.low).max(1)[broad].max()) + 1
        raise ConfigError(
            f"block_size: {int(broad.sum())} of {len(broad)} voxels are larger than a cell (up to {widest} "
            f"cells wide); blocks that are {widest} times as wide hold them"
        )
    voxels, row = np.flatnonzero(inside), 2**MAX_LEVEL
    places = spans.low[voxels, 1] * row + spans.low[voxels, 0]
    order = np.argsort(places, kind="stable")
    cells, first = np.unique(places[order], return_index=True)
    groups = np.split(voxels[order], first[1:])  # one, and empty, where there are no cells
    return {(cell % row, cell // row): own for cell, own in zip(cells.tolist(), groups, strict=False)}


def mask_of(voxels: Voxels, count: int) -> Mask:
    """[count] True for these of as many voxels."""
    mask = np.zeros(count, bool)
    mask[voxels] = True
    return mask


def part(data: SceneData, kept: Mask, *, sky: bool = False) -> SceneData:
    """The voxels of a model for which kept [N] is true, as a model; `sky`: with its sky, where it has one."""
    tensors = {
        "children": renumbered(pruned(data.tensors["children"], kept), kept),
        "records": np.ascontiguousarray(data.tensors["records"][kept]),
        "root_low": data.tensors["root_low"],
    }
    if sky and "sky" in data.tensors:
        tensors["sky"] = data.tensors["sky"]
    return replace(data, tensors=tensors)


def seen_alone(data: SceneData, kept: Mask, *, sky: bool = False) -> SceneData:
    """As `part`, of a model that stays in memory whole: records are its own, and the octree alone is new."""
    tensors = {name: array for name, array in data.tensors.items() if sky or name != "sky"}
    return replace(data, tensors={**tensors, "children": pruned(data.tensors["children"], kept)})


def _require_voxels(data: SceneData) -> None:
    if data.kind != "voxels":
        raise UnsupportedError(
            f"blocks: got a model of kind {data.kind!r}; voxels alone (SVRaster) are cut and composed exactly"
        )
