"""What a photograph shows beside a block: the coarse model, frozen, before and behind the block's region.

A block is trained on whole colours of pixels, of which it explains a part. With C_f and T_f the light of the
coarse model before the region and what is left behind it, C_k that behind the region, and C_b and T_b those
of the block,

    C = C_f + T_f (C_b + T_b C_k)

A region is a rectangle of columns, so that for all rays of an eye the same voxels are before it: those that
one of its sides divides from it, where the eye is on their side.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Rays
from neurocity.city.cutting import ground_spans, seen_alone
from neurocity.city.ground import Place, Rectangle, cells_of_box, cells_of_points, places_of_eyes
from neurocity.city.manifest import MAX_LEVEL, Block, Box, Ground
from neurocity.city.octree import voxel_places
from neurocity.kernels.scene import SceneData
from neurocity.kernels.voxels import VoxelScene
from neurocity.light import Light

FINER: Final = 3
"""A cell is halved so many times to the steps in which a block's region is laid out. In the city's bounds the
coarse model has no voxel that is larger."""


@dataclass(frozen=True)
class Region:
    """Where a block is trained: a rectangle of columns of a ground, which is finer than the city's.

    box: what of it counts, as high as the city's bounds.
    """

    ground: Ground
    rectangle: Rectangle
    box: Box

    def holds(self, centers: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which of the points [N, 3], scene coordinates, are in its columns, which are as high as cells."""
        ground = self.ground
        height = (centers[:, ground.up_axis] - ground.low[ground.up_axis]) / ground.side
        low, high = ground.heights
        over = (self.cells(centers) >= self.rectangle.low) & (self.cells(centers) <= self.rectangle.high)
        inside: npt.NDArray[np.bool_] = over.all(1) & (height >= low) & (height < high)
        return inside

    def cells(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The finer ground's cells [N, 2] of points."""
        return cells_of_points(self.ground, points)

    def met_by(self, rays: Rays) -> npt.NDArray[np.bool_]:
        """Which rays meet its box."""
        low, high = np.array(self.box, np.float32).reshape(2, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (np.stack([low, high])[:, None] - rays.origins) / rays.directions
        first, last = np.nanmin(ends, axis=0).max(1), np.nanmax(ends, axis=0).min(1)
        met: npt.NDArray[np.bool_] = np.maximum(first, 0.0) < last
        return met


def region_of(ground: Ground, block: Block) -> Region:
    """Of a block: its training box, widened to whole steps."""
    finer = Ground(
        low=ground.low,
        side=ground.side,
        level=min(ground.level + FINER, MAX_LEVEL),
        up_axis=ground.up_axis,
        inner=ground.inner,
    )
    rectangle = cells_of_box(finer, block.training_box)
    box = list(block.training_box)
    for axis, first, last in zip(finer.axes, rectangle.low, rectangle.high, strict=True):
        box[axis], box[axis + 3] = (finer.low[axis] + at * finer.cell_side for at in (first, last + 1))
    return Region(finer, rectangle, (box[0], box[1], box[2], box[3], box[4], box[5]))


def voxel_centers(data: SceneData) -> npt.NDArray[np.float64]:
    """The middles [N, 3] of a model's voxels, scene coordinates."""
    level, cell = voxel_places(data.tensors["children"], len(data.tensors["records"]))
    root, side = data.tensors["root_low"].astype(np.float64), float(data.settings["root_side"])
    return root + side * (cell + 0.5) * 0.5 ** level[:, None]


@dataclass(frozen=True)
class Seen:
    """Of rays, what is around a region: light before it [R, 3], what is left [R], and light behind it."""

    before: npt.NDArray[np.float32]
    left: npt.NDArray[np.float32]
    behind: Light


class Surroundings:
    """The coarse model around a region. Voxels whose middle is in it are the block's to explain."""

    def __init__(self, data: SceneData, region: Region) -> None:
        """Raises ConfigError and UnsupportedError as `ground_spans`."""
        self.region = region
        self._data = data
        self._outside = ~region.holds(voxel_centers(data))
        # Whole voxels: shells have some that are over both sides of a border.
        spans = ground_spans(data, region.ground)
        self._before = spans.high < (*region.rectangle.low, 0)
        self._behind = spans.low > (*region.rectangle.high, 0)
        self._parts: dict[Place, tuple[VoxelScene, VoxelScene]] = {}

    def seen(self, rays: Rays, *, threads: int) -> Seen:
        """What rays see before and behind the region. Raises EngineError as `VoxelScene.add`."""
        count = len(rays)
        before, behind = Light.empty(count), Light.empty(count)
        left = np.ones(count, np.float32)
        if not count:
            return Seen(before.rgb, left, behind)
        eyes, group = np.unique(places_of_eyes(self.region.ground, rays.origins), axis=0, return_inverse=True)
        zones = [self.region.rectangle.zone((i, j, height)) for i, j, height in eyes.tolist()]
        numbers = {zone: number for number, zone in enumerate(dict.fromkeys(zones))}
        zone_of = np.array([numbers[zone] for zone in zones])[group.reshape(-1)]
        for zone, number in numbers.items():
            place = np.flatnonzero(zone_of == number)
            some = Rays(*map(np.ascontiguousarray, (rays.origins[place], rays.directions[place])))
            front, back = self._of(zone)
            sums, rest = _nothing(len(place)), np.ones(len(place), np.float32)
            front.add(some, sums, rest, ends=False, threads=threads)
            light = _nothing(len(place))
            back.add(some, light, np.ones(len(place), np.float32), ends=True, threads=threads)
            before.rgb[place], left[place] = sums.rgb, rest
            for plane, part in zip(behind, light, strict=True):
                plane[place] = part
        return Seen(before.rgb, left, behind)

    def _of(self, zone: Place) -> tuple[VoxelScene, VoxelScene]:
        if zone not in self._parts:
            front = np.zeros(len(self._outside), bool)
            for axis, side in enumerate(zone):
                if side:
                    front |= (self._before if side < 0 else self._behind)[:, axis]
            front &= self._outside
            self._parts[zone] = (
                VoxelScene(seen_alone(self._data, front)),
                VoxelScene(seen_alone(self._data, self._outside & ~front, sky=True)),
            )
        return self._parts[zone]


def _nothing(count: int) -> Light:
    return Light(np.zeros((count, 3), np.float32), *np.zeros((2, count), np.float32))
