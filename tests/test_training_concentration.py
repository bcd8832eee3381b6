"""What marched renders are charged for fog and for light that leaves the scene."""

import pytest
import torch
from fixtures_training import TINY_MODEL
from instant_ngp_field import rays_around

from neurocity.instant_ngp.lightning_trainer import InstantNGPLightningConfig, InstantNGPLightningModule
from neurocity.rendering.marched_field import MarchedRender
from neurocity.rendering.marching import PackedSamples


def module(*, unbounded: bool = True, **weights: float) -> InstantNGPLightningModule:
    model = {**TINY_MODEL, "unbounded": unbounded, "sky": unbounded}
    return InstantNGPLightningModule(model, InstantNGPLightningConfig(**weights))


def render_of(trained: InstantNGPLightningModule, weights: list[float], places: list[float]) -> MarchedRender:
    """One ray with samples of `weights` in the lattice intervals that begin at these shares of it."""
    marcher = trained.model.marcher
    index = torch.tensor([[round(place * marcher.points) for place in places]]).float()
    depth, width = marcher.depth_at(torch.zeros(1, 1), index, torch.zeros(1, 1))
    offsets = torch.tensor([0, len(weights)])
    samples = PackedSamples(torch.zeros(3, len(weights)), depth[0], width[0], offsets[:-1], offsets)
    weight = torch.tensor(weights)
    return MarchedRender(torch.zeros(1, 3), torch.ones(1), weight.sum()[None], samples, weight)


def test_light_that_passes_is_charged_by_the_square_of_its_share() -> None:
    trained = module(passing_weight=0.5)
    assert float(trained.concentration(render_of(trained, [0.1, 0.3], [0.2, 0.6]))) == pytest.approx(0.18)


def test_weights_apart_are_charged_by_their_distance_on_the_lattice() -> None:
    trained = module(distortion_weight=0.5)
    points = trained.model.marcher.points
    near, far = round(0.2 * points), round(0.6 * points)
    apart = trained.concentration(render_of(trained, [0.5, 0.5], [0.2, 0.6]))
    own = 0.5 / (3.0 * points)
    assert float(apart) == pytest.approx(0.5 * (0.5 * (far - near) / points + own), rel=1e-3)
    together = trained.concentration(render_of(trained, [0.0, 1.0], [0.2, 0.6]))
    assert float(together) == pytest.approx(0.5 / (3.0 * points), rel=1e-3)


def test_both_move_a_field() -> None:
    trained = module(passing_weight=0.1, distortion_weight=0.1)
    origins, directions = rays_around(count=30)
    render = trained.model.render_training(origins.t(), directions.t(), torch.full((30,), 0.5))
    trained.concentration(render).backward()
    assert bool(trained.model.encoding.table.grad.any())
    assert trained.model.sky_net.layers[0].weight.grad is None, "the sky has nothing to do with it"


@pytest.mark.parametrize("weights", [{}, {"passing_weight": 1.0, "distortion_weight": 1.0}])
def test_bounded_scenes_are_charged_nothing(weights: dict[str, float]) -> None:
    """What passes their matter falls on the background, as photographs say."""
    trained = module(unbounded=not weights, **weights)
    origins, directions = rays_around(count=10)
    render = trained.model.render_training(origins.t(), directions.t(), torch.full((10,), 0.5))
    assert trained.concentration(render) == 0.0
