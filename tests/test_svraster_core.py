"""SVRaster's light against a double-precision loop, its gradients, its kernel, its state."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from reference import svraster as oracle
from svraster_scene import random_model, random_rays, random_voxels

from neurocity.errors import ConfigError
from neurocity.svraster import shading
from neurocity.svraster.core import SVRaster, SVRasterConfig


def flat(render: Any) -> torch.Tensor:
    """rgb, depth and opacity of rays in one [R, 5]."""
    return torch.cat([render.rgb, render.depth[:, None], render.opacity[:, None]], dim=1)


def expected(model: SVRaster, origins: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """The oracle's render of rays [3, R], as `flat`."""
    rows = []
    for ray in range(origins.shape[1]):
        light, depth, opacity = oracle.render_ray(
            model, origins[:, ray].double().numpy(), directions[:, ray].double().numpy()
        )
        rows.append(torch.tensor([*light, depth, opacity]))
    return torch.stack(rows).float()


@pytest.mark.parametrize(
    "changes", [{}, {"samples_per_voxel": 3}, {"sh_degree": 0}, {"sh_degree": 1, "near": 0.5}]
)
def test_light_is_that_of_a_loop_over_all_voxels(changes: dict[str, Any]) -> None:
    model = random_model(1, 4, **changes).requires_grad_(False)
    origins, directions = random_rays(model, 2, count=8)
    reference = expected(model, origins, directions)
    assert 0.2 < float(reference[:, 4].mean()) < 0.95, "rays neither all stop nor all pass"
    fused = model(origins.t(), directions.t())
    # Rounding of depths, 5e-7 here, times densities up to 500.
    torch.testing.assert_close(flat(fused), reference, atol=2e-4, rtol=1e-5)
    at_once, in_rounds = model.render(origins, directions), model.render_in_rounds(origins, directions)
    # The kernel rounds once where a product is summed; neither way is nearer to the loop.
    torch.testing.assert_close(flat(fused), flat(at_once), atol=5e-6, rtol=1e-6)
    torch.testing.assert_close(flat(in_rounds), flat(at_once), atol=2e-6, rtol=1e-6)


def test_a_ray_ends_where_its_light_does() -> None:
    """Behind an opaque voxel nothing is seen, opacity is exactly 1, and the kernel and its twin agree."""
    model = random_model(1, 3, drop=0.0).requires_grad_(False)
    model.density.fill_(3.0)
    origins, directions = random_rays(model, 2, count=8)
    fused, defined = model(origins.t(), directions.t()), model.render(origins, directions)
    torch.testing.assert_close(flat(fused), flat(defined), atol=1e-6, rtol=1e-6)
    in_rounds = model.render_in_rounds(origins, directions)
    torch.testing.assert_close(flat(in_rounds), flat(defined), atol=1e-6, rtol=1e-6)
    assert float(fused.opacity[8:16].min()) > 0.5
    assert float((fused.opacity == 1.0).float().mean()) > 0.3
    weights = shading.visible_weights(
        torch.tensor([1.0, 9.0, 1.0]), torch.tensor([0, 3]), torch.tensor([0, 0, 0])
    )
    passed = float(np.exp(-1.0))
    assert weights.tolist() == pytest.approx([(1 - passed) / (1 - 1e-4), (passed - 1e-4) / (1 - 1e-4), 0.0])


def parameter_samples(model: SVRaster) -> Iterator[tuple[torch.nn.Parameter, int]]:
    """Some places of each parameter, those with gradients among them."""
    for parameter in (model.density, model.sh0, model.shs):
        assert parameter.grad is not None
        yield from ((parameter, int(place)) for place in parameter.grad.abs().flatten().topk(4).indices)


@pytest.mark.parametrize("samples", [1, 2])
def test_gradients_are_those_of_the_loop(samples: int) -> None:
    """Central differences of the double-precision loop, at the places with the largest gradients."""
    model = random_model(4, 2, samples_per_voxel=samples)
    with torch.no_grad():
        model.sh0.mul_(0.2)
        model.shs.mul_(0.1)  # colours stay between the clamps
    origins, directions = random_rays(model, 5, count=2)
    factors = torch.randn(origins.shape[1], 5, generator=torch.Generator().manual_seed(0))

    def loss_of_loop() -> float:
        return float((expected(model, origins, directions).double() * factors).sum())

    (flat(model(origins.t(), directions.t())) * factors).sum().backward()
    gradients = [
        (parameter, place, float(parameter.grad.flatten()[place]))
        for parameter, place in parameter_samples(model)
    ]
    for parameter, place, gradient in gradients:
        values = parameter.data.flatten()
        before, step = float(values[place]), 1.0 / 64
        ends = []
        for sign in (-1.0, 1.0):
            values[place] = before + sign * step
            ends.append(loss_of_loop())
        values[place] = before
        assert gradient == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=0.02, abs=1e-3)


def test_shading_is_differentiable() -> None:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    raw = (3.0 * draw(6, 8)).requires_grad_()
    near = torch.rand(6, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda corners: shading.optical_depth(
            corners, draw(3, 6) * 0.0 + 0.1, draw(3, 6) * 0.0 + 0.4, near, near + 0.5, 2
        ),
        (raw,),
    )
    torch.testing.assert_close(
        shading.explin(torch.tensor([-10.0, 0.0, 1.1, 1.1001, 7.0])),
        torch.tensor([oracle.explin(x) for x in (-10.0, 0.0, 1.1, 1.1001, 7.0)]),
    )
    values = torch.tensor([-0.5, 0.25, 2.0], requires_grad=True)
    clamped = shading.clamp_straight(values)
    assert clamped.tolist() == [0.0, 0.25, 1.0]
    clamped.backward(torch.tensor([1.0, 2.0, 3.0]))
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 2.0, 3.0]


def test_opaque_voxels_keep_finite_gradients() -> None:
    model = random_model(0, 2, drop=0.0)
    model.density.data.fill_(1000.0)
    origins, directions = random_rays(model, 0, count=4)
    flat(model(origins.t(), directions.t())).sum().backward()
    assert all(
        bool(p.grad.isfinite().all()) for p in (model.density, model.sh0, model.shs) if p.grad is not None
    )


def test_other_precisions_take_the_definition() -> None:
    model = random_model(1, 3).requires_grad_(False)
    origins, directions = random_rays(model, 2, count=8)
    single = model(origins.t(), directions.t())
    double = model.double()(origins.t().double(), directions.t().double())
    torch.testing.assert_close(flat(single), flat(double).float(), atol=2e-4, rtol=1e-5)


def test_units_of_the_scene_do_not_matter() -> None:
    one = random_model(3, 3).requires_grad_(False)
    two = random_model(3, 3, scene_bounds=tuple(16.0 * x for x in one.config.scene_bounds)).requires_grad_(
        False
    )
    origins, directions = random_rays(one, 4)
    a, b = one(origins.t(), directions.t()), two(16.0 * origins.t(), directions.t())
    torch.testing.assert_close(a.rgb, b.rgb)
    torch.testing.assert_close(a.opacity, b.opacity)
    torch.testing.assert_close(16.0 * a.depth, b.depth)


def test_a_sky_is_behind_everything() -> None:
    model = random_model(2, 4, unbounded=True, sky=True, outside_levels=2).requires_grad_(False)
    origins, directions = random_rays(model, 1, count=6)
    render, voxels = model(origins.t(), directions.t()), model.render(origins, directions)
    assert bool((render.opacity == 1.0).all())
    rest = 1.0 - voxels.opacity
    assert 0.1 < float(rest.mean()) < 0.9
    sky = (render.rgb - voxels.rgb) / rest.clamp_min(1e-9)[:, None]
    far = (render.depth - voxels.depth * voxels.opacity) / rest.clamp_min(1e-9)
    clear = rest > 0.05
    assert bool(((sky > 0.0) & (sky < 1.0))[clear].all())
    torch.testing.assert_close(far[clear], torch.full_like(far[clear], model.far), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("seed", [3, 8])
def test_a_state_of_another_size_loads(seed: int) -> None:
    saved = random_model(seed, 4).requires_grad_(False)
    fresh = SVRaster(saved.config)
    assert len(fresh.density) != len(saved.density)
    assert fresh.load_state_dict(saved.state_dict()) == ([], [])
    fresh.requires_grad_(False)
    origins, directions = random_rays(saved)
    assert torch.equal(flat(fresh(origins.t(), directions.t())), flat(saved(origins.t(), directions.t())))
    assert torch.equal(flat(fresh.render(origins, directions)), flat(saved.render(origins, directions)))


def test_a_state_of_the_same_voxels_fills_the_parameters_that_optimisers_know() -> None:
    model = random_model(3, 3)
    parameters = list(model.parameters())
    model.load_state_dict({k: v + 1 if v.is_floating_point() else v for k, v in model.state_dict().items()})
    assert all(one is two for one, two in zip(parameters, model.parameters(), strict=True))
    torch.testing.assert_close(model.density, random_model(3, 3).density + 1.0)


def test_a_state_that_does_not_fit_is_refused() -> None:
    state = random_model(3, 3).state_dict()
    with pytest.raises(RuntimeError, match=r"Missing key.*sh0"):
        SVRaster(random_model(0, 1).config).load_state_dict({k: v for k, v in state.items() if k != "sh0"})
    with pytest.raises(RuntimeError, match="size mismatch for density"):
        SVRaster(random_model(0, 1).config).load_state_dict(state | {"density": torch.zeros(5)})
    with pytest.raises(RuntimeError, match="size mismatch for shs"):
        SVRaster(random_model(0, 1, sh_degree=1).config).load_state_dict(state)


def test_new_voxels_have_initial_values() -> None:
    model = random_model(0, 3)
    level, cell = random_voxels(9, 3)
    model.set_voxels(level, cell)
    assert torch.equal(model.voxel_cell, cell)
    assert model.density.unique().tolist() == [-10.0]
    assert not model.sh0.any()
    assert not model.shs.any()
    assert model.density.requires_grad
    opacity = model(torch.tensor([[0.1, -0.4, 9.0]]), torch.tensor([[0.0, 0.0, -1.0]])).opacity
    assert 0.0 < opacity.item() < 0.02, "the untrained volume is almost clear"
    with pytest.raises(ConfigError, match="got 9, expected at most 8"):
        model.set_voxels(torch.tensor([9]), torch.zeros(1, 3, dtype=torch.int64))


def test_statistics_count_voxels() -> None:
    model = random_model(0, 4)
    figures = model.get_voxel_statistics()
    assert all(isinstance(value, float) for value in figures.values())
    assert figures["num_voxels"] == len(model.voxel_level) == sum(figures[f"level_{n}"] for n in range(1, 5))
    assert figures["num_grid_points"] == len(model.density)
    assert (figures["min_level"], figures["max_level"]) == (1.0, 4.0)
    assert figures["mean_level"] == pytest.approx(float(model.voxel_level.double().mean()))
    parameters = sum(4.0 * parameter.numel() for parameter in model.parameters()) / 2**20
    assert parameters < figures["memory_mib"] < 5.0 * parameters
    model.set_voxels(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.int64))
    assert model.get_voxel_statistics()["num_voxels"] == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scene_bounds": (0.0, 0.0, 0.0, 1.0, 0.0, 1.0)}, "expected x0 < x1"),
        ({"max_octree_levels": 17}, "got 17, expected 1 to 16"),
        ({"base_resolution": 48}, "got 48, expected a power of two"),
        ({"max_octree_levels": 5, "base_resolution": 64}, "2\\^max_octree_levels = 32"),
        ({"unbounded": True, "outside_levels": 5}, "got 5 with max_octree_levels 12"),
        ({"sh_degree": 4}, "got 4, expected 0 to 3"),
        ({"samples_per_voxel": 0}, "got 0, expected 1 to 3"),
        ({"near": -1.0}, "near: got -1.0"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SVRasterConfig(**changes)


def test_a_scene_shapes_the_configuration() -> None:
    config = SVRasterConfig.preset("cpu").for_scene((0.0, 0.0, 0.0, 1.0, 2.0, 3.0), unbounded=True)
    assert config.unbounded
    assert config.sky
    assert SVRasterConfig(**asdict(config)) == config
    assert config.octree_levels == config.max_octree_levels + config.outside_levels
