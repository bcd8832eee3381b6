"""The compiled CPU kernels on rays that are not numbers, or far from every scene.

`make check-kernels` runs them with checks of every address.
"""

from collections.abc import Callable

import pytest
import torch
from grid_nerf_field import grid_nerf_field
from instant_ngp_field import instant_ngp_field, rays_around
from svraster_scene import random_model
from torch import Tensor, nn

from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.fixed_budget import NEGLIGIBLE_LIGHT
from neurocity.svraster.training.differentiable import TrainingPass

NOT_NUMBERS = (torch.nan, torch.inf, -torch.inf)
WHOLE = 40
"""Rays of a bundle that are as they should be, before the others."""

MODELS: dict[str, Callable[[], nn.Module]] = {
    "hash grid": instant_ngp_field,
    "hash grid by xor": lambda: instant_ngp_field(hash_kind="xor", level_dim=4),
    "hash grid, unbounded": lambda: instant_ngp_field(unbounded=True, sky=True),
    "planes": grid_nerf_field,
    "planes, unbounded": lambda: grid_nerf_field(unbounded=True, sky=True),
    "voxels": lambda: random_model(sh_degree=2).eval().requires_grad_(False),
}


def spoilt_rays(values: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """`WHOLE` rays as they should be, then rays with each of these values in each coordinate, and in all."""
    axes = ([0], [1], [2], [0, 1, 2])
    origins, directions = rays_around(count=WHOLE + 2 * len(values) * len(axes))
    ray = WHOLE
    for plane in (origins, directions):
        for value in values:
            for axis in axes:
                plane[ray, axis] = value
                ray += 1
    return origins, directions


@pytest.mark.parametrize("name", MODELS)
def test_kernels_give_what_the_graph_gives_for_rays_that_are_not_numbers(name: str) -> None:
    model, rays = MODELS[name](), spoilt_rays(NOT_NUMBERS)
    with without_kernels():
        expected = model(*rays)
    # Kernels stop where less light is left, which then comes from the sky, far away.
    beyond = NEGLIGIBLE_LIGHT * model.marcher.far if getattr(model, "sky_enabled", False) else 0.0
    for field, a, b in zip(expected._fields, model(*rays), expected, strict=True):
        atol = 1e-4 + (beyond if field == "depth" else 0.0)
        torch.testing.assert_close(
            a, b, rtol=1e-4, atol=atol, equal_nan=True, msg=lambda text, at=field: f"{at}: {text}"
        )


@pytest.mark.parametrize("name", MODELS)
def test_bad_rays_harm_no_others(name: str) -> None:
    model, rays = MODELS[name](), spoilt_rays((*NOT_NUMBERS, 3e38, -3e38, 1e12, 0.0))
    alone = model(*(part[:WHOLE] for part in rays))
    for got, expected in zip(model(*rays), alone, strict=True):
        torch.testing.assert_close(got[:WHOLE], expected, rtol=1e-6, atol=1e-6)


def test_training_rays_that_are_not_numbers_take_no_part() -> None:
    model = random_model(sh_degree=2, samples_per_voxel=2)
    origins, directions = spoilt_rays((torch.nan,))
    rays = torch.rand(len(origins), 3), torch.full((len(origins),), 0.01)
    gradients = []
    for number in (WHOLE, len(origins)):
        step = TrainingPass(model)
        step.distortion = True
        planes = (origins.t()[:, :number], directions.t()[:, :number], rays[0][:number], rays[1][:number])
        render = step.render(*(plane.contiguous() for plane in planes))
        assert bool((render.opacity[WHOLE:] == 0.0).all())
        loss = sum(plane.sum() for plane in (render.rgb, render.opacity, *render.terms.values()))
        gradients.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["density", "sh0", "shs"])
def test_training_does_not_hide_values_that_are_not_numbers(name: str) -> None:
    """So that a loss that is not finite ends it."""
    model = random_model(sh_degree=2, samples_per_voxel=2)
    getattr(model, name).data.fill_(torch.nan)
    rays = (plane[:WHOLE].t().contiguous() for plane in rays_around(count=WHOLE))
    render = TrainingPass(model).render(*rays, torch.rand(WHOLE, 3), torch.full((WHOLE,), 0.01))
    assert bool(render.rgb.isnan().any())
