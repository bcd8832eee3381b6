"""The light of a city's parts, front to back: C = sum T_i C_i, and depth and opacity likewise.

Each part takes the share of light that is left of a ray and leaves the rest to those behind it. Sums go on as
they were, so that the picture of the parts is that of the undivided model, to the bit where their voxels are
the same ones. What lies around the cells, and the sky, come last; where an eye is outside of the rectangle of
cells, what of it lies in front of them comes first.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Rays
from neurocity.city.cutting import ground_spans, seen_alone
from neurocity.city.ground import Place, Rectangle, front_to_back, places_of_eyes
from neurocity.city.manifest import Box, Cell, Ground
from neurocity.city.ways import Ways
from neurocity.kernels.scene import SceneData
from neurocity.kernels.voxels import VoxelScene
from neurocity.kernels.work import Work
from neurocity.light import Light

SQUARE: Final = 128
"""Pixels along a side of what is composed together of a picture."""


class Part(NamedTuple):
    """What is in a cell. box: that holds it. open: gives it when rays come to it, None where nothing is."""

    box: Box
    open: Callable[[], VoxelScene | None]


class Around:
    """What lies around a rectangle of cells, above and below them, and the sky.

    For an eye a voxel is in front of the cells where one of their sides divides both from them: no ray meets
    cells first and then such a voxel. All others are behind.
    """

    def __init__(self, data: SceneData, ground: Ground, rectangle: Rectangle) -> None:
        """data: has no voxels over the rectangle's cells that are to be seen. Raises as `ground_spans`."""
        spans = ground_spans(data, ground)
        self.rectangle = rectangle
        self._data = data
        self._outside = ~spans.within(rectangle.low, rectangle.high)
        self._before = spans.high < (*rectangle.low, 0)
        self._behind = spans.low > (*rectangle.high, 0)
        self._parts: dict[Place, tuple[VoxelScene | None, VoxelScene]] = {}

    def parts(self, eye: Place) -> tuple[VoxelScene | None, VoxelScene]:
        """What is in front of the cells for eyes at that place, if any, and what is behind, with the sky."""
        zone = self.rectangle.zone(eye)
        if zone not in self._parts:
            front = np.zeros(len(self._outside), bool)
            for axis, side in enumerate(zone):
                if side:
                    front |= (self._before if side < 0 else self._behind)[:, axis]
            front &= self._outside
            in_front = VoxelScene(seen_alone(self._data, front)) if front.any() else None
            behind = VoxelScene(seen_alone(self._data, self._outside & ~front, sky=True))
            self._parts[zone] = in_front, behind
        return self._parts[zone]


def compose(
    cells: Mapping[Cell, Part],
    around: Around,
    ground: Ground,
    rays: Rays,
    *,
    threads: int,
    work: Work | None = None,
) -> Light | None:
    """The light of rays, see `neurocity.contract`; None if `work` stopped it.

    cells: what is in them; a part is opened once for each place that rays begin at, and only when rays from
    there may meet it and some has light left.
    Raises EngineError as `kernels.scene.KernelScene.render`, and what parts raise.
    """
    whole = Rays(*map(np.ascontiguousarray, rays.arrays()), width=rays.width)
    light = Light.empty(len(rays))
    with ThreadPoolExecutor(threads) as pool:
        for eye, squares in _by_eye(ground, whole):
            if not _compose_from(eye, cells, around, squares, pool, work):
                return None
            for square in squares:
                for plane, part in zip(light, square.light, strict=True):
                    plane[square.place] = part
    return light


class Square:
    """Neighbours among rays, with the sums of their light and what is left of it so far."""

    def __init__(self, rays: Rays, place: npt.NDArray[np.int64], width: int) -> None:
        """place: of its rays among all. width: of the picture that they are, or 0."""
        number = len(place)
        self.place = place
        self.rays = replace(rays[place], width=width)
        self.light = Light(np.zeros((number, 3), np.float32), *np.zeros((2, number), np.float32))
        self.left = np.ones(number, np.float32)

    def add(self, scene: VoxelScene, work: Work | None, *, ends: bool = False) -> bool:
        """The light of what comes next; False if `work` stopped it. Raises EngineError."""
        if work is not None and work.stop:
            return False
        # Not by `work` itself: it counts the parts of one call, and squares are added side by side.
        return scene.add(self.rays, self.light, self.left, ends=ends, threads=1)


def _compose_from(
    eye: Place,
    cells: Mapping[Cell, Part],
    around: Around,
    squares: list[Square],
    pool: ThreadPoolExecutor,
    work: Work | None,
) -> bool:
    """Finish the sums of rays from eyes at one place; False if `work` stopped it."""

    def add(scene: VoxelScene, some: list[Square], *, ends: bool = False) -> bool:
        added = [pool.submit(square.add, scene, work, ends=ends) for square in some]
        done = [each.result() for each in added]
        return all(done)

    front, behind = around.parts(eye)
    if front and not add(front, squares):
        return False
    parts = [cells[cell] for cell in front_to_back(eye, cells)]
    boxes = np.array([part.box for part in parts]).reshape(-1, 2, 3)
    meet = np.stack([Ways.of(square.rays).may_meet(boxes) for square in squares])
    for number, part in enumerate(parts):
        some = [square for square, met in zip(squares, meet[:, number], strict=True) if met]
        some = [square for square in some if square.left.max() > behind.least_light]
        scene = part.open() if some else None
        if scene and not add(scene, some):
            return False
    return add(behind, squares, ends=True)


def _by_eye(ground: Ground, rays: Rays) -> Iterator[tuple[Place, list[Square]]]:
    """All rays by the place that they begin at, in squares of a picture, or in runs."""
    origins, number = rays.origins, len(rays)
    if not (origins == origins[:1]).all():
        eyes, group = np.unique(places_of_eyes(ground, origins), axis=0, return_inverse=True)
        for which, (column, row, height) in enumerate(eyes.tolist()):
            place = np.flatnonzero(group.reshape(-1) == which)
            yield (column, row, height), [Square(rays, place, 0)]
    elif number:
        column, row, height = places_of_eyes(ground, origins[:1])[0].tolist()
        is_image = rays.width > 0 and number % rays.width == 0
        image = np.arange(number).reshape(-1, rays.width if is_image else number)
        high, wide = (SQUARE, SQUARE) if is_image else (1, SQUARE**2)
        parts = [
            image[top : top + high, left : left + wide]
            for top in range(0, image.shape[0], high)
            for left in range(0, image.shape[1], wide)
        ]
        yield (
            (column, row, height),
            [Square(rays, part.reshape(-1), part.shape[1] if is_image else 0) for part in parts],
        )
