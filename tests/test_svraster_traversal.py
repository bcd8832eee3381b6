"""Traversal against a slab test of every voxel and ray, and the compiled walk against its definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import svraster as oracle
from svraster_scene import random_model, random_rays

from neurocity.svraster.config import MAX_LEVELS
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.traversal import VoxelIntervals, descend

SHORT = 1e-5
"""Intervals shorter than this may be found or not, where a ray passes an edge; world units."""


def by_definition(model: SVRaster, origins: torch.Tensor, directions: torch.Tensor) -> VoxelIntervals:
    return descend(model.descent(origins, directions), model.rounds)


def assert_packed(intervals: VoxelIntervals, number: int) -> None:
    """Types, order along rays, and that offsets and ray_index tell the same."""
    voxel, near, far, ray_index, offsets = intervals
    assert voxel.dtype == ray_index.dtype == offsets.dtype == torch.int64
    assert near.dtype == far.dtype == torch.float32
    assert torch.equal(torch.repeat_interleave(torch.arange(number), offsets.diff()), ray_index)
    assert offsets[0] == 0
    assert bool((near < far).all())
    same = ray_index[1:] == ray_index[:-1]
    assert bool((far[:-1] <= near[1:])[same].all())


def assert_as_brute_force(model: SVRaster, origins: torch.Tensor, directions: torch.Tensor) -> None:
    found = model.traverse(origins, directions)
    assert_packed(found, origins.shape[1])
    for ray in range(origins.shape[1]):
        span = slice(int(found.offsets[ray]), int(found.offsets[ray + 1]))
        got = [
            oracle.Crossing(int(v), float(a), float(b))
            for v, a, b in zip(found.voxel[span], found.near[span], found.far[span], strict=True)
        ]
        expected = oracle.traverse(
            model, origins[:, ray].double().numpy(), directions[:, ray].double().numpy()
        )
        got, expected = ([c for c in crossings if c.far - c.near > SHORT] for crossings in (got, expected))
        assert [c.voxel for c in got] == [c.voxel for c in expected], f"ray {ray}"
        for one, two in zip(got, expected, strict=True):
            # Float32 keeps seven digits of a distance.
            assert one[1:] == pytest.approx(two[1:], abs=SHORT / 4, rel=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 5), st.booleans())
@settings(max_examples=15)
def test_it_finds_what_a_search_of_all_voxels_finds(seed: int, depth: int, full: bool) -> None:
    model = random_model(seed, depth, drop=0.0 if full else 0.4)
    assert_as_brute_force(model, *random_rays(model, seed, count=3))


@given(st.integers(0, 10_000), st.integers(1, 5), st.booleans())
@settings(max_examples=15)
def test_the_compiled_walk_equals_the_definition_bit_for_bit(seed: int, depth: int, full: bool) -> None:
    model = random_model(seed, depth, drop=0.0 if full else 0.4, near=0.25 * (seed % 3))
    rays = random_rays(model, seed, count=40)
    for compiled, defined in zip(model.traverse(*rays), by_definition(model, *rays), strict=True):
        assert torch.equal(compiled, defined)


@pytest.mark.parametrize("unbounded", [False, True])
def test_intervals_fill_a_ray_s_way_through_a_full_cube(unbounded: bool) -> None:
    """No gap and no overlap: each begins where the one before ends, and together they are the chord."""
    bounds = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    if unbounded:
        model = SVRaster(SVRasterConfig(scene_bounds=bounds, base_resolution=8, unbounded=True))
    else:
        model = random_model(5, 5, drop=0.0, scene_bounds=bounds)
    origins, directions = random_rays(model, 1, count=60)
    found = model.traverse(origins, directions)
    same = found.ray_index[1:] == found.ray_index[:-1]
    assert bool((found.far[:-1] == found.near[1:])[same].all())
    low = model.root_low.double().numpy()
    for ray in range(origins.shape[1]):
        near, far = oracle.cross_box(
            origins[:, ray].double().numpy(), directions[:, ray].double().numpy(), low, low + model.root_side
        )
        first, last = int(found.offsets[ray]), int(found.offsets[ray + 1])
        if max(near, 0.0) < far - SHORT * model.root_side:
            assert float(found.near[first]) == pytest.approx(max(near, 0.0), abs=1e-6 * model.root_side)
            assert float(found.far[last - 1]) == pytest.approx(far, abs=1e-6 * model.root_side)


def dense(**changes: object) -> SVRaster:
    """4 x 4 x 4 voxels of side 1 with the low corner at the origin; voxel number is the path."""
    return SVRaster(SVRasterConfig(scene_bounds=(0.0, 0.0, 0.0, 4.0, 4.0, 4.0), base_resolution=4, **changes))


def cells_met(model: SVRaster, origin: list[float], direction: list[float]) -> list[list[int]]:
    ray = (
        torch.tensor(origin)[:, None],
        torch.nn.functional.normalize(torch.tensor(direction), dim=0)[:, None],
    )
    found = model.traverse(*ray)
    assert torch.equal(found.voxel, by_definition(model, *ray).voxel)
    return model.voxel_cell[found.voxel].tolist()


def test_rays_inside_faces_and_edges_meet_the_voxels_of_larger_coordinates() -> None:
    model = dense()
    in_face = cells_met(model, [-1.0, 2.0, 0.5], [1.0, 0.0, 0.0])
    assert in_face == [[x, 2, 0] for x in range(4)]
    in_edge = cells_met(model, [3.0, 9.0, 1.0], [0.0, -1.0, 0.0])
    assert in_edge == [[3, y, 1] for y in (3, 2, 1, 0)]
    assert cells_met(model, [0.0, 0.0, -1.0], [0.0, 0.0, 1.0]) == [[0, 0, z] for z in range(4)]
    assert cells_met(model, [4.0, 0.5, -1.0], [0.0, 0.0, 1.0]) == [], "the cube's high face is not its own"
    assert cells_met(model, [0.5, 1.0, 0.5], [-0.0, 1.0, -0.0]) == [[0, y, 0] for y in (1, 2, 3)]


def test_rays_through_edges_and_corners_touch_no_other_voxel() -> None:
    model = dense()
    assert cells_met(model, [-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]) == [[i, i, i] for i in range(4)]
    assert cells_met(model, [5.0, -1.0, 0.5], [-1.0, 1.0, 0.0]) == [[3 - i, i, 0] for i in range(4)]


def test_rays_that_leave_or_miss_meet_nothing() -> None:
    model = dense()
    assert cells_met(model, [2.0, 2.0, 9.0], [0.0, 0.0, 1.0]) == []
    assert cells_met(model, [-1.0, 6.0, 2.0], [1.0, 0.1, 0.0]) == []
    assert cells_met(model, [4.0, 2.0, 2.0], [1.0, 0.0, 0.0]) == []


def test_rays_begin_at_the_near_distance() -> None:
    found = dense(near=1.25).traverse(
        torch.tensor([[0.5], [0.5], [0.5]]), torch.tensor([[1.0], [0.0], [0.0]])
    )
    assert found.near.tolist() == [1.25, 1.5, 2.5]
    assert found.far.tolist() == [1.5, 2.5, 3.5]


def test_voxels_of_the_deepest_level_are_met_exactly() -> None:
    """A row of the smallest voxels, each 2^-16 of the cube."""
    model = dense(max_octree_levels=MAX_LEVELS)
    first = 2**14
    cell = torch.stack([torch.arange(first, first + 8), torch.full((8,), 7), torch.full((8,), 9)], dim=1)
    model.set_voxels(torch.full((8,), MAX_LEVELS), cell)
    place = (torch.tensor([7.5, 9.5]) * 4.0 / 2**16).tolist()
    ray = (torch.tensor([[0.0], *[[p] for p in place]]), torch.tensor([[1.0], [0.0], [0.0]]))
    found = model.traverse(*ray)
    assert found.voxel.tolist() == list(range(8))
    assert found.near.tolist() == [(first + i) * 4.0 / 2**16 for i in range(8)]
    assert all(torch.equal(*pair) for pair in zip(found, by_definition(model, *ray), strict=True))


def test_nothing_is_met_where_there_are_no_voxels_or_no_rays() -> None:
    model = dense()
    assert model.traverse(torch.zeros(3, 0), torch.zeros(3, 0)).offsets.tolist() == [0]
    model.set_voxels(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.int64))
    rays = (torch.full((3, 2), 1.0), torch.eye(3)[:, :2])
    for found in (model.traverse(*rays), by_definition(model, *rays)):
        assert found.offsets.tolist() == [0, 0, 0]
        assert len(found.voxel) == 0
