"""A model cut into blocks and composed again: the picture of the undivided one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from svraster_scene import BOX, random_rays, random_voxels

from neurocity.cameras import Camera, Rays
from neurocity.city.composing import SQUARE, Around, Part, compose
from neurocity.city.cutting import CutModel, cut, ground_of, ground_spans, seen_alone
from neurocity.city.ground import Rectangle, front_to_back, places_of_eyes
from neurocity.city.manifest import Cell, Ground
from neurocity.city.octree import pruned, voxel_places
from neurocity.city.ways import Ways
from neurocity.errors import ConfigError, UnsupportedError
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.kernels.voxel_intervals import list_voxels
from neurocity.kernels.voxels import VoxelScene
from neurocity.kernels.work import Work
from neurocity.light import Light, psnr
from neurocity.poses import look_at
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.native import scene_data


def district(levels: int = 2) -> SVRaster:
    """A bounded model of random voxels, none of which is larger than a cell of that level."""
    model = SVRaster(SVRasterConfig(scene_bounds=BOX, max_octree_levels=8, base_resolution=2, sh_degree=2))
    level, cell = random_voxels(3, 5, split=0.6, drop=0.2)
    fine = level >= levels
    model.set_voxels(level[fine], cell[fine])
    return filled(model)


def landscape() -> SVRaster:
    """An unbounded one: shells around its box, of which some lie across the planes of the box, and a sky."""
    options = {"max_octree_levels": 5, "base_resolution": 8, "sh_degree": 1}
    return filled(SVRaster(SVRasterConfig(**options).for_scene(BOX, unbounded=True)))


def filled(model: SVRaster) -> SVRaster:
    generator = torch.Generator().manual_seed(5)
    model.requires_grad_(False)
    model.density.copy_(3.0 * torch.randn(model.density.shape, generator=generator) - 4.0)
    for values in (model.sh0, model.shs):
        values.copy_(torch.randn(values.shape, generator=generator))
    return model


class Cut(NamedTuple):
    """A model, and the same in blocks."""

    model: SVRaster
    whole: SceneData
    ground: Ground
    rectangle: Rectangle
    parts: CutModel


def cut_in_memory(model: SVRaster, level: int, rectangle: Rectangle, *, up_axis: int = 2) -> Cut:
    data = scene_data(model, np.float16)
    side = model.root_side / 2**level
    ground = ground_of(data, side, up_axis=up_axis, inner=model.config.bounds_level)
    assert ground.level == level
    return Cut(model, data, ground, rectangle, cut(data, ground, rectangle))


MODELS: dict[str, Callable[[], Cut]] = {
    "all": lambda: cut_in_memory(district(), 2, Rectangle((0, 0), (3, 3))),
    "columns along y": lambda: cut_in_memory(district(), 2, Rectangle((0, 0), (3, 3)), up_axis=1),
    "a corner": lambda: cut_in_memory(district(), 2, Rectangle((0, 1), (2, 2))),
    "shells": lambda: cut_in_memory(landscape(), 6, Rectangle((30, 30), (33, 33))),
}


@pytest.fixture(scope="module", params=MODELS)
def blocks(request: pytest.FixtureRequest) -> Cut:
    return MODELS[request.param]()


def opened(given: Cut) -> dict[Cell, Part]:
    scenes = {cell: VoxelScene(data) for cell, data in given.parts.blocks.items()}
    return {
        cell: Part(given.ground.box(cell), lambda scene=scene: scene)  # type: ignore[misc]
        for cell, scene in scenes.items()
    }


def composed(given: Cut, rays: Rays, threads: int = 1) -> Light:
    around = Around(given.parts.around, given.ground, given.rectangle)
    light = compose(opened(given), around, given.ground, rays, threads=threads)
    assert light is not None
    return light


def undivided(given: Cut, rays: Rays) -> Light:
    light = render_rays(open_scene(given.whole), rays, threads=1)
    assert light is not None
    return light


def eyes(given: Cut) -> dict[str, tuple[float, float, float]]:
    """Inside and outside of cells, on the planes between them, and where these meet."""
    ground, (i, j) = given.ground, given.rectangle.high
    low, high = np.split(np.array(ground.box((i, j))), 2)
    middle = 0.5 * (low + high)
    on_plane, on_edge = middle.copy(), middle.copy()
    on_plane[ground.axes[0]] = low[ground.axes[0]]
    on_edge[list(ground.axes)] = low[list(ground.axes)]
    places = {
        "inside": middle + 0.01,
        "on a border": on_plane,
        "where borders meet": on_edge,
        "beyond a side": middle + np.eye(3)[ground.axes[0]] * 1.3 * ground.cell_side,
        "beyond a corner": middle + 2.2 * (high - middle),
        "before all": np.array(ground.low) - 0.4 * ground.side,
        "high above": middle + np.eye(3)[ground.up_axis] * 0.8 * (high - low),
    }
    return {name: tuple(place.tolist()) for name, place in places.items()}


def pictures(given: Cut) -> dict[str, Camera]:
    target = tuple(float(value) for value in BOX[:3] + 0.4 * np.subtract(BOX[3:], BOX[:3]))
    up = (0.1, 0.2, 1.0)
    return {
        name: Camera.from_fov_y(look_at(eye, target, up), 46, 34, 75.0) for name, eye in eyes(given).items()
    }


def awkward_rays(model: SVRaster) -> Rays:
    """Rays of many origins, along axes, in planes between voxels, through edges and corners."""
    return Rays(*(part.t().contiguous().numpy() for part in random_rays(model, 3, count=300)))


def test_pictures_are_those_of_the_undivided_model(blocks: Cut) -> None:
    assert len(blocks.parts.blocks) > 3
    for name, camera in pictures(blocks).items():
        rays = camera.rays()
        expected = undivided(blocks, rays)
        assert float(expected.rgb.std()) > 0.02, name
        got = composed(blocks, rays)
        assert psnr(got.rgb, expected.rgb) > 90.0, name
        for plane, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(plane, other, name)


def test_rays_along_axes_and_in_borders_are_too(blocks: Cut) -> None:
    rays = awkward_rays(blocks.model)
    expected = undivided(blocks, rays)
    assert float((expected.opacity > 0.5).mean()) > 0.1
    for plane, other in zip(composed(blocks, rays, threads=2), expected, strict=True):
        np.testing.assert_array_equal(plane, other)


def test_tiles_are_parts_of_the_picture(blocks: Cut) -> None:
    camera = pictures(blocks)["on a border"]
    whole = undivided(blocks, camera.rays()).as_image(camera.height, camera.width)
    for x, y, width, height in ((0, 0, 16, 16), (17, 5, 29, 3), (45, 33, 1, 1), (3, 20, 40, 14)):
        tile = composed(blocks, camera.cropped(x, y, width, height).rays()).as_image(height, width)
        for plane, other in zip(tile, whole, strict=True):
            np.testing.assert_array_equal(plane, other[y : y + height, x : x + width])


def test_what_is_stopped_renders_no_more_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of the last part, which is behind all of them."""
    given, work, added = MODELS["all"](), Work(), []
    rays = replace(pictures(given)["inside"], width=4 * SQUARE).rays()
    add = VoxelScene.add

    def add_and_stop(scene: VoxelScene, *arguments: Any, **options: Any) -> bool:
        if options["ends"]:
            added.append(scene)
            work.stop = 1
        return add(scene, *arguments, **options)

    around = Around(given.parts.around, given.ground, given.rectangle)
    parts = opened(given)
    assert compose(parts, around, given.ground, rays, threads=1, work=work) is not None
    monkeypatch.setattr(VoxelScene, "add", add_and_stop)
    assert compose(parts, around, given.ground, rays, threads=1, work=work) is None
    assert len(added) == 1


def test_a_wrong_order_shows() -> None:
    """The test above sees order: the cells back to front are another picture."""
    given = MODELS["all"]()
    rays = pictures(given)["inside"].rays()
    scenes = {cell: VoxelScene(data) for cell, data in given.parts.blocks.items()}
    light = Light(*(np.zeros_like(plane) for plane in Light.empty(len(rays))))
    left = np.ones(len(rays), np.float32)
    (eye,) = places_of_eyes(given.ground, rays.origins[:1]).tolist()
    for cell in reversed(front_to_back((eye[0], eye[1], eye[2]), scenes)):
        scenes[cell].add(rays, light, left, ends=False, threads=1)
    assert psnr(light.rgb, undivided(given, rays).rgb) < 40.0


def test_blocks_are_met_at_the_depths_of_the_undivided_model(blocks: Cut) -> None:
    rays = awkward_rays(blocks.model)

    def met(data: SceneData) -> set[tuple[int, float, float]]:
        cube = data.tensors["root_low"], float(data.settings["root_side"])
        found = list_voxels(data.tensors["children"], cube, rays, 0.0, threads=1)
        return set(zip(found.ray_index.tolist(), found.near.tolist(), found.far.tolist(), strict=True))

    parts = [met(data) for data in (*blocks.parts.blocks.values(), blocks.parts.around)]
    whole = met(blocks.whole)
    assert set.union(*parts) == whole
    assert sum(map(len, parts)) == len(whole) > 1000


def test_what_is_behind_opaque_blocks_is_not_opened() -> None:
    given = MODELS["all"]()
    data = given.whole
    solid = data.tensors["records"].copy()
    solid[:, 3 * (int(data.settings["sh_degree"]) + 1) ** 2 :][:, :8] = 100.0
    parts = cut(
        SceneData("voxels", {**data.tensors, "records": solid}, data.settings), given.ground, given.rectangle
    )
    opened_cells: list[Cell] = []

    def opening(cell: Cell, scene: SceneData) -> Part:
        def part() -> VoxelScene:
            opened_cells.append(cell)
            return VoxelScene(scene)

        return Part(given.ground.box(cell), part)

    box = np.array(given.ground.box((0, 0)))
    eye = 0.5 * (box[:3] + box[3:]) - (0.0, 4.0 * given.ground.cell_side, 0.0)
    spans = ground_spans(data, given.ground)
    voxel = int(np.flatnonzero((spans.low == (0, 0, 0)).all(1))[0])
    places = voxel_places(data.tensors["children"], len(solid))
    centre = (places.cell[voxel] + 0.5) / 2.0 ** places.level[voxel] * given.ground.side + given.ground.low
    rays = Camera.from_fov_y(look_at(tuple(eye), tuple(centre), (0.0, 0.0, 1.0)), 1, 1, 0.001).rays()
    around = Around(parts.around, given.ground, given.rectangle)
    light = compose(
        {cell: opening(cell, scene) for cell, scene in parts.blocks.items()},
        around,
        given.ground,
        rays,
        threads=1,
    )
    assert light is not None
    assert light.opacity[0] == 1.0
    assert opened_cells == [(0, 0)]


def test_what_no_ray_meets_is_not_opened_and_what_some_meets_is() -> None:
    """Against the walk itself: a cell with a voxel that a ray meets is never left out, most others are."""
    given = MODELS["all"]()
    kept = left_out = wrong = 0
    for name, camera in pictures(given).items():
        for x, y in ((0, 0), (30, 20)):
            rays = camera.cropped(x, y, 16, 14).rays()
            ways = Ways.of(rays)
            for cell, data in given.parts.blocks.items():
                cube = data.tensors["root_low"], float(data.settings["root_side"])
                met = len(list_voxels(data.tensors["children"], cube, rays, 0.0, threads=1).voxel) > 0
                (may,) = ways.may_meet(np.array(given.ground.box(cell)).reshape(1, 2, 3)).tolist()
                assert may or not met, (name, cell)
                kept, left_out, wrong = kept + met, left_out + (not may), wrong + (may and not met)
    assert kept > 20
    assert left_out > 2 * wrong


def test_voxels_that_are_wider_than_a_cell_are_refused() -> None:
    data = scene_data(district(levels=1), np.float32)
    ground = ground_of(data, float(data.settings["root_side"]) / 4)
    with pytest.raises(ConfigError, match=r"\d+ of \d+ voxels are larger than a cell \(up to 2 cells wide\)"):
        cut(data, ground, Rectangle((0, 0), (3, 3)))


def test_a_model_of_another_root_is_refused_and_one_that_is_doubled_is_not() -> None:
    data = scene_data(landscape(), np.float32)
    side, low = float(data.settings["root_side"]), data.tensors["root_low"].astype(float)
    inner = Ground(low=tuple((low + side * 7.5 / 16).tolist()), side=side / 16, level=2)  # type: ignore[arg-type]
    parts = cut(data, inner, Rectangle((0, 0), (3, 3)))
    assert len(parts.blocks) == 16
    moved = Ground(low=tuple((low + side * 0.47).tolist()), side=side / 16, level=2)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="expected the root of the city"):
        cut(data, moved, Rectangle((0, 0), (3, 3)))
    with pytest.raises(UnsupportedError, match="of kind 'hash_field'; voxels alone"):
        ground_of(SceneData("hash_field", {}, {}), 1.0)
    for length in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="block_size: got"):
            ground_of(data, length)


def test_a_view_of_a_part_shares_the_records() -> None:
    data = scene_data(district(), np.float16)
    kept = np.arange(len(data.tensors["records"])) % 3 == 0
    seen = seen_alone(data, kept)
    assert seen.tensors["records"] is data.tensors["records"]
    children = seen.tensors["children"]
    assert set((-2 - children[children <= -2]).tolist()) == set(np.flatnonzero(kept).tolist())
    assert not pruned(data.tensors["children"], np.zeros(len(kept), bool)).max() > -1
