"""The compiled training pass against its definition in PyTorch: light, gradients, statistics."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import svraster_losses as reference
from svraster_scene import random_model, random_rays

from neurocity.rendering.render import TrainingRender
from neurocity.svraster.core import SVRaster
from neurocity.svraster.training.differentiable import Recycled, TrainingPass
from neurocity.svraster.training.statistics import VoxelStatistics


def lights(render: TrainingRender) -> tuple[torch.Tensor, ...]:
    """All that is differentiable of a render."""
    return render.rgb, render.opacity, *render.terms.values()


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def run(
    model: SVRaster, way: str, seed: int = 0, degree: int = 2, near: float = 0.0
) -> tuple[TrainingRender, TrainingPass]:
    """Render rays that meet voxels in every way, and go back from random gradients."""
    origins, directions = random_rays(model, seed)
    generator = torch.Generator().manual_seed(seed)
    number = origins.shape[1]
    rays = TrainingPass(model, near=near)
    rays.degree, rays.distortion = degree, True
    model.zero_grad()
    render = getattr(rays, way)(
        origins,
        directions,
        torch.rand(number, 3, generator=generator),
        0.01 + torch.rand(number, generator=generator),
    )
    sum((torch.randn(p.shape, generator=generator) * p).sum() for p in lights(render)).backward()
    return render, rays


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("samples", "degree", "near"), [(1, 3, 1.5), (2, 2, 0.0), (3, 0, 4.0)])
def test_kernels_do_what_the_definition_says(samples: int, degree: int, near: float) -> None:
    model = random_model(samples_per_voxel=samples)
    rendered, kernels = run(model, "render", degree=degree, near=near)
    gradients = [parameter.grad.clone() for parameter in (model.density, model.sh0, model.shs)]
    defined, definition = run(model, "define", degree=degree, near=near)
    assert [*rendered.terms] == [*defined.terms] == ["concentration", "distortion"]
    for got, expected in zip(lights(rendered), lights(defined), strict=True):
        torch.testing.assert_close(got, expected, rtol=2e-5, atol=2e-6)
    for gradient, parameter in zip(gradients, (model.density, model.sh0, model.shs), strict=True):
        assert float(parameter.grad.abs().max()) > 1e-3 or (parameter is model.shs and degree == 0)
        torch.testing.assert_close(gradient, parameter.grad, rtol=2e-4, atol=2e-5)
    assert float(model.shs.grad[:, (degree + 1) ** 2 - 1 :].abs().sum()) == 0.0, "bands that are not in use"
    torch.testing.assert_close(kernels.statistics.weight, definition.statistics.weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(kernels.statistics.footprint, definition.statistics.footprint)
    torch.testing.assert_close(
        kernels.statistics.priority, definition.statistics.priority, rtol=5e-3, atol=2e-3
    )
    assert rendered.evaluated <= defined.evaluated


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_any_model_renders_in_training_as_in_eval(seed: int) -> None:
    model = random_model(seed)
    rays = TrainingPass(model)
    origins, directions = random_rays(model, seed)
    number = origins.shape[1]
    render = rays.render(origins, directions, torch.zeros(number, 3), torch.ones(number))
    with torch.no_grad():
        expected = model.eval()(origins.t(), directions.t())
    torch.testing.assert_close(render.rgb.detach(), expected.rgb, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(render.opacity.detach(), expected.opacity, rtol=1e-4, atol=1e-5)


def test_gradients_are_slopes_of_the_definition() -> None:
    """Against finite differences, at densities and colours that many rays meet."""
    model = random_model()
    origins, directions = random_rays(model)
    photograph = torch.rand(origins.shape[1], 3, generator=torch.Generator().manual_seed(0))

    def loss() -> torch.Tensor:
        rays = TrainingPass(model)
        rays.distortion = True
        render = rays.render(origins, directions, photograph, torch.ones(len(photograph)))
        # The weights of the concentration are constants, so only colours may be moved against it.
        return (render.rgb * photograph).double().sum() + (
            render.opacity + render.terms["distortion"]
        ).double().sum()

    loss().backward()
    for parameter, step in ((model.density, 2e-2), (model.sh0, 1e-2), (model.shs, 1e-2)):
        flat, gradient = parameter.data.view(-1), parameter.grad.flatten()
        for index in gradient.abs().topk(6).indices.tolist():
            value = float(flat[index])
            sides = []
            for moved in (value + step, value - step):
                flat[index] = moved
                sides.append(float(loss().detach()))
            flat[index] = value
            # Clamped colours pass their gradient straight through: a slope may be smaller, not larger.
            slope = (sides[0] - sides[1]) / (2.0 * step)
            clamped = parameter is not model.density
            assert slope == pytest.approx(float(gradient[index]), rel=0.05, abs=5e-3) or (
                clamped and abs(slope) < abs(float(gradient[index]))
            )


@pytest.mark.usefixtures("threads")
def test_equal_rays_give_equal_gradients() -> None:
    model = random_model(seed=3)
    run(model, "render")
    first = [parameter.grad.clone() for parameter in (model.density, model.sh0, model.shs)]
    run(model, "render")
    for gradient, parameter in zip(first, (model.density, model.sh0, model.shs), strict=True):
        assert torch.equal(gradient, parameter.grad)


def test_rays_that_miss_and_no_rays_at_all() -> None:
    model = random_model()
    for number in (0, 3):
        rays = TrainingPass(model)
        origins = torch.full((3, number), 50.0)
        directions = torch.tensor([1.0, 0.0, 0.0])[:, None].expand(3, number)
        render = rays.render(origins, directions, torch.zeros(number, 3), torch.ones(number))
        (render.rgb.sum() + render.opacity.sum()).backward()
        assert render.evaluated == 0
        assert render.rgb.shape == (number, 3)
        assert float(render.rgb.detach().sum() + render.opacity.detach().sum()) == 0.0
        assert not bool(rays.statistics.footprint.isfinite().any())


def test_a_ray_with_many_voxels_outgrows_the_first_buffer() -> None:
    model = random_model(depth=2, drop=0.0, base_resolution=64, max_octree_levels=6, initial_density=-9.0)
    cells = torch.stack([torch.arange(64), torch.full((64,), 3), torch.full((64,), 3)], -1)
    model.set_voxels(torch.full((64,), 6), cells)
    center = (model.root_low + model.root_side * torch.tensor([-0.5, 3.5 / 64, 3.5 / 64]))[:, None]
    rays = TrainingPass(model)
    direction = torch.tensor([[1.0], [0.0], [0.0]])
    render = rays.render(center.expand(3, 9), direction.expand(3, 9), torch.zeros(9, 3), torch.ones(9))
    assert render.evaluated == 9 * 64
    assert torch.equal(render.opacity, render.opacity[:1].expand(9))


def test_priority_is_the_slope_by_alpha() -> None:
    weights, gradients = [0.3, 0.05, 0.4, 0.1], [0.7, -1.0, 0.2, 1.5]
    statistics = VoxelStatistics.zeros(5, torch.device("cpu"))
    statistics.add(
        torch.tensor([2, 0, 4, 2]),
        torch.tensor([0, 0, 4]),
        torch.ones(4, dtype=torch.int64),
        weights=torch.tensor(weights),
        gradient=torch.tensor(gradients),
        share=torch.ones(4),
        footprint=torch.tensor([3.0, 2.0, 4.0, 1.0]),
    )
    each = reference.priorities(weights, gradients)
    expected = torch.tensor([each[1], 0.0, each[0] + each[3], 0.0, each[2]])
    torch.testing.assert_close(statistics.priority, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(statistics.weight, torch.tensor([0.05, 0.0, 0.3, 0.0, 0.4]))
    assert statistics.footprint.tolist() == [2.0, torch.inf, 1.0, torch.inf, 4.0]


def test_memory_is_used_again_when_it_is_free_and_not_before() -> None:
    recycled = Recycled()
    first = recycled.empty(torch.Size([4, 3])).fill_(1.0)
    second = recycled.empty(torch.Size([4, 3])).fill_(2.0)
    assert float(first.sum()) == 12.0, "still in use"
    place = second.data_ptr()
    del second
    assert recycled.empty(torch.Size([4, 3])).data_ptr() == place


def test_gradients_accumulate_over_two_backward_passes() -> None:
    """Recycled memory must not be written to while a parameter still holds its gradient."""
    model = random_model(seed=1)
    run(model, "render")
    once = model.shs.grad.clone()
    origins, directions = random_rays(model)
    rays = TrainingPass(model)
    photograph, widths = torch.zeros(origins.shape[1], 3), torch.ones(origins.shape[1])
    model.zero_grad()
    for _ in range(2):
        rays.render(origins, directions, photograph, widths).rgb.sum().backward()
    twice = model.shs.grad.clone()
    model.zero_grad()
    rays.render(origins, directions, photograph, widths).rgb.sum().backward()
    torch.testing.assert_close(twice, 2.0 * model.shs.grad)
    assert not torch.equal(once, model.shs.grad)


def test_a_pass_goes_back_once() -> None:
    """Its notes are for another pass then."""
    model = random_model()
    origins, directions = random_rays(model)
    number = origins.shape[1]
    rays = TrainingPass(model)
    total = rays.render(origins, directions, torch.zeros(number, 3), torch.ones(number)).rgb.sum()
    total.backward(retain_graph=True)
    assert len(rays.tapes) == 1
    with pytest.raises(AssertionError, match="once"):
        total.backward()
