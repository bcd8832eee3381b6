"""Images that are missing, reduced, of another kind, or not used."""

import json
import re

import pytest
from dataset_files import (
    check_pixels,
    loading_error,
    named,
    numbered,
    write_blender,
    write_capture,
    write_colmap,
    write_photographs,
)

from neurocity.data.load import load_scene
from neurocity.errors import ReducedImagesError


@pytest.mark.parametrize("layout", ["transforms", "colmap"])
def test_missing_images_are_counted_and_can_be_skipped(tmp_path, layout):
    names = numbered()
    if layout == "transforms":
        write_capture(tmp_path)
    else:
        write_colmap(tmp_path, [name.removeprefix("images/") for name in names])
    write_photographs(tmp_path, names)
    for i in (2, 5, 7, 11):
        (tmp_path / names[i]).unlink()
    message = loading_error(tmp_path)
    assert "0002.png': " in message
    assert "images/0002.png: image is missing, and so are those of " in message
    assert "0005.png', " in message
    assert "0007.png' and 1 more (4 of 12)" in message
    assert "images holds 0000.png, 0001.png" in message
    assert "--missing skip" in message
    scene = load_scene(tmp_path, missing="skip")
    check_pixels(scene, 8)
    (remark,) = [remark for remark in scene.remarks if "missing" in remark]
    assert ": 4 of 12 frames are left out, their images are missing: " in remark
    assert "0002.png" in remark


def test_skipping_all_images_is_no_way_out(tmp_path):
    write_capture(tmp_path)
    for missing in ("error", "skip"):
        message = loading_error(tmp_path, missing=missing)
        assert "(12 of 12)" in message
        assert "--missing" not in message
    assert "missing is 'warn', expected 'error' or 'skip'" in loading_error(tmp_path, missing="warn")


def test_lists_of_splits_may_name_images_that_are_skipped(tmp_path):
    names = numbered()
    write_capture(tmp_path, {"train_filenames": names[:8], "val_filenames": names[8:]})
    write_photographs(tmp_path, names)
    (tmp_path / names[3]).unlink()
    (tmp_path / names[9]).unlink()
    splits = load_scene(tmp_path, missing="skip").splits
    assert {split: len(frames) for split, frames in splits.items()} == {"train": 7, "val": 3}


def test_links_to_nothing_are_missing_images(tmp_path):
    write_capture(tmp_path)
    write_photographs(tmp_path, numbered())
    (tmp_path / "images/0003.png").rename(tmp_path / "elsewhere.png")
    (tmp_path / "images/0003.png").symlink_to(tmp_path / "elsewhere.png")
    check_pixels(load_scene(tmp_path))
    (tmp_path / "elsewhere.png").unlink()
    assert "0003.png is a link to nothing" in loading_error(tmp_path)


FULL = {"w": 192, "h": 144, "fl_x": 160.0, "fl_y": 160.0, "cx": 96.0, "cy": 72.0}


@pytest.mark.parametrize("layout", ["transforms", "no size", "colmap"])
def test_reduced_images_are_read_with_their_downscale(tmp_path, layout):
    if layout == "colmap":
        write_colmap(tmp_path, [f"{i:04}.png" for i in range(12)], "SIMPLE_PINHOLE 192 144 160 96 72")
    else:
        sizes = {"w": None, "h": None} if layout == "no size" else {}
        write_capture(tmp_path, FULL | sizes)
    write_photographs(tmp_path, numbered("images_4"))
    scene = load_scene(tmp_path, downscale=4)
    check_pixels(scene)
    camera = scene.held_out[0].camera
    assert (camera.width, camera.height, camera.fl_x, camera.fl_y) == (48, 36, 40.0, 40.0)
    assert (camera.cx, camera.cy) == (24.0, 18.0)
    assert any("images_4/, 4 times smaller" in remark for remark in scene.remarks)
    further = load_scene(tmp_path, downscale=12).held_out[0]
    assert further.load_image().shape == (12, 16, 4)
    assert (further.camera.width, further.camera.fl_x, further.camera.cy) == (16, 160 / 12, 6.0)
    for downscale in (1, 2, 6):
        with pytest.raises(ReducedImagesError, match=r"images_4; with --downscale 4 ") as caught:
            load_scene(tmp_path, downscale=downscale, missing="skip")
        assert caught.value.downscale == 4


def test_full_images_win_over_reduced_ones_and_the_smallest_reduced_are_read(tmp_path):
    write_capture(tmp_path, FULL)
    write_photographs(tmp_path, numbered("images_2"), (96, 72))
    write_photographs(tmp_path, numbered("images_4"))
    check_pixels(load_scene(tmp_path, downscale=4))
    check_pixels(load_scene(tmp_path, downscale=2), size=(96, 72))
    assert "--downscale 2 or --downscale 4" in loading_error(tmp_path)
    write_photographs(tmp_path, numbered(), (192, 144))
    check_pixels(load_scene(tmp_path), size=(192, 144))
    assert load_scene(tmp_path, downscale=4).held_out[0].downscale == 4


def test_another_dataset_beside_this_one_is_not_a_reduced_one(tmp_path):
    for name in ("scene", "scene_2"):
        write_capture(tmp_path / name)
        write_photographs(tmp_path / name, numbered())
    (tmp_path / "scene/images/0003.png").unlink()
    assert "scene_2" not in loading_error(tmp_path / "scene", downscale=2)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (".heic", b"\0\0\0\x18ftypheic" + bytes(40), "the image is HEIC, which is not read; convert"),
        (".exr", b"\x76\x2f\x31\x01" + bytes(40), "the image is OpenEXR, which is not read; convert"),
        (".jpg", b"\0\0\0\x18ftypheic" + bytes(40), "the image is HEIC, which is not read; convert"),
        (".nef", b"II*\0" + bytes(40), "the image is NEF, which is not read; convert"),
        (".png", b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS"),
        (".png", b"", "the image file is empty"),
        (".png", b"<html>", "image cannot be read, it is corrupt"),
    ],
)
@pytest.mark.parametrize("spelt", ["as it is", "without extension"])
def test_files_that_are_no_picture_that_is_read(tmp_path, name, data, message, spelt):
    write_capture(tmp_path, {"frames": named(numbered(extension=name if spelt == "as it is" else ""))})
    (tmp_path / "images").mkdir()
    for stored in numbered(extension=name):
        (tmp_path / stored).write_bytes(data)
    assert f"0000{name}: {message}" in loading_error(tmp_path)


def test_splits_of_blender_of_which_no_image_is_there_are_left_out(tmp_path):
    write_blender(tmp_path)
    for name in ("000", "001", "002"):
        (tmp_path / f"test/{name}.png").unlink()
    scene = load_scene(tmp_path)
    assert {split: len(frames) for split, frames in scene.splits.items()} == {"train": 3, "val": 3}
    (remark,) = scene.remarks
    assert remark.endswith("transforms_test.json: its 3 poses are left out, no image is there")


def test_the_defaults_of_an_addon_of_blender(tmp_path):
    write_capture(tmp_path, {"aabb_scale": 4}, file="transforms_train.json")
    write_capture(
        tmp_path, {"frames": named(numbered("test", count=5)), "aabb_scale": 4}, file="transforms_test.json"
    )
    write_photographs(tmp_path, numbered())
    for remarks in (2, 1):
        scene = load_scene(tmp_path)
        check_pixels(scene)
        held_out = {frame.name for frame in scene.held_out}
        assert held_out == {"images/0000.png", "images/0008.png"}
        assert held_out.isdisjoint(frame.name for frame in scene.splits["train"])
        assert len(scene.remarks) == remarks
        (tmp_path / "transforms_test.json").unlink(missing_ok=True)


def test_photographs_that_colmap_did_not_register_are_said(tmp_path):
    write_colmap(tmp_path, [f"{i:04}.png" for i in range(10)])
    write_photographs(tmp_path, numbered())
    assert (
        "2 of 12 images are not registered in the model and are left out: '0010.png', '0011.png'"
        in load_scene(tmp_path).remarks
    )
    write_colmap(tmp_path, [f"{i:04}.png" for i in range(12)])
    assert not any("registered" in remark for remark in load_scene(tmp_path).remarks)


def test_what_is_not_read_is_said(tmp_path):
    entries = named(numbered(), depth_file_path="depth/0.png", depth_path="d.exr")
    write_capture(tmp_path, {"frames": entries, "eval_filenames": ["images/0000.png"], "test_frames": [{}]})
    write_photographs(tmp_path, numbered())
    remarks = load_scene(tmp_path).remarks
    assert any("depth is not read (`depth_file_path`, `depth_path`)" in remark for remark in remarks)
    assert any("`eval_filenames` is not read" in remark for remark in remarks)
    assert any("`test_frames` is not read" in remark for remark in remarks)
    (tmp_path / "transforms.json").rename(tmp_path / "transforms_train.json")
    write_capture(tmp_path)
    write_capture(tmp_path, file="transforms_valid.json")
    scene = load_scene(tmp_path)
    assert len(scene.splits["val"]) == 12
    assert any("there is what is not read: transforms.json" in remark for remark in scene.remarks)


def test_a_trailing_comma_is_refused_with_its_line(tmp_path):
    write_capture(tmp_path)
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1).replace("\n}", ",\n}"))
    lines = len(path.read_text().splitlines())
    found = re.search(r"transforms.json: line (\d+): not valid JSON", loading_error(tmp_path))
    assert lines - 1 <= int(found[1]) <= lines


def test_a_file_is_no_folder_of_a_dataset(tmp_path):
    write_capture(tmp_path)
    message = loading_error(tmp_path / "transforms.json")
    assert message.endswith(f"transforms.json: is not a folder, expected the folder of a dataset, {tmp_path}")
