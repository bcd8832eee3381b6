"""Sizes of one ratio, rounded in one way, and what becomes of the intrinsics."""

import math

import numpy as np
import pytest
from dataset_files import (
    CAPTURE_SIZE,
    all_frames,
    loading_error,
    named,
    numbered,
    pixels,
    write_capture,
    write_colmap,
    write_image,
    write_photographs,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neurocity.data.load import load_scene
from neurocity.data.sizes import one_ratio


@given(
    width=st.integers(30, 6000),
    height=st.integers(30, 6000),
    ratio=st.floats(0.1, 1.0),
    rounding=st.sampled_from([round, math.floor, math.ceil]),
)
def test_sizes_that_were_rounded_in_one_way_are_of_one_ratio(width, height, ratio, rounding):
    assert one_ratio((rounding(width * ratio), rounding(height * ratio)), (width, height))


@pytest.mark.parametrize(
    ("size", "other"),
    [((36, 36), (95, 71)), ((48, 35), (48, 36)), ((36, 48), (48, 36)), ((979, 540), (1957, 1091))],
)
def test_sizes_of_different_ratios(size, other):
    assert not one_ratio(size, other)
    assert not one_ratio(other, size)


@pytest.mark.parametrize(
    ("size", "other"),
    [
        ((48, 36), (95, 71)),
        ((979, 546), (1957, 1091)),
        ((978, 546), (1957, 1091)),
        ((1237, 822), (4946, 3286)),
        ((48, 36), (48, 36)),
    ],
)
def test_sizes_of_one_ratio(size, other):
    assert one_ratio(size, other)


FULL = {"w": 192, "h": 144, "fl_x": 160.0, "fl_y": 160.0, "cx": 96.0, "cy": 72.0}


def test_images_of_another_size_than_their_camera_scale_its_intrinsics(tmp_path):
    names = [f"{i:04}.png" for i in range(12)]
    write_colmap(tmp_path, names, "PINHOLE 95 71 79 79.5 47.5 35.5")
    write_photographs(tmp_path, numbered())
    scene = load_scene(tmp_path)
    camera = scene.held_out[0].camera
    assert (camera.width, camera.height) == (48, 36)
    np.testing.assert_allclose((camera.fl_x, camera.fl_y), (79 * 48 / 95, 79.5 * 36 / 71))
    np.testing.assert_allclose((camera.cx, camera.cy), (24.0, 18.0))
    (remark,) = [remark for remark in scene.remarks if "scaled" in remark]
    assert "(12 frames; the first: 0000.png is 48x36 pixels, its camera 0 has 95x71)" in remark
    write_photographs(tmp_path, numbered(), (36, 36))
    message = loading_error(tmp_path)
    assert "0000.png is 36x36 pixels, its camera 0 has 95x71: width and height differ by different" in message


def test_lenses_stay_where_intrinsics_are_scaled(tmp_path):
    write_capture(tmp_path, {**FULL, "k1": 0.1, "p2": 0.01})
    write_photographs(tmp_path, numbered())
    camera = load_scene(tmp_path).held_out[0].camera
    assert (camera.fl_x, camera.lens.params) == (40.0, (0.1, 0.0, 0.0, 0.01, 0.0))


def test_sizes_of_some_frames_alone(tmp_path):
    write_capture(tmp_path)
    write_photographs(tmp_path, numbered())
    write_image(tmp_path / "images/0003.png", pixels(3, 3, (24, 18)))
    frames = all_frames(load_scene(tmp_path))
    assert [frames[name].camera.fl_x for name in ("images/0002.png", "images/0003.png")] == [40.0, 20.0]


def write_with_orientation(root, names, orientation):
    for i, name in enumerate(names):
        (root / name).parent.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels(i, 3, CAPTURE_SIZE)).save(root / name, exif=exif, quality=95)


@pytest.mark.parametrize("layout", ["transforms", "colmap"])
def test_an_orientation_that_turns_images_is_named(tmp_path, layout):
    names = numbered(extension=".jpg")
    turned = {"w": 36, "h": 48, "frames": named(names)}
    if layout == "colmap":
        write_colmap(tmp_path, [name[7:] for name in names], "PINHOLE 36 48 40 40 18 24")
    else:
        write_capture(tmp_path, turned)
    write_with_orientation(tmp_path, names, 6)
    assert "EXIF orientation (6) turns it by a quarter" in loading_error(tmp_path)
    write_with_orientation(tmp_path, names, 1)
    assert "EXIF" not in loading_error(tmp_path)


def test_images_of_the_stated_size_are_never_turned(tmp_path):
    names = numbered(extension=".jpg")
    write_capture(tmp_path, {"frames": named(names)})
    write_with_orientation(tmp_path, names, 6)
    frame = load_scene(tmp_path).held_out[0]
    assert frame.load_image().shape == (36, 48, 4)
