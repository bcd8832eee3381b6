"""What places near a camera count for in training."""

import pytest
import torch
from svraster_scene import random_model

from neurocity.svraster.training.differentiable import TrainingPass
from neurocity.svraster.training.near_field import gradient_share, near_distance


def test_the_near_distance_is_that_of_a_neighbour() -> None:
    line = torch.tensor(
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [7.0, 0.0, 0.0], [15.0, 0.0, 0.0]]
    )
    # From each: to the nearest 1, 1, 2, 4, 8; to the second 3, 2, 3, 6, 12.
    assert near_distance(line, 1) == 2.0
    assert near_distance(line, 2) == 3.0
    assert near_distance(line, 100) == near_distance(line, 4) == 14.0, "no more neighbours than there are"
    assert near_distance(line, 0) == near_distance(line[:1], 3) == 0.0


def test_gradients_grow_with_the_square_of_the_distance() -> None:
    distances = torch.tensor([0.0, 1.0, 2.0, 4.0, 50.0])
    torch.testing.assert_close(gradient_share(distances, 4.0), torch.tensor([0.0, 0.0625, 0.25, 1.0, 1.0]))
    assert gradient_share(distances, 0.0).tolist() == [1.0] * 5


@pytest.mark.parametrize("way", ["render", "define"])
def test_a_near_voxel_counts_less_and_looks_no_larger(way: str) -> None:
    """One voxel, half a unit ahead of the eye in the mean."""
    model = random_model(scene_bounds=(0.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    model.set_voxels(torch.tensor([1]), torch.tensor([[0, 0, 0]]))
    origins, directions = torch.tensor([[-0.25], [0.25], [0.25]]), torch.tensor([[1.0], [0.0], [0.0]])
    found = []
    for near in (0.0, 2.0):
        rays = TrainingPass(model, near=near)
        model.zero_grad()
        render = getattr(rays, way)(origins, directions, torch.zeros(1, 3), torch.full((1,), 0.01))
        (render.rgb.sum() + render.opacity.sum()).backward()
        gradients = [model.density.grad.clone(), model.sh0.grad.clone(), rays.statistics.priority]
        found.append((render.rgb.detach(), gradients, float(rays.statistics.footprint)))
    (light, full, wide), (same_light, scaled, clamped) = found
    assert torch.equal(light, same_light), "the picture is the same"
    for before, after in zip(full, scaled, strict=True):
        assert float(before.abs().max()) > 0.0
        torch.testing.assert_close(after, before * (0.5 / 2.0) ** 2)
    assert (wide, clamped) == (pytest.approx(0.005), pytest.approx(0.02))
