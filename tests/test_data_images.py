import numpy as np
import pytest
from dataset_files import pixels, write_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from neurocity.data.images import probe, read_rgba
from neurocity.errors import DataError


def block_average(rgba: np.ndarray, factor: int) -> np.ndarray:
    """Straight RGBA of the average of premultiplied colours in each block, one block at a time."""
    height, width = rgba.shape[0] // factor, rgba.shape[1] // factor
    result = np.zeros((height, width, 4))
    for i in range(height):
        for j in range(width):
            color, alpha = np.zeros(3), 0.0
            for y in range(i * factor, (i + 1) * factor):
                for x in range(j * factor, (j + 1) * factor):
                    color += rgba[y, x, :3] * (rgba[y, x, 3] / 255.0)
                    alpha += rgba[y, x, 3] / 255.0
            if alpha > 0:
                result[i, j] = np.append(color / alpha, 255.0 * alpha / factor**2)
    return result


@settings(deadline=None, max_examples=25)
@given(width=st.integers(3, 9), height=st.integers(3, 9), factor=st.integers(2, 3), seed=st.integers(0, 1000))
def test_downscaling_averages_premultiplied_blocks(tmp_path_factory, width, height, factor, seed):
    rgba = pixels(seed, 4, (width, height))
    rgba[: height // 2, :, 3] = 0
    path = write_image(tmp_path_factory.mktemp("image") / "a.png", rgba)
    small = read_rgba(path, factor)
    assert small.shape == (height // factor, width // factor, 4)
    expected = block_average(rgba, factor)
    np.testing.assert_allclose(small, expected, atol=0.51)


def test_opaque_images_downscale_alike_with_and_without_alpha(tmp_path):
    rgb = pixels(3, 3, (12, 8))
    opaque = np.dstack([rgb, np.full((8, 12), 255, np.uint8)])
    without = read_rgba(write_image(tmp_path / "a.png", rgb), 4)
    with_alpha = read_rgba(write_image(tmp_path / "b.png", opaque), 4)
    assert without.shape == (2, 3, 4)
    assert (without[..., 3] == 255).all()
    np.testing.assert_allclose(without.astype(int), with_alpha.astype(int), atol=1)


def test_colour_behind_transparency_does_not_leak(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (200, 100, 50, 255)
    rgba[1, 1] = (0, 255, 0, 0)
    np.testing.assert_array_equal(read_rgba(write_image(tmp_path / "a.png", rgba), 2), [[(200, 100, 50, 64)]])


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 77, (77, 77, 77, 255)),
        ("LA", (77, 10), (77, 77, 77, 10)),
        ("RGB", (1, 2, 3), (1, 2, 3, 255)),
        ("RGBA", (1, 2, 3, 4), (1, 2, 3, 4)),
        ("1", 1, (255, 255, 255, 255)),
        ("I;16", 65535, (255, 255, 255, 255)),
        ("I;16", 257 * 100, (100, 100, 100, 255)),
    ],
)
def test_png_modes(tmp_path, mode, value, expected):
    path = tmp_path / "a.png"
    Image.new(mode, (3, 2), value).save(path)
    image = read_rgba(path)
    assert image.dtype == np.uint8
    assert image.shape == (2, 3, 4)
    np.testing.assert_array_equal(image, np.broadcast_to(np.uint8(expected), (2, 3, 4)))
    info = probe(path)
    assert (info.width, info.height, info.has_alpha) == (3, 2, mode.endswith("A"))


def test_cmyk_palette_and_float_images(tmp_path):
    Image.new("CMYK", (3, 2), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(read_rgba(tmp_path / "a.jpg")[0, 0], (255, 0, 0, 255), atol=2)
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.save(tmp_path / "p.png", transparency=0)
    assert probe(tmp_path / "p.png").has_alpha
    np.testing.assert_array_equal(read_rgba(tmp_path / "p.png")[0, 0], (9, 8, 7, 255))
    Image.new("F", (3, 2), 0.5).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"f.tif: image has 32 bits a channel"):
        read_rgba(tmp_path / "f.tif")


def test_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees for display
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_rgba(tmp_path / "a.jpg").shape == (4, 6, 4)
    assert probe(tmp_path / "a.jpg").width == 6


def test_missing_corrupt_and_truncated_images_are_named(tmp_path):
    with pytest.raises(DataError, match=r"a.png: image is missing"):
        read_rgba(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    for read in (read_rgba, probe):
        with pytest.raises(DataError, match=r"b.png: image cannot be read"):
            read(tmp_path / "b.png")
    for name in ("c.png", "c.jpg"):
        path = write_image(tmp_path / name, pixels(size=(64, 64)))
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        assert probe(path).width == 64
        with pytest.raises(DataError, match=rf"{name}: image cannot be read, it is corrupt or truncated"):
            read_rgba(path)


def test_damaged_png_data_is_an_error(tmp_path):
    path = write_image(tmp_path / "c.png", pixels(size=(64, 64)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"c.png: image cannot be read"):
        read_rgba(path)
