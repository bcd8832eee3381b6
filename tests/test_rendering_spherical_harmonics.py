"""Real spherical harmonics against their definition by associated Legendre functions."""

import numpy as np
import torch
from reference import spherical_harmonics as oracle

from neurocity.rendering.spherical_harmonics import COEFFICIENTS, spherical_harmonics


def test_values_equal_the_definition() -> None:
    directions = np.random.default_rng(0).normal(size=(3, 200))
    directions[:, :6] = np.concatenate([np.eye(3), -np.eye(3)], axis=1)
    directions /= np.linalg.norm(directions, axis=0)
    values = spherical_harmonics(torch.from_numpy(directions))
    assert values.shape == (200, COEFFICIENTS)
    expected = np.array([oracle.values(direction) for direction in directions.T])
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-12)


def test_the_basis_is_orthonormal_on_the_sphere() -> None:
    """By Gauss-Legendre quadrature in z and even steps around it, exact for products of band 3."""
    heights, weights = np.polynomial.legendre.leggauss(8)
    angles = 2.0 * np.pi * np.arange(16) / 16
    z, angle = (plane.ravel() for plane in np.meshgrid(heights, angles, indexing="ij"))
    ring = np.sqrt(1.0 - z * z)
    directions = torch.from_numpy(np.stack([ring * np.cos(angle), ring * np.sin(angle), z]))
    values = spherical_harmonics(directions).numpy()
    area = np.repeat(weights, 16) * 2.0 * np.pi / 16
    np.testing.assert_allclose(values.T @ (values * area[:, None]), np.eye(COEFFICIENTS), atol=1e-12)


def test_float32_directions_give_float32_values() -> None:
    directions = torch.nn.functional.normalize(torch.randn(3, 50), dim=0)
    values = spherical_harmonics(directions)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), spherical_harmonics(directions.double()), atol=1e-5, rtol=0)
    assert spherical_harmonics(torch.zeros(3, 0)).shape == (0, COEFFICIENTS)
