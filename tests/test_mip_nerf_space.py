"""The span of a ray: all matter that the hull allows lies on it, and little else; places and distances."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mip_nerf_field import BOUNDS, cone_rays

from neurocity.mip_nerf.config import MipNeRFConfig
from neurocity.mip_nerf.scene_space import SceneSpace
from neurocity.rendering.marching import FAR

GRID = 16


def space_of(**changes: Any) -> SceneSpace:
    return SceneSpace(MipNeRFConfig(scene_bounds=BOUNDS, hull_resolution=GRID, **changes))


def space_with(share: float, seed: int = 0, **changes: Any) -> tuple[SceneSpace, torch.Tensor]:
    """A bounded space and its possible cells [x, y, z]."""
    space = space_of(**changes)
    chance = torch.Generator().manual_seed(seed)
    possible = torch.rand(GRID**3, generator=chance) < share
    space.restrict(possible)
    return space, possible.view(GRID, GRID, GRID).permute(2, 1, 0)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0005, 0.003, 0.05]))
def test_no_possible_matter_is_left_out(seed: int, share: float) -> None:
    """Points all along the rays, far denser than the lattice, each looked up in the grid by itself."""
    space, possible = space_with(share, seed)
    origins, directions, _ = cone_rays(seed, count=40)
    begin, end = space.span(space.to_unit(origins), directions)
    low, high = torch.tensor(BOUNDS[:3]), torch.tensor(BOUNDS[3:])
    side = float((high - low).max())
    t = torch.linspace(0.0, 3.0, 4000) * side / 2
    points = origins[:, None] + directions[:, None] * t[:, None]
    inside = ((points > low) & (points < high)).all(-1)
    cells = ((points - low) / side * GRID).long().clamp(0, GRID - 1)
    matter = inside & possible[cells[..., 0], cells[..., 1], cells[..., 2]]
    unit = t / (side / 2)
    covered = (unit >= begin[:, None] - 1e-5) & (unit <= end[:, None] + 1e-5)
    assert bool((covered | ~matter).all())


def test_a_span_ends_soon_after_the_matter() -> None:
    """Around a single possible cell: a border cell, and a lattice step to either side."""
    space, _ = space_with(0.0)
    possible = torch.zeros(GRID**3, dtype=torch.bool)
    possible[7 + GRID * (8 + GRID * 6)] = True
    space.restrict(possible)
    center = (torch.tensor([7.5, 8.5, 6.5]) / GRID) * 2.0 + space.to_unit(space.low)
    origins, _, _ = cone_rays(count=30)
    directions = torch.nn.functional.normalize(center - space.to_unit(origins), dim=1)
    begin, end = space.span(space.to_unit(origins), directions)
    distance = (center - space.to_unit(origins)).norm(dim=1)
    slack = (1.5 * 3**0.5 + 2.0) * 2.0 / GRID
    assert bool((begin < distance).all())
    assert bool((begin > distance - slack).all())
    assert bool((end > distance).all())
    assert bool((end < distance + slack).all())


def test_rays_beside_the_hull_and_beside_the_box_have_no_span() -> None:
    space, _ = space_with(0.0)
    origins, directions, _ = cone_rays(count=40)
    begin, end = space.span(space.to_unit(origins), directions)
    assert not bool((end > begin).any())
    full, _ = space_with(1.1)
    begin, end = full.span(full.to_unit(torch.tensor([[0.0, 0.0, 3.0]] * 2)), torch.eye(3)[:2])
    assert not bool((end > begin).any())


def test_without_a_hull_the_span_is_the_box() -> None:
    space, _ = space_with(1.1)
    origin = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    direction = torch.tensor([[-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    begin, end = space.span(space.to_unit(origin), direction)
    half = 2.1 / 2
    torch.testing.assert_close(begin * half, torch.tensor([2.0, 0.0, 0.0]))
    torch.testing.assert_close(end * half, torch.tensor([4.0, 1.0, 1.1]))


def test_nothing_is_sampled_before_the_near_distance() -> None:
    space, _ = space_with(1.1, near=0.4)
    begin, _ = space.span(space.to_unit(torch.zeros(1, 3)), torch.eye(3)[:1])
    assert begin.item() * 2.1 / 2 == pytest.approx(0.4)
    open_space = space_of(unbounded=True, near=0.4)
    begin, end = open_space.span(torch.zeros(1, 3), torch.eye(3)[:1])
    assert begin.item() * 2.1 / 2 == pytest.approx(0.4)
    assert end.item() == FAR


def test_places_are_even_in_distance_near_and_in_disparity_far() -> None:
    space = space_of(unbounded=True)
    t = torch.tensor([0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0])
    places = space.place_of(t)
    torch.testing.assert_close(places, torch.tensor([0.0, 0.125, 0.25, 0.5, 0.75, 0.875, 0.96875]) - 1.0)
    torch.testing.assert_close(space.distance_of(places), t)
    bounded, _ = space_with(1.1)
    assert torch.equal(bounded.place_of(t), t)
    assert torch.equal(bounded.distance_of(t), t)
