"""Outputs in the formats that hold them: EXR as others read it, depth as colours, normals as bytes."""

import io
import re
import sys
from pathlib import Path

import analytic_scene
import numpy as np
import pytest
from PIL import Image

from neurocity.errors import ConfigError
from neurocity.light import Light
from neurocity.pictures.colormaps import colormap
from neurocity.pictures.depth import NOTHING, OUTLIERS
from neurocity.pictures.encode import encode, to_pixels, values
from neurocity.pictures.options import (
    PictureOptionsError,
    RenderOptions,
    available_formats,
    format_of_file,
)
from neurocity.viewer.files import FOLDER

COLORMAPS = ("turbo", "viridis", "gray")
INFO = analytic_scene.manifest("onnx", b"").info
WIDTH, HEIGHT = 48, 32
CAMERA = analytic_scene.camera(WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def light():
    rays = analytic_scene.render(*CAMERA.rays().arrays())
    return Light(*(part.astype(np.float32) for part in rays)).as_image(HEIGHT, WIDTH)


def encoded(light, **options):
    return encode(light, CAMERA, INFO, RenderOptions(**options))


def opened(image):
    return np.array(Image.open(io.BytesIO(image.data)))


def read_exr(image):
    """The header and the channels of an EXR file, by OpenEXR's own reader."""
    openexr = pytest.importorskip("OpenEXR", reason="the extra exr is not installed")
    file = openexr.File(io.BytesIO(image.data), separate_channels=True)
    return file.header(), {name: channel.pixels for name, channel in file.channels().items()}


def test_exr_holds_linear_light_and_opacity_without_a_background(light):
    image = encoded(light, format="exr")
    assert image.media_type == "image/x-exr"
    header, channels = read_exr(image)
    assert header["colorInteropID"] == "lin_rec709_scene"
    assert set(channels) == {"R", "G", "B", "A"}
    assert all(plane.dtype == np.float32 and plane.shape == (HEIGHT, WIDTH) for plane in channels.values())
    np.testing.assert_array_equal(channels["A"], light.opacity)
    hit = light.opacity > 0
    for axis, name in enumerate("RGB"):
        seen = light.rgb[..., axis][hit].astype(np.float64) / analytic_scene.ALPHA
        linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
        np.testing.assert_allclose(channels[name][hit], linear * analytic_scene.ALPHA, rtol=1e-5, atol=1e-7)
        assert not channels[name][~hit].any()


def test_exr_keeps_what_is_brighter_than_white():
    bright = Light(np.float32([[[2.0, 1.0, -0.5]]]), np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
    _, channels = read_exr(encoded(bright, format="exr"))
    assert channels["R"][0, 0] == pytest.approx(((2 + 0.055) / 1.055) ** 2.4, rel=1e-6)
    assert channels["G"][0, 0] == pytest.approx(1.0)
    assert channels["B"][0, 0] == 0.0


@pytest.mark.parametrize(
    ("output", "names"), [("depth", ["Z"]), ("opacity", ["A"]), ("normal", ["N.X", "N.Y", "N.Z"])]
)
def test_exr_holds_the_numbers_of_npy(light, output, names):
    image = encoded(light, output=output, format="exr")
    header, channels = read_exr(image)
    assert set(channels) == set(names)
    numbers = np.load(io.BytesIO(encoded(light, output=output, format="npy").data))
    planes = numbers[..., None] if numbers.ndim == 2 else numbers
    for axis, name in enumerate(names):
        np.testing.assert_array_equal(channels[name], planes[..., axis])
    assert image.notes.items() <= header.items(), "the header explains the channels"


@pytest.mark.parametrize("name", ["turbo", "viridis"])
def test_colormaps_are_those_of_matplotlib(name):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is the judge")
    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(colormap(name), expected)


def test_the_viewers_colours_of_depth_are_viridis():
    """Its ramp has every 15th colour, with straight lines between them; near is bright in both."""
    script = FOLDER / "look" / "depth_colours.js"
    text = re.search(r"const RAMP = \[(.*?)\n\];", script.read_text(), re.S).group(1)
    ramp = np.array(re.findall(r"\[(\d+), (\d+), (\d+)\]", text), float)
    np.testing.assert_array_equal(ramp, colormap("viridis")[::15])
    between = [np.interp(np.linspace(0, len(ramp) - 1, 256), range(len(ramp)), column) for column in ramp.T]
    assert np.abs(np.stack(between, -1) - colormap("viridis")).max() < 6
    nothing = re.search(r"const NOTHING = \[(\d+), (\d+), (\d+)\]", script.read_text()).groups()
    assert tuple(map(int, nothing)) == NOTHING
    assert f"const OUTLIERS = {OUTLIERS};" in script.read_text()


@pytest.mark.parametrize("name", COLORMAPS)
def test_depth_as_colours(light, name):
    near, far = 2.5, 3.5
    image = encoded(light, output="depth", colormap=name, near=near, far=far)
    assert image.notes == {
        "X-Depth-Kind": "distance",
        "X-Depth-Colormap": name,
        "X-Depth-Near": "2.5",
        "X-Depth-Far": "3.5",
        "X-Depth-Invalid": "#181b21",
    }
    assert Image.open(io.BytesIO(image.data)).text == image.notes
    seen = light.opacity > 0
    place = np.clip((far - light.depth[seen].astype(np.float64)) / (far - near), 0, 1) * 255
    colours = colormap(name).astype(int)
    shown = opened(image)
    below, above = colours[np.floor(place).astype(int)], colours[np.ceil(place).astype(int)]
    error = np.minimum(np.abs(shown[seen] - below).sum(-1), np.abs(shown[seen] - above).sum(-1))
    assert error.max() == 0
    assert (shown[~seen] == NOTHING).all()
    assert NOTHING not in {tuple(colour) for colour in colours.tolist()}


def test_the_ends_of_the_colours_are_the_pictures_own():
    depth = np.linspace(1.0, 101.0, 10_000, dtype=np.float32).reshape(100, 100)
    depth[0, 0], depth[-1, -1] = 0.001, 9000.0  # outliers
    light = Light(np.zeros((100, 100, 3), np.float32), depth, np.ones((100, 100), np.float32))
    options = RenderOptions(output="depth", colormap="gray")
    pixels, notes = to_pixels(light, analytic_scene.camera(100, 100), INFO, options)
    near, far = float(notes["X-Depth-Near"]), float(notes["X-Depth-Far"])
    assert (near, far) == (pytest.approx(2.0, abs=0.02), pytest.approx(100.0, abs=0.02))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[-1, -1].tolist() == [0, 0, 0]
    assert abs(int(pixels[50, 0, 0]) - 128) <= 1


@pytest.mark.parametrize("depth", [0.0, 2.0])
def test_colours_of_nothing_and_of_one_distance(depth):
    size = (3, 4)
    there = np.full(size, depth > 0, np.float32)
    light = Light(np.zeros((*size, 3), np.float32), np.full(size, depth, np.float32), there)
    options = RenderOptions(output="depth", colormap="viridis")
    pixels, notes = to_pixels(light, analytic_scene.camera(4, 3), INFO, options)
    assert float(notes["X-Depth-Near"]) == float(notes["X-Depth-Far"]) == depth
    assert (pixels == (colormap("viridis")[255] if depth else NOTHING)).all()


def test_an_end_that_is_asked_for_holds_beside_the_pictures_own(light):
    options = RenderOptions(output="depth", colormap="gray", far=0.5)  # nearer than all that is seen
    pixels, notes = to_pixels(light, CAMERA, INFO, options)
    assert (notes["X-Depth-Near"], notes["X-Depth-Far"]) == ("0.5", "0.5")
    assert (pixels[light.opacity > 0] == 0).all(), "all is beyond the far end"


@pytest.mark.parametrize("axes", ["world", "camera"])
def test_normals_as_bytes(light, axes):
    numbers = values(light, CAMERA, INFO, RenderOptions(output="normal", axes=axes))
    image = encoded(light, output="normal", axes=axes)
    assert image.notes == {"X-Normal-Axes": axes}
    shown = opened(image)
    assert np.abs(shown / 255 * 2 - 1 - numbers).max() <= 1.001 / 255
    assert (shown[~numbers.any(-1)] == 128).all(), "gray where there is none"
    assert opened(encoded(light, output="normal", axes=axes, format="webp")).shape == shown.shape


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"output": "normal", "colormap": "turbo"}, "colormap"),
        ({"output": "depth", "format": "npy", "colormap": "turbo"}, "colormap"),
        ({"output": "depth", "format": "exr", "colormap": "turbo"}, "colormap"),
        ({"output": "depth", "near": 1.0}, "near"),
        ({"output": "depth", "far": 1.0}, "far"),
        ({"output": "depth", "colormap": "gray", "near": -1.0}, "near"),
        ({"output": "depth", "colormap": "gray", "near": 2.0, "far": 2.0}, "far"),
        ({"output": "depth", "colormap": "gray", "far": float("nan")}, "far"),
        ({"axes": "world"}, "axes"),
        ({"format": "exr", "background": (1.0, 1.0, 1.0)}, "background"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, field):
    with pytest.raises(PictureOptionsError) as refused:
        RenderOptions(**options)
    assert refused.value.field == field


def test_without_the_extra_exr_is_refused_and_says_the_way(monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)  # as if it were not installed
    with pytest.raises(PictureOptionsError, match=r"pip install 'neurocity\[exr\]'") as refused:
        RenderOptions(format="exr")
    assert refused.value.field == "format"
    assert available_formats() == ("png", "jpeg", "webp", "npy")


def test_the_suffix_of_a_file_is_its_format():
    names = {
        "a.png": "png",
        "b.JPG": "jpeg",
        "c.jpeg": "jpeg",
        "d.webp": "webp",
        "e.npy": "npy",
        "f.exr": "exr",
    }
    assert {name: format_of_file(Path(name)) for name in names} == names
    for name in ("a", "a.gif", "png"):
        with pytest.raises(ConfigError, match=r"expected a file that ends in \.jpg, \.png, "):
            format_of_file(Path(name))
