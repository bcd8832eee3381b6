"""A city rendered from its files: within a bound of memory, the coarse model in place of what is absent."""

import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from voxel_town import SIDE

from neurocity.cameras import Camera, Rays
from neurocity.city import residency
from neurocity.city.artefacts import open_model, write_model
from neurocity.city.coarsening import coarsened
from neurocity.city.cutting import ground_spans, part
from neurocity.city.digest import ViewDigests
from neurocity.city.extent import deepest_level, voxel_box
from neurocity.city.ground import joined
from neurocity.city.manifest import Block, Box, City, read_city, write_city
from neurocity.city.renderer import CityRenderer
from neurocity.errors import ManifestError
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.lenses import Lens
from neurocity.light import Light, psnr
from neurocity.model_repository import open_version
from neurocity.poses import look_at

PLENTY = 2**30
MIDDLE = (0.5 * SIDE, 0.5 * SIDE, 0.15 * SIDE)
UP = (0.0, 0.0, 1.0)


@pytest.fixture
def whole(town_whole: SceneData) -> SceneData:
    return town_whole


@pytest.fixture
def folder(town_folder: Path) -> Path:
    return town_folder


def camera(eye: tuple[float, float, float] = (-6.0, -4.0, 9.0), size: int = 64) -> Camera:
    return Camera.from_fov_y(look_at(eye, MIDDLE, UP), size, size, 60.0)


def undivided(data: SceneData, view: Camera) -> Light:
    light = render_rays(open_scene(data), view.rays())
    assert light is not None
    return light.as_image(view.height, view.width)


def same(got: Light, expected: Light) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def exact(renderer: CityRenderer, view: Camera) -> Light:
    found = renderer.render(view.rays())
    assert found is not None
    assert not found.coarse
    return found.light.as_image(view.height, view.width)


def test_blocks_are_loaded_once_when_rays_come_to_them(folder: Path, whole: SceneData) -> None:
    renderer = CityRenderer(folder, PLENTY)
    corner = Camera.from_fov_y(look_at((2.0, 2.0, 9.0), (2.0, 2.1, 0.0), UP), 32, 32, 15.0)
    found = renderer.render(corner.rays())
    assert found is not None
    assert found.loads == len(found.blocks) == renderer.residency.counts.loads == 1
    assert same(exact(renderer, camera()), undivided(whole, camera()))
    loads = renderer.residency.counts.loads
    assert 1 < loads <= 16
    assert same(exact(renderer, camera()), undivided(whole, camera()))
    assert renderer.residency.counts.loads == loads


def test_memory_for_two_blocks_gives_the_same_pictures(folder: Path, whole: SceneData) -> None:
    largest = max(block.model.artefact.bytes for block in read_city(folder).blocks if block.model)
    for limit in (2 * largest, largest // 4):
        renderer = CityRenderer(folder, limit)
        for eye in ((-6.0, -4.0, 9.0), (8.0, 7.0, 7.0), (22.0, 10.0, 6.0)):
            assert same(exact(renderer, camera(eye)), undivided(whole, camera(eye)))
            assert renderer.residency.bytes <= limit
        # Once a picture, in whatever order its parts are rendered.
        assert 16 < renderer.residency.counts.loads <= 3 * 16
    assert renderer.residency.bytes == 0, "no block is that small"


def test_the_coarse_model_stands_in_for_what_is_not_in_memory(folder: Path, whole: SceneData) -> None:
    renderer, view = CityRenderer(folder, PLENTY), camera()
    expected = undivided(whole, view)
    cold = renderer.picture(view, wait=False)
    assert cold.loads == 0
    assert not cold.blocks
    assert len(cold.coarse) > 8
    assert 20.0 < psnr(cold.light.rgb, expected.rgb) < 60.0
    renderer.render(view.rays())
    warm = renderer.render(view.rays(), wait=False)
    assert warm is not None
    assert not warm.coarse
    assert same(warm.light.as_image(64, 64), expected)


def test_a_broken_block_is_told_and_not_tried_again_at_once(
    town_copy: Path, whole: SceneData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residency, "RETRY_SECONDS", math.inf)
    city = read_city(town_copy)
    block = city.block("x1-y1")
    assert block.model is not None
    artefact = town_copy / block.model.folder / block.model.artefact.name
    artefact.write_bytes(artefact.read_bytes()[:-7])
    renderer, view = CityRenderer(town_copy, PLENTY), camera()
    for loads in (True, False):
        found = renderer.render(view.rays())
        assert found is not None
        assert found.coarse == ("x1-y1",)
        assert (found.loads > 0) is loads
    assert "bytes, its manifest says" in renderer.broken()[block.model.folder]
    assert psnr(found.light.rgb.reshape(64, 64, 3), undivided(whole, view).rgb) > 25.0


def test_two_cities_may_have_models_of_the_same_names(folder: Path, town_copy: Path) -> None:
    model = read_city(folder).block("x1-y1").model
    assert model is not None
    (town_copy / model.folder / model.artefact.name).unlink()
    broken = CityRenderer(town_copy, PLENTY)
    other = CityRenderer(folder, residency=broken.residency)
    for renderer in (broken, other):
        renderer.render(camera().rays())
    assert other.broken() == {}
    assert "cannot be read" in broken.broken()[model.folder]


def test_far_blocks_are_rendered_from_coarser_cuts(folder: Path, whole: SceneData) -> None:
    renderer = CityRenderer(folder, PLENTY)
    near = renderer.picture(camera((8.0, 7.0, 5.0), 256))
    assert set(near.blocks.values()) == {0}
    assert same(near.light, undivided(whole, camera((8.0, 7.0, 5.0), 256)))
    far = camera((-40.0, -45.0, 30.0), 48)
    found = renderer.picture(far)
    assert set(found.blocks.values()) == {1}
    assert psnr(found.light.rgb, undivided(whole, far).rgb) > 30.0
    loaded = {model.folder: model.artefact.bytes for block in renderer.city.blocks for model in block.coarser}
    assert renderer.residency.bytes > 0
    assert sum(loaded.values()) < 0.5 * sum(
        block.model.artefact.bytes for block in renderer.city.blocks if block.model
    )


def test_the_nearest_eye_chooses_a_cut_whatever_the_order_of_rays(folder: Path) -> None:
    renderer = CityRenderer(folder, PLENTY)
    near, far = (camera(eye, 8).rays() for eye in ((8.0, 7.0, 5.0), (-40.0, -45.0, 30.0)))
    found = []
    for parts in ((near, far), (far, near)):
        rays = Rays(*map(np.concatenate, zip(*(part.arrays() for part in parts), strict=True)))
        light = renderer.render(rays, pixel=0.1)
        assert light is not None
        found.append(light.blocks)
    alone = renderer.render(far, pixel=0.1)
    assert alone is not None
    assert found[0] == found[1]
    assert set(alone.blocks.values()) != set(found[0].values())


def test_a_block_with_the_model_of_another_is_told(town_copy: Path) -> None:
    city = read_city(town_copy)
    here, there = city.block("x1-y1"), city.block("x2-y2")
    swapped = {
        here.id: replace(here, model=there.model, coarser=()),
        there.id: replace(there, model=here.model, coarser=()),
    }
    write_city(town_copy, replace(city, blocks=tuple(swapped.get(each.id, each) for each in city.blocks)))
    renderer = CityRenderer(town_copy, PLENTY)
    found = renderer.render(camera((8.0, 7.0, 20.0)).rays())
    assert found is not None
    assert found.coarse == ("x1-y1", "x2-y2")
    assert there.model is not None
    reason = renderer.broken()[there.model.folder]
    assert f"{there.model.folder}: has no voxels in the cells of its block" in reason


def test_threads_that_want_the_same_blocks_load_them_once(folder: Path, whole: SceneData) -> None:
    renderer, view = CityRenderer(folder, PLENTY), camera()
    lights: list[Light] = []
    threads = [threading.Thread(target=lambda: lights.append(exact(renderer, view))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lights) == 4
    assert all(same(light, undivided(whole, view)) for light in lights)
    assert renderer.residency.counts.loads <= 16


def merged(folder: Path, whole: SceneData) -> City:
    """The town with x1-y1 and x2-y1 as one block, whose model goes beyond them as one with a margin does."""
    city = read_city(folder)
    first, second = city.block("x1-y1"), city.block("x2-y1")
    assert first.model is not None
    manifest = open_version(folder / first.model.folder).manifest
    spans = ground_spans(whole, city.ground)
    data = part(whole, spans.touching((0, 0), (3, 2)))
    block = replace(
        first,
        cells=(*first.cells, *second.cells),
        model=write_model(folder, replace(manifest, scene="town-merged", version=2), data),
        coarser=(),
        neighbours=(),
    )
    others = [replace(each, neighbours=()) for each in city.blocks if each not in (first, second)]
    return replace(city, blocks=(*others, block))


def test_a_block_of_several_cells_shows_these_alone(town_copy: Path, whole: SceneData) -> None:
    write_city(town_copy, merged(town_copy, whole))
    renderer = CityRenderer(town_copy, PLENTY)
    for eye in ((-6.0, -4.0, 9.0), (6.0, 6.0, 4.0), (20.0, 20.0, 9.0)):
        assert same(exact(renderer, camera(eye)), undivided(whole, camera(eye)))


def test_a_block_that_is_not_made_yet_is_shown_by_the_coarse_model(town_copy: Path) -> None:
    city = read_city(town_copy)
    bare = [replace(block, model=None, coarser=()) if block.id == "x0-y0" else block for block in city.blocks]
    write_city(town_copy, replace(city, blocks=tuple(bare)))
    found = CityRenderer(town_copy, PLENTY).render(camera().rays())
    assert found is not None
    assert found.coarse == ("x0-y0",)
    write_city(town_copy, replace(city, coarse=replace(city.coarse, model=None)))
    with pytest.raises(ManifestError, match="coarse model is not made yet"):
        CityRenderer(town_copy, PLENTY)


def meets(rays: Rays, box: Box) -> bool:
    """Whether a ray has a part in a box."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = (np.array(box).reshape(2, 1, 3) - rays.origins) / rays.directions
    first, last = np.fmin(*ends).max(1), np.fmax(*ends).min(1)
    return bool(((first <= last) & (last >= 0.0)).any())


def test_the_digest_of_a_view_has_all_blocks_that_rays_meet_and_not_all_others(folder: Path) -> None:
    """A block with another file changes the digest of each picture that may show it."""
    city = read_city(folder)
    boxes = {
        block.id: joined([model.box for model in (block.model, *block.coarser) if model])
        for block in city.blocks
    }

    def replaced(block: Block) -> City:
        assert block.model is not None
        model = replace(block.model, artefact=replace(block.model.artefact, sha256="0" * 64))
        new = replace(block, model=model)
        return replace(city, blocks=tuple(new if each.id == block.id else each for each in city.blocks))

    generator, met, changes = np.random.default_rng(0), 0, 0
    before, after = ViewDigests(city), {block.id: ViewDigests(replaced(block)) for block in city.blocks}
    for _ in range(8):
        eye, target = generator.uniform(-2.0, SIDE + 2.0, (2, 3))
        view = Camera.from_fov_y(look_at(eye, target, UP), 48, 32, float(generator.uniform(10.0, 110.0)))
        for seen in (view, view.cropped(5, 7, 20, 12)):
            changed = {name for name, digests in after.items() if digests.of(seen) != before.of(seen)}
            shown = {name for name, box in boxes.items() if meets(seen.rays(), box)}
            assert shown <= changed
            met, changes = met + len(shown), changes + len(changed)
    assert 0 < met <= changes < 2 * met
    fisheye = replace(view, lens=Lens("OPENCV_FISHEYE", (0.1, 0.0, 0.0, 0.0)))
    assert all(digests.of(fisheye) != before.of(fisheye) for digests in after.values())
    # Where a block is made, the coarse model goes, which may be seen where the block has nothing.
    bare = replace(city.blocks[0], model=None, coarser=())
    unmade = ViewDigests(replace(city, blocks=(bare, *city.blocks[1:])))
    aside = Camera.from_fov_y(look_at((100.0, 100.0, 9.0), (200.0, 200.0, 9.0), UP), 16, 16, 60.0)
    assert unmade.of(aside) != before.of(aside)


def test_coarser_models_are_like_finer_ones_from_afar(whole: SceneData) -> None:
    view = camera((-30.0, -25.0, 20.0), 48)
    expected = undivided(whole, view)
    values = []
    for level in (6, 5, 4):
        data = coarsened(whole, level)
        assert deepest_level(data) == level
        assert len(data.tensors["records"]) < 0.35 * 0.6 ** (6 - level) * len(whole.tensors["records"])
        light = undivided(data, view)
        values.append(psnr(light.rgb, expected.rgb))
        assert abs(light.opacity.mean() - expected.opacity.mean()) < 0.05
        low, high = np.array(voxel_box(data)).reshape(2, 3)
        assert (low <= np.array(voxel_box(whole))[:3]).all()
        assert (high >= np.array(voxel_box(whole))[3:]).all()
    assert values[0] > 30.0
    assert values == sorted(values, reverse=True)
    assert coarsened(whole, 16) is whole


def test_models_of_a_city_are_read_as_they_were_written(folder: Path) -> None:
    city = read_city(folder)
    for block in city.blocks:
        assert block.model is not None
        data = open_model(folder, block.model)
        assert voxel_box(data) == block.model.box
        assert ground_spans(data, city.ground).within(block.cells[0], block.cells[0]).all()
