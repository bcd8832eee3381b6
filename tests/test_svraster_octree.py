"""The octree's table and shared points against point by point search, and the layouts of untrained models."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from svraster_scene import random_voxels

from neurocity.errors import ConfigError
from neurocity.svraster import octree
from neurocity.svraster.config import MAX_LEVELS, SVRasterConfig
from neurocity.svraster.layout import SHELL_RESOLUTION, base_voxels, possible_voxels


def find(tree: octree.Octree, point: torch.Tensor) -> int:
    """The voxel that has a point [3] of the unit cube, or -1, by walking down the table."""
    node = 0
    while node >= 0:
        x, y, z = (point >= tree.centers[:, node]).tolist()
        node = int(tree.children[node, 4 * x + 2 * y + z])
        if node == octree.EMPTY:
            return -1
    return octree.FIRST_VOXEL - node


@given(st.integers(0, 1000), st.integers(1, 5))
@settings(max_examples=25)
def test_the_table_finds_every_voxel_and_nothing_else(seed: int, depth: int) -> None:
    level, cell = random_voxels(seed, depth)
    tree = octree.build(level, cell)
    size = 0.5**level
    for voxel in range(min(len(level), 40)):
        corners = torch.stack([cell[voxel] + 1e-3, cell[voxel] + 0.5, cell[voxel] + 0.999]) * size[voxel]
        assert [find(tree, corner) for corner in corners] == [voxel] * 3
    points = torch.rand(60, 3, generator=torch.Generator().manual_seed(seed))
    for point in points:
        has = ((cell * size[:, None] <= point) & (point < (cell + 1) * size[:, None])).all(1)
        assert find(tree, point) == (int(has.nonzero()) if has.any() else -1)


def test_a_voxel_of_the_deepest_level_is_found() -> None:
    cell = torch.tensor([[2**MAX_LEVELS - 1, 0, 12345]])
    tree = octree.build(torch.tensor([MAX_LEVELS]), cell)
    assert tree.children.shape == (MAX_LEVELS, 8)
    assert find(tree, (cell[0] + 0.5) / 2**MAX_LEVELS) == 0


def test_an_octree_without_voxels_is_an_empty_root() -> None:
    tree = octree.build(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.int64))
    assert tree.children.tolist() == [[octree.EMPTY] * 8]
    assert tree.centers.tolist() == [[0.5]] * 3


@pytest.mark.parametrize(
    ("levels", "cells", "message"),
    [
        ([1, 2], [[1, 1, 1], [3, 2, 3]], "overlap"),
        ([2, 2], [[1, 1, 1], [1, 1, 1]], "overlap"),
        ([2], [[0, 4, 0]], "outside the octree"),
        ([2], [[0, -1, 0]], "outside the octree"),
        ([0], [[0, 0, 0]], "got 0 to 0, expected 1 to 16"),
        ([17], [[0, 0, 0]], "got 17 to 17"),
    ],
)
def test_voxels_that_are_none_are_refused(levels: list[int], cells: list[list[int]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        octree.build(torch.tensor(levels), torch.tensor(cells))


@given(st.lists(st.tuples(*[st.integers(0, 2**21 - 1)] * 3), min_size=1, max_size=20))
def test_paths_are_octants_from_the_root_down(cells: list[tuple[int, int, int]]) -> None:
    path = octree.paths(torch.tensor(cells))
    for (x, y, z), value in zip(cells, path.tolist(), strict=True):
        digits = [4 * (x >> i & 1) + 2 * (y >> i & 1) + (z >> i & 1) for i in range(21)]
        assert value == sum(digit << 3 * i for i, digit in enumerate(digits))
    assert octree.cells_of(path).tolist() == [list(cell) for cell in cells]


@given(st.integers(0, 1000), st.integers(1, 4))
@settings(max_examples=20)
def test_corners_at_one_place_are_one_point(seed: int, depth: int) -> None:
    level, cell = random_voxels(seed, depth)
    voxel_points, points = octree.grid_points(level, cell)
    assert len({tuple(point) for point in points.tolist()}) == len(points)
    places = {
        (voxel, corner): tuple(
            (int(cell[voxel, axis]) + (corner >> bit & 1)) * 2 ** (MAX_LEVELS - int(level[voxel]))
            for axis, bit in enumerate((2, 1, 0))
        )
        for voxel in range(len(level))
        for corner in range(8)
    }
    assert set(places.values()) == {tuple(point) for point in points.tolist()}
    for (voxel, corner), place in places.items():
        assert tuple(points[voxel_points[voxel, corner]].tolist()) == place


def test_a_dense_grid_has_its_lattice_of_points() -> None:
    _, points = octree.grid_points(torch.full((512,), 3), octree.dense_cells(8))
    assert len(points) == 9**3


CUBE = SVRasterConfig(scene_bounds=(0.0, 0.0, 0.0, 2.0, 2.0, 2.0), base_resolution=4)


def test_the_base_grid_fills_the_cube() -> None:
    level, cell = base_voxels(CUBE)
    assert level.unique().tolist() == [2]
    assert len(cell.unique(dim=0)) == len(cell) == 64


def test_the_users_guide_s_configuration_starts_as_64_cubed() -> None:
    config = SVRasterConfig(
        max_octree_levels=12, base_resolution=64, scene_bounds=(-2.0, -2.0, -2.0, 2.0, 2.0, 2.0)
    )
    assert len(base_voxels(config)[0]) == 64**3


def test_a_flat_box_has_no_voxels_above_and_below_it() -> None:
    config = replace(CUBE, scene_bounds=(-2.0, -2.0, 0.0, 2.0, 2.0, 1.0))
    _, cell = base_voxels(config)
    assert cell[:, 2].unique().tolist() == [1, 2], "the cube reaches from -1.5 to 2.5, in cells of 1"
    assert len(cell) == 4 * 4 * 2


@pytest.mark.parametrize("unbounded", [False, True])
def test_possible_cells_become_voxels(unbounded: bool) -> None:
    config = replace(CUBE, unbounded=unbounded, outside_levels=2)
    possible = torch.zeros(8, 8, 8, dtype=torch.bool)  # z, y, x
    possible[5, 2, 7] = possible[0, 0, 1] = True
    level, cell = possible_voxels(config, possible.flatten())
    inner = 5 if unbounded else 3
    offset = (2**inner - 8) // 2
    inside = cell[((cell >= offset) & (cell < offset + 8)).all(1) & (level == inner)] - offset
    assert sorted(inside.tolist()) == [[1, 0, 0], [7, 2, 5]]
    assert len(octree.build(level, cell).children), "nothing overlaps"


def test_shells_surround_the_box_without_a_gap() -> None:
    config = replace(CUBE, unbounded=True, outside_levels=3, base_resolution=32)
    level, cell = base_voxels(config)
    assert float((0.125 ** level.double()).sum()) == 1.0
    octree.build(level, cell)  # raises where voxels overlap
    inner = cell[level == 3 + 5] / 2.0**8
    low, high = inner.min(0).values, inner.max(0).values + 0.5**8
    assert low.tolist() == [0.5 - 0.5**4] * 3
    assert high.tolist() == [0.5 + 0.5**4] * 3
    shell = SHELL_RESOLUTION**3 - (SHELL_RESOLUTION // 2) ** 3
    assert len(level) == 32**3 + 3 * shell


@pytest.mark.parametrize("count", [27, 1, 100, 2**39])
def test_possible_cells_of_other_grids_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"got {count}, expected the cube of a power of two"):
        possible_voxels(CUBE, torch.zeros(1, dtype=torch.bool).expand(count))
