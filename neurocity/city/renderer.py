"""A city rendered from its files: blocks are loaded when rays come to them, within a bound of memory.

Where a block is absent the coarse model stands in, and the picture says so; it is never refused. Far from the
eye a block's coarser cut is taken: the coarsest whose voxels are no larger than a pixel there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera, Rays
from neurocity.city.artefacts import file_stamp, open_model, reopen_model
from neurocity.city.coarse import CoarseModel, array_bytes
from neurocity.city.composing import Part, compose
from neurocity.city.cutting import ground_spans, seen_alone
from neurocity.city.digest import ways_of
from neurocity.city.ground import cells_of_points, joined
from neurocity.city.manifest import Block, Box, Cell, City, CityModel, Ground, read_city
from neurocity.city.residency import Hold, Loaded, Residency, Want
from neurocity.errors import ManifestError
from neurocity.kernels.voxels import VoxelScene
from neurocity.kernels.work import Work
from neurocity.light import Light
from neurocity.resources import available_processors

SCOUT_PIXELS: Final = 64 * 48
"""Of a picture that is made to see which blocks a larger one shows."""

MOST_EXPECTED: Final = 256
"""Blocks of one picture that are thought of before it is made."""
_ROUNDING: Final = 1e-6
"""Of places, as a part of the root's side: what float32 leaves."""


@dataclass(frozen=True)
class CityLight:
    """The light of rays, and how it came about.

    coarse: ids of the blocks that the coarse model stood in for, or a coarser cut. blocks: of those that were
    rendered, with the number of the cut that was taken, 0 for the finest. loads: models that were waited for.
    """

    light: Light
    coarse: tuple[str, ...]
    blocks: dict[str, int]
    loads: int


@dataclass
class View:
    """One picture while it is made, at once or by tiles.

    hold: has its blocks. pixel: width of a pixel at unit distance, 0 for the finest cut everywhere. until:
    instant of `time.monotonic()` to which a block is waited for.

    wanted: what it shows, or would, in the order of its distance; missing: what of that stood out.
    blocks: that were rendered, and the number of the cut that was taken. stand_ins: of those whose wanted cut
    is missing another one that is there, or None for the coarse model. coarse: blocks that were not from the
    cut that is wanted, or a finer one; those without a model are among them, and are not missing.
    """

    hold: Hold
    pixel: float = 0.0
    until: float = math.inf
    wanted: dict[str, Want] = field(default_factory=dict)
    missing: dict[str, Want] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)
    stand_ins: dict[str, int | None] = field(default_factory=dict)
    coarse: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Site:
    """A block's models as they may be loaded, the finest first, and the box that holds what they show."""

    block: Block
    models: tuple[CityModel, ...]
    wants: tuple[Want, ...]
    box: Box


class CityRenderer:
    """A city that is open. Any number of threads may render."""

    def __init__(
        self,
        folder: Path,
        memory_bytes: int = 2**30,
        *,
        residency: Residency | None = None,
        city: City | None = None,
        before: "CityRenderer | None" = None,
    ) -> None:
        """memory_bytes: of blocks; the coarse model, which always is in memory, comes on top. residency: in
        place of memory_bytes, what is shared with other cities. city: what its file says, where it was read
        already. before: the same city as it was, of which it takes what is the same.

        Raises ManifestError when there is no city, or its coarse model is not made or broken, and ConfigError
        when that cannot be divided by the city's cells.
        """
        self.folder = folder
        self.city = city or read_city(folder)
        self.residency = Residency(memory_bytes) if residency is None else residency
        self.coarse: CoarseModel = CoarseModel.of(folder, self.city, before.coarse if before else None)
        self._sites = {block.id: site for block in self.city.blocks if (site := self._site(block))}
        self._boxes = np.array([site.box for site in self._sites.values()]).reshape(-1, 2, 3)
        self._owners = self.city.owners
        self._whole: dict[str, tuple[int, int, int] | None] = {}
        self._cells = {cell: self._box(cell) for cell in {*self._owners, *self.coarse.scenes}}
        self.residency.open(self.keys)

    @property
    def keys(self) -> list[str]:
        """Of all models that it may load."""
        return [want.key for site in self._sites.values() for want in site.wants]

    def resident(self) -> tuple[int, int]:
        """How many blocks have a model in memory, and the bytes of these."""
        found = [self.residency.kept(want.key for want in site.wants) for site in self._sites.values()]
        return sum(count > 0 for count, _ in found), sum(size for _, size in found)

    def broken(self) -> dict[str, str]:
        """Folder of a model that could not be loaded lately -> why."""
        wants = [want for site in self._sites.values() for want in site.wants]
        found = {want.name: self.residency.failure(want.key) for want in wants}
        return {name: reason for name, reason in found.items() if reason is not None}

    def close(self) -> None:
        """Let go what nobody else shows; it cannot be rendered afterwards."""
        self.residency.close(self.keys)

    def picture(self, camera: Camera, *, wait: bool = True) -> CityLight:
        """The light [H, W] of a camera in scene coordinates; see `render`."""
        found = self.render(camera.rays(), pixel=pixel_of(camera), wait=wait)
        assert found is not None, "nothing stops it"
        light = found.light.as_image(camera.height, camera.width)
        return CityLight(light, found.coarse, found.blocks, found.loads)

    def render(
        self, rays: Rays, *, pixel: float = 0.0, wait: bool = True, threads: int = 0, work: Work | None = None
    ) -> CityLight | None:
        """The light of rays; None if `work` stopped it.

        pixel: see `View`. wait: load what is not in memory; else something coarser stands in for it.
        threads: 0 for one a processor that may be used.
        Where rays begin at several places a block's cut is chosen for all, as near as any of them may be.
        Raises EngineError as `kernels.scene.KernelScene.render`.
        """
        with Hold(self.residency) as hold:
            view = View(hold, pixel, math.inf if wait else -math.inf)
            light = self.render_view(rays, view, threads=threads, work=work)
            self.residency.used(self.residency.fitting(view.wanted.values()))
        if light is None:
            return None
        return CityLight(light, tuple(sorted(view.coarse)), view.blocks, hold.loads)

    def render_view(
        self, rays: Rays, view: View, *, threads: int = 0, work: Work | None = None
    ) -> Light | None:
        """The light of rays of a picture, or of a tile of it; as `render`."""
        eyes = rays.origins.astype(np.float64) if len(rays) else np.zeros((1, 3))
        low, high = eyes.min(0), eyes.max(0)

        def opened(cell: Cell) -> VoxelScene | None:
            block = self._owners.get(cell)
            if block is None:
                return self.coarse.scenes.get(cell)
            loaded = self._shown(block, view, low, high)
            return self.coarse.scenes.get(cell) if loaded is None else loaded.scenes.get(cell)

        cells = {cell: Part(box, partial(opened, cell)) for cell, box in self._cells.items()}
        count = threads or available_processors()
        return compose(cells, self.coarse.around, self.city.ground, rays, threads=count, work=work)

    def scout(self, camera: Camera, hold: Hold) -> View:
        """What a picture of the camera shows, found by a small one that waits for nothing."""
        share = min(1.0, math.sqrt(SCOUT_PIXELS / (camera.width * camera.height)))
        size = max(1, round(camera.width * share)), max(1, round(camera.height * share))
        view = View(hold, pixel_of(camera), -math.inf)
        self.render_view(camera.resized(*size).rays(), view, threads=1)
        return view

    def may_want(self, camera: Camera) -> list[Want]:
        """What a picture of the camera may show, whatever hides it, the nearest first."""
        if not self._sites:
            return []
        met = np.flatnonzero(ways_of(camera).may_meet(self._boxes))
        low, high = self._boxes[met].transpose(1, 0, 2)
        eye = camera.position
        away = np.linalg.norm(np.maximum(np.maximum(low - eye, eye - high), 0.0), axis=1)
        sites = [*self._sites.values()]
        nearest = met[np.argsort(away, kind="stable")[:MOST_EXPECTED]]
        return [self._want(sites[number], pixel_of(camera), eye, eye)[1] for number in nearest]

    def around(self, camera: Camera) -> Iterator[Want]:
        """What the block that the camera is over has beside it."""
        eye = camera.position
        cell = _cell_of(self.city.ground, eye)
        here = self._owners.get(cell)
        for name in (here.id, *here.neighbours) if here else ():
            if (site := self._sites.get(name)) is not None:
                yield self._want(site, pixel_of(camera), eye, eye)[1]

    def _shown(
        self, block: Block, view: View, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
    ) -> Loaded | None:
        """The model that shows a block to eyes between two corners; None for the coarse one."""
        site = self._sites.get(block.id)
        if site is None:
            view.coarse.add(block.id)
            return None
        cut, want = self._want(site, view.pixel, low, high)
        view.wanted.setdefault(want.key, want)
        if block.id not in view.stand_ins:
            if (loaded := view.hold.get(want, view.until)) is not None:
                view.blocks[block.id] = cut
                return loaded
            view.missing[want.key] = want
            finer_first = sorted(range(len(site.wants)), key=lambda other: (other > cut, abs(other - cut)))
            there = (other for other in finer_first if view.hold.find(site.wants[other]) is not None)
            # The same in all tiles, whatever comes meanwhile; it is held.
            view.stand_ins[block.id] = next(there, None)
        stand_in = view.stand_ins[block.id]
        if stand_in is None or stand_in > cut:
            view.coarse.add(block.id)
        if stand_in is None:
            view.blocks.pop(block.id, None)
            return None
        view.blocks[block.id] = stand_in
        return view.hold.find(site.wants[stand_in])

    def _want(
        self, site: _Site, pixel: float, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
    ) -> tuple[int, Want]:
        """The cut of a block for eyes between two corners."""
        cut = _cut_for(site.models, pixel * _distance(low, high, site.models[0].box))
        return cut, site.wants[cut]

    def _site(self, block: Block) -> _Site | None:
        if block.model is None:
            return None
        models = (block.model, *block.coarser)
        wants = tuple(self._wanted(block, model) for model in models)
        return _Site(block, models, wants, joined(model.box for model in models))

    def _wanted(self, block: Block, model: CityModel) -> Want:
        # All that its scenes in memory are made of.
        key = repr((str(self.folder), model.folder, model.artefact.sha256, block.cells, self.city.ground))
        return Want(key, model.folder, model.artefact.bytes, partial(self._load, block.cells, model))

    def _box(self, cell: Cell) -> Box:
        """Around what is shown in a cell."""
        owner = self._owners.get(cell)
        site = self._sites.get(owner.id) if owner else None
        boxes = [site.box] if site else []
        boxes += [self.coarse.boxes[cell]] if cell in self.coarse.boxes else []
        return joined(boxes or [self.city.ground.box(cell)])

    def _load(self, cells: tuple[Cell, ...], model: CityModel) -> Loaded:
        """A model's scenes by cell; what it has outside of its block's cells is not seen."""
        stamp = file_stamp(self.folder, model)  # before it is read: what changes meanwhile is seen next time
        if stamp is not None and self._whole.get(model.folder) == stamp:
            data = reopen_model(self.folder, model)
        else:
            data = open_model(self.folder, model)
            self._whole[model.folder] = stamp
        if len(cells) == 1 and _is_within(model.box, self.city.ground.box(cells[0]), self.city.ground.side):
            scenes = {cells[0]: VoxelScene(data)}
            return Loaded(scenes, array_bytes(data, scenes.values()))
        spans = ground_spans(data, self.city.ground)
        scenes = {}
        for cell in cells:
            mask = spans.within(cell, cell)
            if mask.any():
                scenes[cell] = VoxelScene(data if mask.all() else seen_alone(data, mask))
        if not scenes:
            raise ManifestError(
                f"{self.folder / model.folder}: has no voxels in the cells of its block; name the block's "
                "own model in the city's file"
            )
        return Loaded(scenes, array_bytes(data, scenes.values()))


def pixel_of(camera: Camera) -> float:
    """Width of a camera's pixels at unit distance."""
    return 1.0 / max(camera.fl_x, camera.fl_y)


def _cell_of(ground: Ground, place: npt.NDArray[np.float64]) -> Cell:
    column, row = cells_of_points(ground, place[None])[0].tolist()
    return column, row


def _is_within(inner: Box, outer: Box, side: float) -> bool:
    """Whether a box is in another, up to rounding of float32; side: of what both are in."""
    slack = _ROUNDING * side
    low = all(a >= b - slack for a, b in zip(inner[:3], outer[:3], strict=True))
    return low and all(a <= b + slack for a, b in zip(inner[3:], outer[3:], strict=True))


def _cut_for(models: tuple[CityModel, ...], pixel: float) -> int:
    """The coarsest of models whose voxels are no larger than a pixel, the first where none is."""
    fit = [number for number, model in enumerate(models) if model.voxel_side <= pixel]
    return fit[-1] if fit else 0


def _distance(first: npt.NDArray[np.float64], last: npt.NDArray[np.float64], box: Box) -> float:
    """From the box between two corners, which holds all eyes, to another; 0 where they meet."""
    low, high = np.array(box).reshape(2, 3)
    return float(np.linalg.norm(np.maximum(np.maximum(low - last, first - high), 0.0)))
