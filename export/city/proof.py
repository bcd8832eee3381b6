"""The composed city compared: with its definition, over borders and in views, and with photographs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from export.checks import Check, at_least, at_most, equal
from export.city.definition import defined_light
from export.parity.gate import Progress
from export.parity.tolerances import NATIVE_FP32, Tolerance
from neurocity.cameras import Camera, Rays
from neurocity.city.manifest import Block, City
from neurocity.city.renderer import CityRenderer
from neurocity.contract import SceneInfo
from neurocity.data.scene import Frame
from neurocity.deviation import deviation, scene_diagonal
from neurocity.light import Light, over_background, psnr
from neurocity.svraster.core import SVRaster

RAYS: Final = 512
"""Of a view that are compared with the definition."""
VIEWS: Final = 8
"""Held-out views that are, at most."""
BAND: Final = 0.1
"""Of a cell, on both sides of a border between blocks: what shows a place there is counted as border."""


@dataclass(frozen=True, kw_only=True)
class Photographed:
    """PSNR in dB of the composed city against held-out photographs: over all pixels, over those that show a
    place near a border between blocks, and over those that show the inside of blocks. pixels: of these two.
    """

    all_db: float
    border_db: float
    inside_db: float
    border_pixels: int
    inside_pixels: int

    def record(self) -> dict[str, float]:
        """The figures that are numbers, by name."""
        named = {
            "composed_psnr_db": self.all_db,
            "border_psnr_db": self.border_db,
            "inside_psnr_db": self.inside_db,
        }
        return {name: value for name, value in named.items() if math.isfinite(value)}


@dataclass
class SquaredErrors:
    """Of many pixels, one after the other."""

    total: float = 0.0
    pixels: int = 0

    def add(self, squares: npt.NDArray[np.floating]) -> None:
        """Those of some more."""
        self.total += float(squares.sum(dtype=np.float64))
        self.pixels += len(squares)

    @property
    def decibels(self) -> float:
        """PSNR with peak 1; infinite where there is no error, NaN of nothing."""
        if not self.pixels:
            return math.nan
        return -10.0 * math.log10(self.total / self.pixels) if self.total else math.inf


def compare_with_definition(
    renderer: CityRenderer, parts: Sequence[SVRaster], coarse: SVRaster, info: SceneInfo, progress: Progress
) -> list[Check]:
    """Checks of rays over every border between blocks, and of held-out views.

    parts: all that the city shows. coarse: the model whose sky is behind it. info: of the coarse model.
    """
    city = renderer.city
    sets = {f"border {a.id} | {b.id}": border_rays(city, a, b) for a, b in borders(city)}
    for view in info.views[:: -(-max(len(info.views), 1) // VIEWS)]:
        sets[f"view {view.name}"] = _some(Camera.from_view(view).rays())
    checks = []
    for number, (name, rays) in enumerate(sets.items()):
        progress("comparing the composed city", number, len(sets))
        checks += _checks(
            name, _render(renderer, rays), defined_light(parts, coarse, rays), city, NATIVE_FP32
        )
    progress("comparing the composed city", len(sets), len(sets))
    return checks


def borders(city: City) -> list[tuple[Block, Block]]:
    """Neighbours that both have a model, each pair once."""
    return [
        (block, city.block(other))
        for block in city.blocks
        for other in block.neighbours
        if block.id < other and block.model and city.block(other).model
    ]


def border_rays(city: City, one: Block, other: Block) -> Rays:
    """Rays over the border of two blocks: from above and from both sides, at places near it; the same for
    equal cities.
    """
    ground, generator = city.ground, np.random.default_rng(0)
    low, high = np.split(np.array(city.coarse.box), 2)
    shared = [
        (cell, beside)
        for cell in one.cells
        for beside in other.cells
        if abs(cell[0] - beside[0]) + abs(cell[1] - beside[1]) == 1
    ]
    cell, beside = shared[0]
    boxes = np.array([ground.box(cell), ground.box(beside)]).reshape(2, 2, 3)
    begin, end = boxes.max(0)[0], boxes.min(0)[1]  # the face of both
    begin[ground.up_axis], end[ground.up_axis] = low[ground.up_axis], high[ground.up_axis]
    places = begin + (end - begin) * generator.uniform(size=(RAYS, 3))
    across = 0 if cell[0] != beside[0] else 1
    places[:, ground.axes[across]] += BAND * ground.cell_side * generator.uniform(-1.0, 1.0, RAYS)
    away = generator.normal(size=(RAYS, 3))
    away[:, ground.up_axis] = np.abs(away[:, ground.up_axis]) + 0.3
    origins = (places + away / np.linalg.norm(away, axis=1, keepdims=True) * 1.5 * ground.cell_side).astype(
        np.float32
    )
    # As cameras do, some rays share their eye, and some eyes are in the border's plane.
    origins[: RAYS // 2] = origins[0]
    origins[RAYS // 4 : RAYS // 2, ground.axes[across]] = begin[ground.axes[across]]
    directions = places - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Rays(origins, directions.astype(np.float32))


def compare_with_photographs(
    renderer: CityRenderer, frames: Sequence[Frame], info: SceneInfo, progress: Progress
) -> Photographed:
    """See `Photographed`. Depth of the composed picture tells which place a pixel shows."""
    city = renderer.city
    everywhere, at_border, within = SquaredErrors(), SquaredErrors(), SquaredErrors()
    for number, frame in enumerate(frames):
        progress("comparing with photographs", number, len(frames))
        rays = frame.camera.rays()
        light = _render(renderer, rays)
        pixels = frame.load_image().reshape(-1, 4).astype(np.float32) / 255
        truth = over_background(pixels[:, :3] * pixels[:, 3:], pixels[:, 3], info.background)
        squares = np.square(over_background(light.rgb, light.opacity, info.background) - truth).mean(1)
        shown = (light.opacity > 0.5) & (pixels[:, 3] > 0.5)
        places = rays.origins + rays.directions * light.depth[:, None]
        inside, border = zones(city, places[shown])
        everywhere.add(squares)
        within.add(squares[shown][inside])
        at_border.add(squares[shown][border])
    progress("comparing with photographs", len(frames), len(frames))
    return Photographed(
        all_db=everywhere.decibels,
        border_db=at_border.decibels,
        inside_db=within.decibels,
        border_pixels=at_border.pixels,
        inside_pixels=within.pixels,
    )


def zones(city: City, places: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which places [N, 3] are in a block's inside, and which near a border between two blocks."""
    ground, owners = city.ground, city.owners
    numbers = {block.id: number for number, block in enumerate(city.blocks) if block.model}
    table = np.full((ground.count + 2,) * 2, -1)
    for (i, j), block in owners.items():
        table[i + 1, j + 1] = numbers.get(block.id, -1)
    unit = (places[:, list(ground.axes)] - [ground.low[axis] for axis in ground.axes]) / ground.cell_side

    def owner(at: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        cell = np.clip(np.floor(np.nan_to_num(at)).astype(np.int64) + 1, 0, ground.count + 1)
        found: npt.NDArray[np.int64] = table[cell[:, 0], cell[:, 1]]
        return found

    own = owner(unit)
    near = np.zeros(len(places), bool)
    for across in (-BAND, 0.0, BAND):
        for along in (-BAND, 0.0, BAND):
            beside = owner(unit + np.array([across, along]))
            near |= (beside >= 0) & (own >= 0) & (beside != own)
    return (own >= 0) & ~near, near


def _render(renderer: CityRenderer, rays: Rays) -> Light:
    found = renderer.render(rays)
    assert found is not None, "nothing stops it"
    absent = {block.id for block in renderer.city.blocks if block.model is None}
    assert absent.issuperset(found.coarse), "there is memory for all"
    return found.light


def _checks(where: str, got: Light, expected: Light, city: City, limits: Tolerance) -> list[Check]:
    found = deviation(got, expected, scene_diagonal(city.coarse.box))
    return [
        at_least("psnr_db", where, psnr(got.rgb, expected.rgb), limits.psnr_db),
        at_most("rgb error", where, found.rgb, limits.rgb),
        at_most("opacity error", where, found.opacity, limits.opacity),
        equal("values not finite", where, found.non_finite, 0),
    ]


def _some(rays: Rays) -> Rays:
    step = -(-len(rays) // RAYS)
    return rays[slice(0, None, step)]
