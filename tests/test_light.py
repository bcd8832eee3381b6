"""Light over a background, as bytes, and compared."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurocity.light import Light, over_background, psnr, to_bytes

HALF = np.float32([[0.2, 0.0, 0.4]]), np.float32([0.5])


def test_what_light_leaves_is_filled_with_the_background():
    np.testing.assert_allclose(over_background(*HALF, (1.0, 0.5, 0.0)), [[0.7, 0.25, 0.4]], atol=1e-7)


def test_no_background_is_black():
    np.testing.assert_array_equal(over_background(*HALF, None), HALF[0])


def test_a_picture_stays_within_zero_and_one():
    rgb, opacity = np.float32([[1.5, -0.5, 0.0]]), np.float32([1.0])
    np.testing.assert_array_equal(over_background(rgb, opacity, (1.0, 1.0, 1.0)), [[1.0, 0.0, 0.0]])


def test_an_image_has_a_background_as_rays_have():
    rgb = np.linspace(0, 1, 2 * 3 * 3, dtype=np.float32).reshape(6, 3)
    light = Light(rgb, np.arange(6, dtype=np.float32), np.linspace(0, 1, 6, dtype=np.float32))
    image = light.as_image(2, 3)
    assert (image.rgb.shape, image.depth.shape, image.opacity.shape) == ((2, 3, 3), (2, 3), (2, 3))
    background = (0.1, 0.2, 0.3)
    np.testing.assert_array_equal(
        over_background(image.rgb, image.opacity, background).reshape(6, 3),
        over_background(light.rgb, light.opacity, background),
    )


@given(arrays(np.float32, 5, elements=st.floats(0, 1, width=32)))
def test_a_byte_is_within_half_a_step(values):
    assert np.abs(to_bytes(values) / 255.0 - values).max() <= 0.5 / 255 + 1e-6


def test_bytes_of_what_is_no_colour():
    np.testing.assert_array_equal(to_bytes(np.float32([-1, 2, np.nan, np.inf])), [0, 255, 0, 255])
    # Half up, where numpy's own rounding goes to the even number.
    np.testing.assert_array_equal(to_bytes(np.float32([0.5 / 255, 2.5 / 255])), [1, 3])


def test_psnr():
    zeros = np.zeros((4, 3), np.float32)
    assert psnr(zeros + np.float32(0.1), zeros) == pytest.approx(20.0, abs=1e-5)
    assert psnr(zeros, zeros) == math.inf
    assert math.isnan(psnr(np.full_like(zeros, np.nan), zeros))
    assert psnr(np.full_like(zeros, np.inf), zeros) == -math.inf
