"""Encodings against numpy: 16-bit depth, backgrounds, which way is up; and what cannot be asked for."""

import io
from dataclasses import replace

import analytic_scene
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from neurocity.light import Light
from serving.render.images import encode, quantise_depth
from serving.render.options import Limits, RenderOptions, RequestError

SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))
MANIFEST = analytic_scene.manifest("onnx", b"")


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
    light = Light(np.zeros((2, 2, 3), np.float32), depth, opacity)
    png, npy = (
        encode(light, MANIFEST, RenderOptions(output="depth", format=name)) for name in ("png", "npy")
    )
    exact = np.load(io.BytesIO(npy.data))
    np.testing.assert_array_equal(exact, depth)
    scale = float(png.notes["X-Depth-Scale"])
    counts = np.array(Image.open(io.BytesIO(png.data)))
    np.testing.assert_allclose(counts * scale, depth, atol=scale / 2 + 1e-6)


@pytest.mark.parametrize("encoding", ["png", "jpeg", "webp"])
def test_images_are_upright(encoding):
    """Row 0 is the top and column 0 the left, in every format."""
    rgb = np.zeros((32, 48, 3), np.float32)
    rgb[:16, :24, 0] = 1.0
    light = Light(rgb, np.zeros((32, 48), np.float32), np.ones((32, 48), np.float32))
    quality = None if encoding == "png" else 95
    encoded = encode(light, MANIFEST, RenderOptions(format=encoding, quality=quality))
    image = Image.open(io.BytesIO(encoded.data))
    assert image.size == (48, 32)
    red = np.array(image)[..., 0]
    assert red[4, 4] > 240
    assert max(red[4, 40], red[28, 4], red[28, 40]) < 15


@pytest.mark.parametrize(
    ("background", "of_scene", "colour"),
    [
        ("scene", (0.25, 0.5, 0.75), (0.25, 0.5, 0.75)),
        ("scene", None, (0.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.5), (0.25, 0.5, 0.75), (1.0, 0.0, 0.5)),
    ],
)
def test_backgrounds(background, of_scene, colour):
    manifest = replace(MANIFEST, info=replace(MANIFEST.info, background=of_scene))
    half = Light(np.full((1, 1, 3), 0.5, np.float32), np.ones((1, 1), np.float32), np.float32([[0.5]]))
    encoded = encode(half, manifest, RenderOptions(background=background, format="npy"))
    expected = np.minimum(0.5 + 0.5 * np.array(colour), 1.0)
    np.testing.assert_allclose(np.load(io.BytesIO(encoded.data))[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"output": "depth", "format": "jpeg"}, "format"),
        ({"output": "depth", "format": "webp"}, "format"),
        ({"format": "png", "quality": 50}, "quality"),
        ({"format": "npy", "quality": 50}, "quality"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, field):
    with pytest.raises(RequestError) as refused:
        RenderOptions(**options)
    assert refused.value.field == field


def test_limits_name_the_side():
    limits = Limits(max_pixels=100, max_side=20)
    limits.check(20, 5)
    for size, field in (((21, 1), "width"), ((1, 21), "height"), ((20, 6), "width")):
        with pytest.raises(RequestError, match="the limit is") as refused:
            limits.check(*size)
        assert refused.value.field == field
