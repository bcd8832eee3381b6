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
from neurocity.pictures.depth import depth_scale, quantise_depth
from neurocity.pictures.encode import encode
from neurocity.pictures.options import PictureOptionsError, RenderOptions

SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))
INFO = analytic_scene.manifest("onnx", b"").info


def camera_of(light):
    """A camera of the size of the light."""
    height, width = light.depth.shape
    return analytic_scene.camera(width, height)


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
    seen = opacity > 0
    scale = depth_scale(depth, seen)
    counts = quantise_depth(depth, seen, scale)
    assert ((counts > 0) == seen).all()
    # A depth under half a count becomes the smallest count, since 0 means that nothing is there.
    error = np.abs(counts * scale - depth)[seen & (depth >= scale / 2)]
    assert (error <= 0.5 * scale * (1 + 1e-6)).all()


def test_depth_png_and_npy_agree_at_city_scale():
    depth = np.float32([[0.0, 812.5], [65_000.0, 3.25]])
    opacity = np.float32([[0.0, 1.0], [1.0, 1.0]])
    light = Light(np.zeros((2, 2, 3), np.float32), depth, opacity)
    png, npy = (
        encode(light, camera_of(light), INFO, RenderOptions(output="depth", format=name))
        for name in ("png", "npy")
    )
    exact = np.load(io.BytesIO(npy.data))
    np.testing.assert_array_equal(exact, depth)
    scale = float(png.notes["X-Depth-Scale"])
    counts = np.array(Image.open(io.BytesIO(png.data)))
    np.testing.assert_allclose(counts * scale, depth, atol=scale / 2 + 1e-6)


@pytest.mark.parametrize("precision", [np.float32, np.float16])
def test_png_has_the_nearest_counts_of_what_engines_give(precision):
    """Engines of float16 give numbers that lie on few steps; none of them moves by a count."""
    generator = np.random.default_rng(0)
    rgb, depth, opacity = (
        generator.random(shape).astype(precision).astype(np.float32)
        for shape in ((40, 30, 3), (40, 30), (40, 30))
    )
    light = Light(rgb * opacity[..., None], 50.0 * depth, opacity)
    black = replace(INFO, background=None)

    def counts(output):
        image = encode(light, camera_of(light), black, RenderOptions(output=output))
        return np.array(Image.open(io.BytesIO(image.data))), image.notes

    for output, numbers in (("rgb", light.rgb), ("opacity", light.opacity)):
        shown, _ = counts(output)
        assert np.abs(shown - numbers.astype(np.float64) * 255).max() <= 0.5 + 1e-4
    shown, notes = counts("depth")
    scale = float(notes["X-Depth-Scale"])
    assert scale == float(light.depth[opacity > 0].max()) / 65535
    nearest = np.maximum(np.floor(light.depth.astype(np.float64) / scale + 0.5), 1)
    np.testing.assert_array_equal(shown, np.where(opacity > 0, nearest, 0))


@pytest.mark.parametrize("encoding", ["png", "jpeg", "webp"])
def test_images_are_upright(encoding):
    """Row 0 is the top and column 0 the left, in every format."""
    rgb = np.zeros((32, 48, 3), np.float32)
    rgb[:16, :24, 0] = 1.0
    light = Light(rgb, np.zeros((32, 48), np.float32), np.ones((32, 48), np.float32))
    quality = None if encoding == "png" else 95
    encoded = encode(light, camera_of(light), INFO, RenderOptions(format=encoding, quality=quality))
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
    info = replace(INFO, background=of_scene)
    half = Light(np.full((1, 1, 3), 0.5, np.float32), np.ones((1, 1), np.float32), np.float32([[0.5]]))
    encoded = encode(half, camera_of(half), info, RenderOptions(background=background, format="npy"))
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
    with pytest.raises(PictureOptionsError) as refused:
        RenderOptions(**options)
    assert refused.value.field == field
