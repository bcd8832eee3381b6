"""Lenses of photogrammetry, by hand; tests/test_cameras.py holds what all lenses have in common."""

import numpy as np
import pytest

from neurocity.lenses import Lens, brown_lens


def brown_by_hand(x, y, params):
    k1, k2, p1, p2, k3, k4, skew = params
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    bent_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return bent_x + skew * bent_y, bent_y


def test_known_answers_of_brown_lenses():
    direction = np.array([[1.0, 0.5, 2.0]])
    lens = Lens("BROWN", (-0.2, 0.1, 0.003, -0.002, 0.02, -0.03, 0.01))
    np.testing.assert_allclose(lens.project(direction), [brown_by_hand(0.5, 0.25, lens.params)], rtol=1e-14)
    lens = Lens("BROWN_FISHEYE", (0.1, -0.02, 0.003, -0.002, 0.003, -0.001, -0.01))
    theta, radius = np.arctan2(np.sqrt(1.25), 2.0), np.sqrt(1.25)
    bent = brown_by_hand(theta / radius, 0.5 * theta / radius, lens.params)
    np.testing.assert_allclose(lens.project(direction), [bent], rtol=1e-14)


@pytest.mark.parametrize(
    ("coefficients", "fisheye", "expected"),
    [
        ({"k1": 0.0, "skew": 0.0}, False, Lens()),
        ({"k1": 0.1, "k3": 0.3, "p2": 0.2}, False, Lens("OPENCV", (0.1, 0.0, 0.0, 0.2, 0.3))),
        ({"k1": 0.1, "k4": 0.4}, False, Lens("BROWN", (0.1, 0.0, 0.0, 0.0, 0.0, 0.4, 0.0))),
        ({"skew": 0.01}, False, Lens("BROWN", (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01))),
        ({}, True, Lens("OPENCV_FISHEYE", (0.0, 0.0, 0.0, 0.0))),
        ({"k1": 0.1, "k4": 0.4}, True, Lens("OPENCV_FISHEYE", (0.1, 0.0, 0.0, 0.4))),
        ({"k1": 0.1, "p1": 0.2}, True, Lens("BROWN_FISHEYE", (0.1, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0))),
    ],
)
def test_the_simplest_brown_lens(coefficients, fisheye, expected):
    assert brown_lens(coefficients, fisheye=fisheye) == expected
