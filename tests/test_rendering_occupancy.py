"""The occupancy grid: its distance field against brute force, and the rules of its update."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocity.rendering import occupancy
from neurocity.rendering.cpu_kernels import kernels_apply
from neurocity.rendering.occupancy import NEVER, OCCUPIED, OccupancyGrid, dilation_distance, jump_field


def brute_force_distance(occupied: torch.Tensor, grid: int, longest: int) -> torch.Tensor:
    """Maximum norm distance of every cell to every occupied one."""
    cells = torch.arange(grid**3)
    places = torch.stack([cells % grid, cells // grid % grid, cells // grid**2], dim=1)
    targets = places[occupied]
    if not len(targets):
        return torch.full((grid**3,), float(longest))
    distance = (places[:, None] - targets[None]).abs().amax(-1).amin(-1)
    return distance.clamp_max(longest).float()


@settings(max_examples=30)
@given(
    grid=st.sampled_from([8, 9, 12]),
    share=st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.9, 1.0]),
    seed=st.integers(0, 9999),
    longest=st.sampled_from([3, 32]),
)
def test_distances_equal_brute_force(grid: int, share: float, seed: int, longest: int) -> None:
    occupied = torch.rand(grid**3, generator=torch.Generator().manual_seed(seed)) < share
    expected = brute_force_distance(occupied, grid, longest)
    assert kernels_apply(occupied)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occupancy, "LONGEST_JUMP", longest)
        assert torch.equal(dilation_distance(occupied, grid), expected)
        assert torch.equal(jump_field(occupied, grid), expected - 1.0)


def test_occupied_cells_are_marked_as_such() -> None:
    occupied = torch.zeros(8**3, dtype=torch.bool)
    occupied[5 + 8 * (2 + 8 * 7)] = True
    jump = jump_field(occupied, 8)
    assert torch.equal(jump == OCCUPIED, occupied)
    assert jump[5 + 8 * (3 + 8 * 7)] == 0.0, "a neighbour may be left for the occupied cell at once"
    assert jump[0 + 8 * (2 + 8 * 7)] == 4.0, "four empty cells lie between"


def test_a_new_grid_is_occupied_everywhere() -> None:
    grid = OccupancyGrid(8)
    assert bool((grid.jump == OCCUPIED).all())
    assert bool(grid.density.isinf().all())


def test_cell_corners_follow_the_order_of_cells() -> None:
    grid = OccupancyGrid(8)
    torch.testing.assert_close(
        grid.cell_corners(torch.tensor([0, 1, 8, 64, 8**3 - 1])),
        torch.tensor([[0.0, 1, 0, 0, 7], [0, 0, 1, 0, 7], [0, 0, 0, 1, 7]]) / 8,
    )


def update(
    grid: OccupancyGrid,
    values: torch.Tensor,
    cells: torch.Tensor,
    *,
    decay: float = 0.5,
    threshold: float = 0.01,
) -> None:
    """An update with the field that has `values` [G^3], constant in each cell."""

    def density_at(points: torch.Tensor) -> torch.Tensor:
        x, y, z = (points * grid.resolution).floor().long()
        return values[x + grid.resolution * (y + grid.resolution * z)]

    generator = torch.Generator().manual_seed(0)
    grid.update(density_at, cells=cells, decay=decay, threshold=threshold, generator=generator)


def test_an_update_keeps_the_maximum_of_new_and_decayed_density() -> None:
    """Cells that are not drawn decay as well: what training cleared is soon known to be empty."""
    grid = OccupancyGrid(8)
    first = torch.rand(8**3, generator=torch.Generator().manual_seed(1))
    second = torch.rand(8**3, generator=torch.Generator().manual_seed(2))
    every = torch.arange(8**3)
    update(grid, first, every, decay=0.7)
    torch.testing.assert_close(grid.density, first)
    update(grid, second, every[:100], decay=0.7)
    expected = first * 0.7
    expected[:100] = torch.maximum(first * 0.7, second)[:100]
    torch.testing.assert_close(grid.density, expected)


def test_a_cell_drawn_twice_keeps_the_larger_of_its_densities() -> None:
    """Whatever the order in which threads write: else equal seeds would not give equal weights."""
    grid = OccupancyGrid(8)
    drawn = torch.randint(8**3, (100_000,), generator=torch.Generator().manual_seed(3))
    seen: list[torch.Tensor] = []

    def density_at(points: torch.Tensor) -> torch.Tensor:
        seen.append(points.sum(0))
        return seen[0]

    generator = torch.Generator().manual_seed(0)
    grid.update(density_at, cells=drawn, decay=0.9, threshold=0.01, generator=generator)
    expected = torch.zeros(8**3).scatter_reduce(0, drawn, seen[0], "amax")
    assert torch.equal(grid.density, expected)


def test_cells_are_occupied_above_the_threshold_or_the_mean_if_that_is_less() -> None:
    values = torch.zeros(8**3)
    values[:10], values[10:20] = 1.0, 0.005
    every = torch.arange(8**3)
    high = OccupancyGrid(8)
    update(high, values, every, threshold=0.01)
    assert torch.equal((high.jump == OCCUPIED).nonzero()[:, 0], torch.arange(10))
    thin = OccupancyGrid(8)
    update(thin, values * 0.01, every, threshold=0.01)
    # The mean is (10 * 0.01 + 10 * 5e-5) / 512 = 1.96e-4: only the densest cells exceed it.
    assert torch.equal((thin.jump == OCCUPIED).nonzero()[:, 0], torch.arange(10))


def test_cells_that_were_not_measured_stay_occupied_and_out_of_the_mean() -> None:
    grid = OccupancyGrid(8)
    values = torch.full((8**3,), 1e-6)
    values[0] = 2e-6
    update(grid, values, torch.arange(256))
    assert grid.jump[0] == OCCUPIED
    assert not bool((grid.jump[1:256] == OCCUPIED).any())
    assert bool((grid.jump[256:] == OCCUPIED).all())
    assert bool(grid.density[256:].isinf().all())


def test_excluded_cells_stay_excluded() -> None:
    grid = OccupancyGrid(8)
    possible = torch.zeros(8**3, dtype=torch.bool)
    possible[100:300] = True
    grid.restrict(possible)
    assert torch.equal(grid.jump == OCCUPIED, possible)
    assert bool((grid.density[~possible] == NEVER).all())
    update(grid, torch.ones(8**3), torch.arange(8**3))
    assert bool((grid.density[~possible] == NEVER).all())
    assert torch.equal(grid.jump == OCCUPIED, possible)
    asked: list[int] = []

    def density_at(points: torch.Tensor) -> torch.Tensor:
        asked.append(points.shape[1])
        return torch.zeros(points.shape[1])

    generator = torch.Generator().manual_seed(0)
    grid.update(density_at, cells=torch.arange(8**3), decay=0.5, threshold=0.01, generator=generator)
    assert asked == [200], "the field is not evaluated where nothing can be"


def test_restricting_again_narrows_what_is_left() -> None:
    grid = OccupancyGrid(8)
    one, two = torch.zeros(2, 8**3, dtype=torch.bool)
    one[:200], two[100:] = True, True
    grid.restrict(one)
    grid.restrict(two)
    assert torch.equal((grid.jump == OCCUPIED).nonzero()[:, 0], torch.arange(100, 200))


def test_points_are_drawn_inside_their_cells() -> None:
    grid = OccupancyGrid(16)
    cells = torch.arange(16**3)

    def density_at(points: torch.Tensor) -> torch.Tensor:
        inside = points * 16 - grid.cell_corners(cells) * 16
        assert bool(((inside >= 0.0) & (inside <= 1.0)).all())
        assert float(inside.std()) > 0.25, "spread over the cell"
        return torch.ones(points.shape[1])

    grid.update(density_at, cells=cells, decay=0.5, threshold=0.1, generator=torch.Generator().manual_seed(0))
