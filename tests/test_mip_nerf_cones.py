"""Frustums as Gaussians: against samples drawn from frustums, exact integrals, and a numeric Jacobian."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import mip_nerf as oracle

from neurocity.mip_nerf.cones import Cones, frustum_gaussians, frustum_moments


def one_cone(origin: np.ndarray, direction: np.ndarray, radius: float) -> Cones:
    planes = (origin[None], direction[None], [[radius]], [0.0], [1.0])
    return Cones(*(torch.tensor(np.asarray(plane), dtype=torch.float64) for plane in planes))


@pytest.mark.parametrize("ends", [(0.0, 1.0), (2.0, 2.7), (0.3, 5.0)])
def test_moments_are_those_of_points_in_a_frustum(ends: tuple[float, float]) -> None:
    """Points drawn evenly from a frustum with a wide cone around a slanted axis."""
    chance = np.random.default_rng(0)
    n, radius = 400_000, 0.4
    direction = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5])
    across = np.linalg.svd(direction[None])[2][1:]
    # Of a slice at distance t, the area grows with t^2.
    t = (ends[0] ** 3 + chance.random(n) * (ends[1] ** 3 - ends[0] ** 3)) ** (1 / 3)
    angle, reach = 2 * np.pi * chance.random(n), radius * t * np.sqrt(chance.random(n))
    points = t[:, None] * direction + reach[:, None] * (
        np.cos(angle)[:, None] * across[0] + np.sin(angle)[:, None] * across[1]
    )
    cones = one_cone(np.zeros(3), direction, radius)
    gaussians = frustum_gaussians(cones, torch.tensor([ends], dtype=torch.float64), False)
    np.testing.assert_allclose(gaussians.mean[0, 0], points.mean(0), atol=0.005 * ends[1])
    np.testing.assert_allclose(gaussians.variance[0, 0], points.var(0), rtol=0.01)


@settings(max_examples=60)
@given(
    begin=st.floats(0.0, 10.0),
    length=st.floats(0.05, 10.0),
    radius=st.floats(1e-4, 1.0),
)
def test_moments_are_the_integrals(begin: float, length: float, radius: float) -> None:
    expected = oracle.moments(begin, begin + length, radius)
    moments = frustum_moments(*torch.tensor([[begin], [begin + length], [radius]], dtype=torch.float64))
    for value, truth in zip(moments, expected, strict=True):
        np.testing.assert_allclose(value.item(), truth, rtol=1e-5, atol=1e-12)


def test_short_frustums_keep_their_variance_in_single_precision() -> None:
    """Where the integrals' quotients lose all digits: a thousandth of a unit, ten units away."""
    begin = torch.tensor([10.0])
    end = begin + 1e-3
    _, var_t, _ = frustum_moments(begin, end, torch.tensor([0.01]))
    np.testing.assert_allclose(var_t.item(), float(end - begin) ** 2 / 12.0, rtol=1e-3)


def test_a_frustum_without_length_at_the_apex_is_a_point() -> None:
    moments = frustum_moments(torch.zeros(1), torch.zeros(1), torch.tensor([0.01]))
    assert [value.item() for value in moments] == [0.0, 0.0, 0.0]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), far=st.booleans())
def test_contraction_moves_gaussians_by_its_jacobian(seed: int, far: bool) -> None:
    chance = np.random.default_rng(seed)
    origin, direction = chance.normal(size=3) * (3.0 if far else 0.2), chance.normal(size=3)
    direction /= np.linalg.norm(direction)
    ends, radius = (1.0, 1.5), 0.3
    mean, covariance = oracle.gaussian(origin, direction, radius, ends, contracted=True)
    gaussians = frustum_gaussians(
        one_cone(origin, direction, radius), torch.tensor([ends], dtype=torch.float64), True
    )
    np.testing.assert_allclose(gaussians.mean[0, 0], mean, atol=1e-9)
    np.testing.assert_allclose(gaussians.variance[0, 0], np.diag(covariance), atol=1e-7)
    assert np.linalg.norm(mean) < 2.0


def test_contraction_leaves_the_unit_ball_alone() -> None:
    cones = one_cone(np.array([0.1, 0.2, -0.3]), np.array([0.0, 0.6, 0.8]), 0.05)
    fences = torch.tensor([[0.0, 0.2, 0.5]], dtype=torch.float64)
    inside, contracted = (frustum_gaussians(cones, fences, flag) for flag in (False, True))
    torch.testing.assert_close(contracted.mean, inside.mean)
    torch.testing.assert_close(contracted.variance, inside.variance)
