"""A city planned from its photographs: cells on the ground, and who photographs which.

Rules, in words for users, are in docs/city.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from neurocity.city.ground import as_high_as, cells_of_box, cells_of_points, grown, joined, neighbours
from neurocity.city.grouping import Viewers, grouped
from neurocity.city.manifest import MAX_LEVEL, MOST_CELLS, Block, Cell, City, Coarse, Ground
from neurocity.city.sight import Sight, sights
from neurocity.data.scene import Scene
from neurocity.errors import ConfigError, DataError

Few = Literal["merge", "refuse"]
Array = npt.NDArray[np.float64]

PLACES_PER_CELL: Final = 1000
"""Sparse points that are looked at of a cell; more change little."""
GRID: Final = (5, 5, 4)
"""Points of a cell along both axes of the ground and upwards, where the capture has no sparse points."""
FEWEST_POINTS: Final = 8
"""A cell with fewer sparse points has nothing to train."""
BLOCK_SHARE: Final = 0.05
"""A photograph trains a block of whose places it shows this share,"""
PICTURE_SHARE: Final = 0.1
"""or whose places are this share of all that it shows."""
MOST_TILT: Final = 20.0
"""Degrees between the capture's up and an axis."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """How to divide a city. Raises ConfigError when a value is out of range.

    block_size: edge of a cell, scene units. margin: by how much training boxes are larger on each side, in
    cells. fewest_views: photographs that a block needs. few: what happens to a block with fewer.
    """

    block_size: float
    margin: float = 0.1
    fewest_views: int = 16
    few: Few = "merge"

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("block_size", self.block_size, 1e-6, 1e9),
            ("margin", self.margin, 0.0, 0.5),
            ("min_views", self.fewest_views, 1, 1_000_000),
        ):
            if not least <= value <= most:
                raise ConfigError(f"{name}: got {value}, expected {least:g} to {most:g}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A planned city. remarks: what was merged and what is left out, in sentences for the user."""

    city: City
    remarks: tuple[str, ...] = ()


def plan_city(scene: Scene, name: str, options: PlanOptions, *, crs: str = "") -> Plan:
    """Divide the scene's bounds into blocks, and its training photographs among them.

    Raises ConfigError for a block size that gives too many cells, and DataError where up is no axis, no cell
    has photographs, or blocks with too few are to be refused or cannot be merged.
    """
    ground = ground_for(scene, options.block_size)
    frames = scene.splits["train"]
    places, has_points = _places(scene, ground)
    shown = sights([frame.camera for frame in frames], places, solid=has_points)
    viewers = _viewers(ground, options.margin, places, shown)
    if not viewers:
        raise DataError(f"{scene.root}: no photograph shows any cell; check bounds and up")
    groups, remarks = grouped(viewers, options.fewest_views, ground, merge=options.few == "merge")
    blocks = [
        _block(ground, options, scene, cells, sorted(frames[view].name for view in views))
        for cells, views in sorted(groups.items(), key=lambda item: (item[0][0][1], item[0][0][0]))
    ]
    blank = set(cells_of_box(ground, scene.bounds).cells()) - {cell for cells in groups for cell in cells}
    if blank:
        remarks.append(
            f"{len(blank)} cells have nothing to train and are left to the coarse model: "
            f"{', '.join(ground.name(cell) for cell in sorted(blank))}"
        )
    if idle := len(frames) - len({name for block in blocks for name in block.photographs}):
        remarks.append(f"{idle} of {len(frames)} photographs train no block, only the coarse model")
    city = City(
        name=name,
        ground=ground,
        blocks=_with_neighbours(blocks),
        coarse=Coarse(box=scene.bounds, photographs=tuple(sorted(frame.name for frame in frames))),
        origin=scene.origin,
        crs=crs,
        data=str(scene.root.resolve()),
        up=scene.up,
        unbounded=scene.unbounded,
    )
    return Plan(city=city, remarks=tuple(remarks))


def ground_for(scene: Scene, block_size: float) -> Ground:
    """A root whose cells have that size and of which as few as possible cover the scene's bounds.

    Raises DataError when up is no axis, and ConfigError for too many cells.
    """
    up_axis = int(np.abs(scene.up).argmax())
    tilt = math.degrees(math.acos(min(abs(scene.up[up_axis]), 1.0)))
    if tilt > MOST_TILT:
        raise DataError(
            f"{scene.root}: up is {[round(value, 3) for value in scene.up]}, {tilt:.0f} degrees off the "
            f"nearest axis, expected {MOST_TILT:g} at most, since cells lie along axes; turn the capture so "
            "that an axis is up, as COLMAP's model_orientation_aligner does"
        )
    low, high = np.split(np.array(scene.bounds), 2)
    extent = high - low
    counts = np.maximum(np.ceil(extent / block_size - 1e-6), 1.0)
    level = max(math.ceil(math.log2(counts.max())), 0)
    ground_axes = [axis for axis in range(3) if axis != up_axis]
    if level > MAX_LEVEL or counts[ground_axes].prod() > MOST_CELLS:
        raise ConfigError(
            f"block_size: got {block_size:g}, of which the bounds hold {counts[ground_axes[0]]:.0f} by "
            f"{counts[ground_axes[1]]:.0f}; expected {MOST_CELLS} cells at most"
        )
    side = block_size * 2**level
    middle = 0.5 * (low + high)
    corner = middle - 0.5 * counts * block_size
    corner[up_axis] = middle[up_axis] - 0.5 * side
    x, y, z = corner.tolist()
    return Ground(low=(x, y, z), side=side, level=level, up_axis=up_axis)


def _places(scene: Scene, ground: Ground) -> tuple[Array, bool]:
    """Places [P, 3] in the cells, and whether they are points of surfaces."""
    cells = cells_of_box(ground, scene.bounds).cells()
    low, high = np.split(np.array(scene.bounds), 2)
    points = scene.points
    if points is not None and len(points):
        slack = 0.05 * (high - low).max()
        points = points[((points >= low - slack) & (points <= high + slack)).all(1)]
        cell_of = cells_of_points(ground, points)
        chosen = [found for cell in cells if len(found := _some(np.flatnonzero((cell_of == cell).all(1))))]
        if chosen:
            index = np.concatenate(chosen)
            return points[index], True
    return _regular_places(scene, ground, cells), False


def _some(index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """At most `PLACES_PER_CELL` of them, evenly."""
    return index[:: max(-(-len(index) // PLACES_PER_CELL), 1)]


def _regular_places(scene: Scene, ground: Ground, cells: list[Cell]) -> Array:
    axes = [*ground.axes, ground.up_axis]
    steps = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in GRID], indexing="ij"), -1).reshape(-1, 3)
    low, high = np.split(np.array(scene.bounds), 2)
    parts = []
    for cell in cells:
        begin, end = np.split(np.array(ground.box(cell)), 2)
        begin, end = np.maximum(begin, low), np.minimum(end, high)
        part = np.empty_like(steps)
        part[:, axes] = begin[axes] + steps * (end - begin)[axes]
        parts.append(part)
    return np.concatenate(parts)


def _viewers(ground: Ground, margin: float, places: Array, shown: list[Sight]) -> Viewers:
    """For each cell with something to train the photographs that show it and its margin.

    margin: in cells, half of one at most.
    """
    unit = (places[:, list(ground.axes)] - [ground.low[axis] for axis in ground.axes]) / ground.cell_side
    own, counts = np.unique(np.floor(unit).astype(np.int64), axis=0, return_counts=True)
    cells = own[counts >= FEWEST_POINTS]
    number = np.full((ground.count + 2,) * 2, -1)
    number[tuple(cells.T + 1)] = np.arange(len(cells))
    first, last = (
        np.clip(np.floor(unit + end).astype(np.int64), -1, ground.count) + 1 for end in (-margin, margin)
    )
    # A place belongs to the training boxes of four cells at most; what it belongs to already counts once.
    across, along = (last > first).T
    members = np.stack(
        [
            number[first[:, 0], first[:, 1]],
            np.where(across, number[last[:, 0], first[:, 1]], -1),
            np.where(along, number[first[:, 0], last[:, 1]], -1),
            np.where(across & along, number[last[:, 0], last[:, 1]], -1),
        ],
        axis=1,
    )

    def of_cells(some: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.bincount(some[some >= 0], minlength=len(cells))

    in_all = of_cells(members)
    trains = np.zeros((len(shown), len(cells)), bool)
    for view, sight in enumerate(shown):
        seen = of_cells(members[sight.place])
        enough = (seen >= BLOCK_SHARE * in_all) | (seen >= PICTURE_SHARE * len(sight.place))
        trains[view] = (seen > 0) & enough
    return {
        (i, j): frozenset(np.flatnonzero(trains[:, index]).tolist())
        for index, (i, j) in enumerate(cells.tolist())
        if trains[:, index].any()
    }


def _block(
    ground: Ground,
    options: PlanOptions,
    scene: Scene,
    cells: tuple[Cell, ...],
    photographs: list[str],
) -> Block:
    box = grown(ground, joined(map(ground.box, cells)), options.margin * ground.cell_side)
    return Block(
        id=ground.name(cells[0]),
        cells=cells,
        training_box=as_high_as(ground, box, scene.bounds),
        photographs=tuple(photographs),
    )


def _with_neighbours(blocks: list[Block]) -> tuple[Block, ...]:
    owner = {cell: block.id for block in blocks for cell in block.cells}

    def beside(block: Block) -> Iterator[str]:
        for cell in block.cells:
            for other in neighbours(cell):
                if owner.get(other, block.id) != block.id:
                    yield owner[other]

    return tuple(replace(block, neighbours=tuple(sorted(set(beside(block))))) for block in blocks)
