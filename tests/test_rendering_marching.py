"""The march against a walk over every lattice point, and its compiled kernel against its definition."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import marching as oracle

from neurocity.rendering.cpu_kernels import kernels_apply
from neurocity.rendering.field_config import MarchedFieldConfig
from neurocity.rendering.marching import FAR, PackedSamples, RayMarcher
from neurocity.rendering.occupancy import jump_field

BOX = (-1.0, -2.0, 0.5, 1.5, 1.0, 1.75)
CENTER = (torch.tensor(BOX[:3]) + torch.tensor(BOX[3:])) / 2


@dataclass(frozen=True)
class Setting:
    """A marcher, its occupancy, and the same for the oracle."""

    marcher: RayMarcher
    occupied: torch.Tensor
    jump: torch.Tensor
    lattice: oracle.Lattice


def setting(
    *,
    unbounded: bool = False,
    share: float = 0.05,
    seed: int = 0,
    steps: int = 60,
    grid: int = 8,
    growth: float = 0.05,
    near: float = 0.0,
) -> Setting:
    """Random cells are occupied, `share` of them."""
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.rand(grid**3, generator=generator) < share
    options = {"bounds": BOX, "unbounded": unbounded, "steps": steps, "growth": growth, "near": near}
    marcher = RayMarcher(
        MarchedFieldConfig(
            scene_bounds=BOX,
            unbounded=unbounded,
            march_steps=steps,
            step_growth=growth,
            near=near,
            occupancy_resolution=grid,
        )
    )
    return Setting(marcher, occupied, jump_field(occupied, grid), oracle.Lattice(**options, far=FAR))


def rays(seed: int = 0, count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Origins and unit directions [3, R]: through the box, from inside, along axes, grazing, and past it."""
    generator = torch.Generator().manual_seed(seed)
    half = (torch.tensor(BOX[3:]) - torch.tensor(BOX[:3])) / 2
    outside = CENTER + 5.0 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    inside = CENTER + half * (2.0 * torch.rand(count, 3, generator=generator) - 1.0)
    random = torch.randn(count, 3, generator=generator)
    axis = (
        torch.eye(3)[torch.arange(count) % 3] * torch.where(torch.arange(count) % 2 == 0, 1.0, -1.0)[:, None]
    )
    flat = torch.where(torch.arange(3) == torch.arange(count)[:, None] % 3, 0.0, random)
    grazing = CENTER + half * torch.tensor([1.0 - 1e-4, -3.0, 0.2])
    origins = torch.cat([outside, inside, inside, inside - 4.0 * axis, inside, grazing[None], outside])
    directions = torch.cat(
        [inside - outside, random, axis, axis, flat, torch.tensor([[0.0, 1.0, 0.0]]), outside - CENTER]
    )
    return origins.t().contiguous(), torch.nn.functional.normalize(directions, dim=1).t().contiguous()


def by_ray(samples: PackedSamples, number: int) -> list[list[int]]:
    """Indices of samples, ray by ray, having checked that packing, offsets and ray_index tell the same."""
    offsets = samples.offsets.tolist()
    assert samples.offsets.dtype == samples.ray_index.dtype == torch.int64
    assert len(offsets) == number + 1
    assert offsets[0] == 0
    assert offsets[-1] == len(samples.t) == len(samples.delta) == samples.points.shape[1]
    groups = [list(range(begin, end)) for begin, end in pairwise(offsets)]
    assert samples.ray_index.tolist() == [ray for ray, group in enumerate(groups) for _ in group]
    return groups


def check_against_walk(scene: Setting, seed: int, march: Callable[..., PackedSamples] | None = None) -> int:
    """March rays, compare every sample with the oracle's, return how many there are.

    march: in place of the scene's marcher, with its arguments.
    """
    origins, directions = rays(seed)
    number = origins.shape[1]
    jitter = torch.rand(number, generator=torch.Generator().manual_seed(seed))
    samples = (march or scene.marcher)(origins, directions, scene.jump, jitter)
    grid = scene.marcher.grid
    occupied = scene.occupied.view(grid, grid, grid).permute(2, 1, 0).numpy()
    for ray, group in enumerate(by_ray(samples, number)):
        origin, direction = origins[:, ray].double().numpy(), directions[:, ray].double().numpy()
        walk = oracle.walk(origin, direction, occupied, scene.lattice, jitter=float(jitter[ray]))
        lattice = sorted(walk.may)
        depths = np.array([walk.may[index].t for index in lattice])
        found = []
        for n in group:
            assert lattice, f"ray {ray} has a sample at {float(samples.t[n])}, the oracle has none"
            nearest = lattice[int(np.abs(depths - float(samples.t[n])).argmin())]
            sample = walk.may[nearest]
            scale = max(sample.t, 10.0)
            assert abs(sample.t - float(samples.t[n])) < 1e-5 * scale, f"ray {ray}: a sample off the lattice"
            assert abs(sample.width - float(samples.delta[n])) < 1e-5 * scale
            np.testing.assert_allclose(samples.points[:, n].numpy(), sample.position, atol=2e-5)
            found.append(nearest)
        assert found == sorted(set(found)), f"ray {ray} is not front to back"
        missing = walk.must - set(found)
        assert not missing, f"ray {ray} skips occupied lattice points {sorted(missing)}"
    return len(samples.t)


@settings(max_examples=12)
@given(
    share=st.sampled_from([0.0, 0.002, 0.01, 0.1, 0.6]),
    seed=st.integers(0, 10_000),
    steps=st.integers(20, 90),
    near=st.sampled_from([0.0, 0.3]),
)
def test_a_bounded_march_finds_what_a_walk_finds(share: float, seed: int, steps: int, near: float) -> None:
    check_against_walk(setting(share=share, seed=seed, steps=steps, near=near), seed)


@settings(max_examples=8)
@given(
    share=st.sampled_from([0.0, 0.002, 0.01, 0.1, 0.6]),
    seed=st.integers(0, 10_000),
    growth=st.floats(0.03, 0.2),
    near=st.sampled_from([0.0, 0.3]),
)
def test_an_unbounded_march_finds_what_a_walk_finds(
    share: float, seed: int, growth: float, near: float
) -> None:
    scene = setting(unbounded=True, share=share, seed=seed, steps=30, growth=growth, near=near)
    check_against_walk(scene, seed)


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_examples_above_have_samples_at_all(unbounded: bool) -> None:
    assert check_against_walk(setting(unbounded=unbounded, share=0.1, steps=40, growth=0.1), 3) > 80


@settings(max_examples=40)
@given(
    unbounded=st.booleans(),
    share=st.sampled_from([0.0, 0.0005, 0.003, 0.02, 0.2, 1.0]),
    seed=st.integers(0, 10_000),
    steps=st.integers(20, 300),
    grid=st.sampled_from([8, 16, 24]),
)
def test_the_kernel_returns_the_samples_of_the_definition(
    unbounded: bool, share: float, seed: int, steps: int, grid: int
) -> None:
    scene = setting(unbounded=unbounded, share=share, seed=seed, steps=steps, grid=grid)
    origins, directions = rays(seed, count=20)
    jitter = torch.rand(origins.shape[1], generator=torch.Generator().manual_seed(seed))
    assert kernels_apply(origins)
    fast = scene.marcher(origins, directions, scene.jump, jitter)
    slow = scene.marcher.march(origins, directions, scene.jump, jitter)
    assert torch.equal(fast.offsets, slow.offsets)
    assert torch.equal(fast.ray_index, slow.ray_index)
    for name in ("points", "t", "delta"):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name), atol=0, rtol=1e-6, msg=name)


def test_the_kernel_works_the_same_on_several_threads() -> None:
    scene = setting(share=0.1, steps=100)
    origins, directions = rays(seed=4, count=100)
    jitter = torch.full((origins.shape[1],), 0.5)
    threads = torch.get_num_threads()
    try:
        results = []
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(scene.marcher(origins, directions, scene.jump, jitter))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_rays_that_find_nothing_and_no_rays_at_all(unbounded: bool, share: float) -> None:
    scene = setting(unbounded=unbounded, share=share)
    away = torch.tensor([[9.0, 9.0], [9.0, -9.0], [9.0, 9.0]])
    directions = torch.nn.functional.normalize(away, dim=0)
    for march in (scene.marcher.forward, scene.marcher.march):
        samples = march(away, directions, scene.jump, torch.full((2,), 0.5))
        assert (len(samples.t) > 0) == (unbounded and share == 1.0)
        assert by_ray(march(torch.zeros(3, 0), torch.zeros(3, 0), scene.jump, torch.zeros(0)), 0) == []


@pytest.mark.parametrize("unbounded", [False, True])
def test_jitter_moves_samples_within_their_intervals(unbounded: bool) -> None:
    scene = setting(unbounded=unbounded, share=1.0, growth=0.1)
    origins, directions = rays(seed=2)
    number = origins.shape[1]
    begin, middle, late = (
        scene.marcher(origins, directions, scene.jump, torch.full((number,), jitter))
        for jitter in (0.0, 0.5, 0.75)
    )
    assert torch.equal(begin.offsets, middle.offsets), "everything is occupied: jitter adds and takes nothing"
    width = (late.t - begin.t) / 0.75
    torch.testing.assert_close(middle.t, begin.t + 0.5 * width, rtol=1e-5, atol=1e-5)
    for group in by_ray(begin, number):
        ends = (begin.t + width)[group]
        torch.testing.assert_close(ends[:-1], begin.t[group][1:], rtol=1e-5, atol=1e-5)
    near = (
        ((begin.points - 0.5).abs().amax(0) < 0.25) if unbounded else torch.ones_like(width, dtype=torch.bool)
    )
    torch.testing.assert_close(begin.delta[near], width[near], rtol=1e-4, atol=1e-5)


def test_bounded_samples_tile_the_ray_inside_the_box() -> None:
    scene = setting(share=1.0, steps=100)
    origin = torch.tensor([[-5.0], [0.1], [1.0]])
    samples = scene.marcher(origin, torch.tensor([[1.0], [0.0], [0.0]]), scene.jump, torch.tensor([0.5]))
    step = 3.0 * 3**0.5 / 100
    assert len(samples.t) == int(2.5 / step)
    torch.testing.assert_close(samples.delta, torch.full_like(samples.t, step))
    torch.testing.assert_close(samples.t[0], torch.tensor(4.0 + step / 2))
    torch.testing.assert_close(samples.points[0, 0], torch.tensor(step / 2 / 3.0), rtol=1e-4, atol=0)
    # The cube's side is the box's longest edge, 3, and its low corner the box's.
    torch.testing.assert_close(samples.points[1], torch.full_like(samples.t, (0.1 + 2.0) / 3.0))
    assert float(samples.t.max()) < 6.5


@pytest.mark.parametrize("distance", [0.2, 0.999, 1.0, 1.001, 2.0, 30.0, 1e4])
def test_contraction_is_that_of_the_paper_in_maximum_norm(distance: float) -> None:
    marcher = setting(unbounded=True).marcher
    generator = torch.Generator().manual_seed(int(distance * 10))
    offsets = torch.rand(3, 50, generator=generator) * 2.0 - 1.0
    offsets = distance * offsets / offsets.abs().amax(0)
    world = CENTER[:, None] + offsets * 1.5
    unit = marcher.to_unit(world)
    expected = np.stack([oracle.contract(column) for column in offsets.t().double().numpy()], 1) / 4 + 0.5
    np.testing.assert_allclose(unit.numpy(), expected, atol=1e-6)
    assert float(unit.min()) >= 0.0
    assert float(unit.max()) <= 1.0


def test_the_box_fills_the_inner_half_of_the_contracted_cube() -> None:
    marcher = setting(unbounded=True).marcher
    # Across its longest side, y; the others are shorter in proportion.
    ends = torch.tensor([[0.25, 0.25], [BOX[1], BOX[4]], [1.125, 1.125]])
    torch.testing.assert_close(marcher.to_unit(ends)[1], torch.tensor([0.25, 0.75]))


@settings(max_examples=30)
@given(unbounded=st.booleans(), seed=st.integers(0, 10_000), share=st.sampled_from([0.0005, 0.003, 0.02]))
def test_leaps_meet_no_occupied_cell(unbounded: bool, seed: int, share: float) -> None:
    """From random points near and far, nothing that is occupied lies within the leap, both ways."""
    scene = setting(unbounded=unbounded, share=share, seed=seed, grid=24)
    if not scene.occupied.any():
        return
    generator = torch.Generator().manual_seed(seed)
    count = 300
    # Distances from a hundredth of the scene to a thousand times its size; the bounded field is its box.
    reach = 10.0 ** (torch.rand(count, generator=generator) * 5.0 - 2.0) if unbounded else torch.tensor(1.0)
    offsets = torch.rand(3, count, generator=generator) * 2.0 - 1.0
    half = (torch.tensor(BOX[3:]) - torch.tensor(BOX[:3]))[:, None] / 2
    points = CENTER[:, None] + half * offsets * reach
    directions = torch.nn.functional.normalize(torch.randn(3, count, generator=generator), dim=0)
    speed = directions.abs().amax(0)
    free = scene.jump[scene.marcher.cell(points)]
    leap = scene.marcher.leap(points, free, speed)
    assert bool((leap[free <= 0.0] == 0.0).all())
    fractions = torch.linspace(-1.0, 1.0, 81)[:, None, None] * (1.0 - 1e-4)
    visited = (points + directions * leap * fractions).transpose(0, 1)
    crossed = (scene.jump[scene.marcher.cell(visited)] < 0.0).any(0) & (free >= 0.0)
    assert not bool(crossed.any()), f"{int(crossed.sum())} of {count} leaps pass an occupied cell"
    assert bool((leap > 0.0).any()), "no point has a leap, so nothing was tested"


@pytest.mark.parametrize("grid", [16, 64])
def test_a_leap_crosses_no_more_cells_than_are_free(grid: int) -> None:
    """Worst where contraction bends most: on diagonals, half a side outside of the cube, across them."""
    marcher = setting(unbounded=True, grid=grid).marcher
    generator = torch.Generator().manual_seed(grid)
    count = 20_000
    norm = 1.0 + torch.rand(count, generator=generator) * torch.tensor([0.2, 1.0, 10.0, 100.0]).repeat(
        count // 4
    )
    relative = norm * torch.where(torch.rand(3, count, generator=generator) < 0.5, -1.0, 1.0)
    relative *= 1.0 - torch.rand(3, count, generator=generator) ** 8 * 0.3
    points = CENTER[:, None] + 1.5 * relative
    directions = torch.sign(torch.randn(3, count, generator=generator))
    free = torch.randint(1, grid // 4, (count,), generator=generator).float()
    leap = marcher.leap(points, free, torch.ones(count))
    crossed = (marcher.to_unit(points + directions * leap) - marcher.to_unit(points)).abs().amax(0) * grid
    assert float((crossed / free).max()) < 1.0 + 1e-4
    assert float((crossed / free).max()) > 0.9, "the worst case is among them"


def test_a_leap_is_worth_its_trouble() -> None:
    """Far from the only occupied cell a leap crosses several cells, in the box and in its surroundings."""
    for unbounded in (False, True):
        marcher = setting(unbounded=unbounded, grid=16).marcher
        occupied = torch.zeros(16**3, dtype=torch.bool)
        occupied[0] = True
        point = CENTER[:, None] + torch.tensor([[1.0], [1.0], [0.5]])
        jump = jump_field(occupied, 16)[marcher.cell(point)]
        cell = 3.0 / 16 * (2.0 if unbounded else 1.0)
        assert float(marcher.leap(point, jump, torch.ones(1))) > 4 * cell


@pytest.mark.parametrize("near", [0.0, 0.7])
def test_depths_tell_where_on_the_lattice_they_are(near: float) -> None:
    marcher = setting(unbounded=True, near=near).marcher
    start, index = torch.full((1, 1), near), torch.arange(marcher.points).float()[None]
    depth, width = marcher.depth_at(start, index, torch.zeros(1, 1))
    torch.testing.assert_close(marcher.lattice_index(depth), index, atol=1e-3, rtol=1e-5)
    assert float(width[0, -1] / width[0, 0]) > 10.0, "intervals grow"


def test_cells_of_points_are_the_same_by_either_way() -> None:
    marcher = setting(unbounded=True).marcher
    points = 5.0 * torch.randn(3, 200, generator=torch.Generator().manual_seed(1))
    assert torch.equal(marcher.cell(points), marcher.unit_cell(marcher.to_unit(points)))
