"""Encodings against numpy: rounding, compositing, 16-bit depth."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from serving.engines.base import RenderedRays
from serving.render.images import composite, encode_depth, encode_rgb, quantise_depth, to_bytes

UNIT = st.floats(0, 1, width=32)
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(UNIT)
@settings(deadline=None)
def test_bytes_are_within_half_a_count(value):
    byte = to_bytes(np.float32([value]))[0]
    assert abs(byte / 255 - value) <= 0.5 / 255 + 1e-6


def test_rounding_is_half_up_and_clipped():
    values = np.float32([-1.0, 0.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 254.6 / 255, 1.0, 7.0])
    assert to_bytes(values).tolist() == [0, 0, 1, 2, 3, 255, 255, 255]


@given(st.integers(0, 255))
@settings(deadline=None)
def test_every_byte_survives_the_round_trip(byte):
    assert to_bytes(np.float32([byte / 255]))[0] == byte


def test_composite_is_premultiplied_over_and_clips():
    rgb = np.float32([[0.5, 0.0, 0.9], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    opacity = np.float32([0.5, 0.0, 1.0])
    image = composite(rgb, opacity, (0.2, 0.4, 1.0))
    np.testing.assert_allclose(image, [[0.6, 0.2, 1.0], [0.2, 0.4, 1.0], [1.0, 1.0, 1.0]], atol=1e-6)


@given(
    SIZES.flatmap(
        lambda size: st.tuples(
            arrays.arrays(np.float32, size, elements=st.floats(2**-10, 2**17, width=32)),
            arrays.arrays(np.float32, size, elements=st.sampled_from([0.0, 0.5, 1.0])),
        )
    )
)
@settings(deadline=None, max_examples=50)
def test_depth_counts_are_within_half_a_count_and_never_lose_a_pixel(maps):
    depth, opacity = maps
    counts, scale = quantise_depth(depth, opacity)
    seen = opacity > 0
    assert ((counts > 0) == seen).all()
    # A depth under half a count becomes the smallest count, since 0 means that nothing is there.
    error = np.abs(counts * scale - depth)[seen & (depth >= scale / 2)]
    assert (error <= 0.5 * scale * (1 + 1e-6)).all()


def test_depth_png_and_npy_agree_at_city_scale():
    depth = np.float32([[0.0, 812.5], [65_000.0, 3.25]])
    opacity = np.float32([[0.0, 1.0], [1.0, 1.0]])
    rendered = RenderedRays(np.zeros((2, 2, 3), np.float32), depth, opacity)
    png = encode_depth(rendered, "distance", "png")
    exact = np.load(io.BytesIO(encode_depth(rendered, "distance", "npy").data))
    np.testing.assert_array_equal(exact, depth)
    scale = float(png.headers["X-Depth-Scale"])
    counts = np.array(Image.open(io.BytesIO(png.data)))
    np.testing.assert_allclose(counts * scale, depth, atol=scale / 2 + 1e-6)


@pytest.mark.parametrize("encoding", ["png", "jpeg", "webp"])
def test_images_are_upright(encoding):
    """Row 0 is the top and column 0 the left, in every format."""
    rgb = np.zeros((32, 48, 3), np.float32)
    rgb[:16, :24, 0] = 1.0
    rendered = RenderedRays(rgb, np.zeros((32, 48), np.float32), np.ones((32, 48), np.float32))
    image = Image.open(io.BytesIO(encode_rgb(rendered, (0, 0, 0), encoding, 95).data))
    assert image.size == (48, 32)
    red = np.array(image)[..., 0]
    assert red[4, 4] > 240
    assert max(red[4, 40], red[28, 4], red[28, 40]) < 15
