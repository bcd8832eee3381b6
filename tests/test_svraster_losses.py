"""SVRaster's losses against loops over plain numbers, and their gradients against finite differences."""

from itertools import pairwise

import pytest
import torch
from reference import svraster_losses as reference
from svraster_scene import random_model
from torchmetrics.functional.image import structural_similarity_index_measure

from neurocity.svraster.training import losses

COUNTS = (3, 0, 1, 7, 2)
"""Intervals of each ray: several, none, one."""


@pytest.fixture
def offsets() -> torch.Tensor:
    return torch.tensor([0, *torch.tensor(COUNTS).cumsum(0).tolist()])


def packed(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights, near, far [N] with gaps between intervals, some beyond distance 1; colours [N, 3]."""
    generator = torch.Generator().manual_seed(seed)
    number = sum(COUNTS)
    depths = []
    for count in COUNTS:
        depths.append(torch.rand(2 * count, generator=generator, dtype=torch.float64).mul(2.5).sort().values)
    edges = torch.cat([depth.view(-1, 2) for depth in depths])
    weights = 0.3 * torch.rand(number, generator=generator, dtype=torch.float64)
    colors = torch.rand(number, 3, generator=generator, dtype=torch.float64)
    return weights, edges[:, 0], edges[:, 1], colors


def slices(offsets: torch.Tensor) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(offsets.tolist())]


def test_distortion_is_that_of_double_loops(offsets: torch.Tensor) -> None:
    weights, near, far, _ = packed()
    expected = [
        reference.distortion(weights[s].tolist(), near[s].tolist(), far[s].tolist()) for s in slices(offsets)
    ]
    assert near.max() > 1.0, "contracted distances are met"
    torch.testing.assert_close(
        losses.distortion(weights, near, far, offsets), torch.tensor(expected), rtol=1e-5, atol=1e-6
    )


def test_color_concentration_is_that_of_loops(offsets: torch.Tensor) -> None:
    weights, _, _, colors = packed()
    photograph = torch.rand(len(COUNTS), 3, generator=torch.Generator().manual_seed(1))
    expected = [
        reference.concentration(weights[s].tolist(), colors[s].tolist(), pixel.tolist())
        for s, pixel in zip(slices(offsets), photograph, strict=True)
    ]
    result = losses.color_concentration(weights, colors, photograph.double(), offsets)
    torch.testing.assert_close(result, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_total_variation_runs_along_the_twelve_edges() -> None:
    generator = torch.Generator().manual_seed(0)
    density = torch.randn(20, generator=generator)
    voxel_points = torch.randint(20, (6, 8), generator=generator, dtype=torch.int32)
    assert len(losses.EDGES) == 12
    expected = reference.total_variation(density.tolist(), voxel_points.tolist())
    for function in (losses.total_variation, losses.define_total_variation):
        assert function(density, voxel_points).item() == pytest.approx(expected, rel=1e-5)


def test_kernel_of_total_variation_has_the_gradient_of_the_definition() -> None:
    model = random_model()
    gradients = []
    for function in (losses.total_variation, losses.define_total_variation):
        model.density.grad = None
        (0.5 * function(model.density, model.voxel_points)).backward()
        gradients.append(model.density.grad)
    assert float(gradients[0].abs().max()) > 1.0, "points are corners of several voxels"
    torch.testing.assert_close(*gradients)


def test_ends_of_rays_cost_what_the_formulas_say() -> None:
    opacity = torch.tensor([0.0, 0.5, 1.0, 0.9])
    assert losses.opacity_entropy(opacity).item() == pytest.approx((0.25**2 + 0.09**2) / 4.0)
    assert losses.remaining_light(opacity).item() == pytest.approx((1.0 + 0.25 + 0.01) / 4.0)


def test_structural_dissimilarity_is_zero_for_equal_images_alone() -> None:
    images = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    assert losses.structural_dissimilarity(images, images).item() == pytest.approx(0.0, abs=1e-5)
    other = (images + 0.2).clamp(0.0, 1.0)
    one = structural_similarity_index_measure(
        images.permute(0, 3, 1, 2), other.permute(0, 3, 1, 2), data_range=1.0
    )
    assert losses.structural_dissimilarity(images, other).item() == pytest.approx(1.0 - one.item())


def slope(function: object, values: torch.Tensor, index: int, step: float = 1e-3) -> float:
    """Central difference of a scalar function; losses sum in float64 but answer in float32."""
    moved = [values.clone() for _ in range(2)]
    moved[0].view(-1)[index] += step
    moved[1].view(-1)[index] -= step
    return float(function(moved[0]) - function(moved[1])) / (2.0 * step)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["distortion", "concentration", "entropy", "light", "variation", "ssim"])
def test_gradients_are_slopes(name: str, offsets: torch.Tensor) -> None:
    weights, near, far, colors = packed()
    photograph = torch.full((len(COUNTS), 3), 0.4, dtype=torch.float64)
    images = torch.rand(1, 12, 12, 3, generator=torch.Generator().manual_seed(2))
    points = torch.arange(8)[None]
    function, values = {
        "distortion": (lambda x: losses.distortion(x, near, far, offsets).double().sum(), weights),
        "concentration": (
            lambda x: losses.color_concentration(weights, x, photograph, offsets).double().sum(),
            colors,
        ),
        "entropy": (losses.opacity_entropy, weights),
        "light": (losses.remaining_light, weights),
        "variation": (lambda x: losses.total_variation(x, points), weights[:8]),
        "ssim": (lambda x: losses.structural_dissimilarity(x, 0.8 * images), images),
    }[name]
    values = values.clone().requires_grad_()
    function(values).backward()
    assert values.grad is not None
    for index in range(0, values.numel(), max(1, values.numel() // 8)):
        expected = slope(function, values.detach(), index)
        assert values.grad.view(-1)[index].item() == pytest.approx(expected, rel=0.02, abs=2e-4)


def test_color_concentration_leaves_weights_alone(offsets: torch.Tensor) -> None:
    weights, _, _, colors = packed()
    weights.requires_grad_()
    colors.requires_grad_()
    losses.color_concentration(weights, colors, colors.new_zeros(len(COUNTS), 3), offsets).sum().backward()
    assert weights.grad is None
    assert colors.grad is not None
