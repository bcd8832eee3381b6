"""The integrated encoding is the expectation of the plain one."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocity.mip_nerf.encoding import frequencies, integrated_encoding, positional_encoding


@settings(max_examples=40)
@given(mean=st.floats(-3.0, 3.0), deviation=st.floats(0.0, 1.5))
def test_it_is_the_expectation_over_the_gaussian(mean: float, deviation: float) -> None:
    """By Gauss-Hermite quadrature of the plain encoding, in double precision."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    scales = frequencies(4).double()
    points = torch.tensor(mean + deviation * nodes, dtype=torch.float64)[:, None]
    expected = (torch.tensor(weights / weights.sum())[:, None] * positional_encoding(points, scales)).sum(0)
    spread = torch.tensor([deviation**2], dtype=torch.float64)
    encoded = integrated_encoding(torch.tensor([mean], dtype=torch.float64), spread, scales)
    np.testing.assert_allclose(encoded, expected, atol=1e-8)


def test_a_point_has_the_plain_encoding() -> None:
    values = torch.linspace(-1.0, 1.0, 21).view(7, 3)
    scales = frequencies(16)
    encoded = integrated_encoding(values, torch.zeros(7, 3), scales)
    torch.testing.assert_close(encoded, positional_encoding(values, scales))
    assert encoded.shape == (7, 96)


def test_large_arguments_keep_their_precision() -> None:
    values = torch.tensor([[1.7, -0.3, 0.9]])
    encoded = positional_encoding(values, frequencies(16))
    exact = positional_encoding(values.double(), frequencies(16).double())
    torch.testing.assert_close(encoded.double(), exact, atol=1e-6, rtol=0)


def test_waves_that_are_short_against_the_gaussian_fade() -> None:
    encoded = integrated_encoding(torch.tensor([0.3]), torch.tensor([0.1]), frequencies(12))
    size = encoded.view(2, 12).norm(dim=0)
    assert bool((size[1:] <= size[:-1]).all())
    assert float(size[0]) > 0.9
    assert float(size[-1]) < 1e-6


def test_sines_come_before_cosines_and_coordinates_before_octaves() -> None:
    encoded = positional_encoding(torch.tensor([0.1, 0.2]), frequencies(2))
    expected = [f(scale * x) for f in (np.sin, np.cos) for x in (0.1, 0.2) for scale in (1.0, 2.0)]
    np.testing.assert_allclose(encoded, expected, rtol=1e-6)
