"""Images under names that other programs and systems wrote; the right image is told by its pixels."""

import json
import re
import struct
import unicodedata

import numpy as np
import pytest
from dataset_files import (
    CAPTURE_SIZE,
    all_frames,
    colmap_center,
    named,
    numbered,
    pixels,
    write_blender,
    write_capture,
    write_colmap,
    write_image,
    write_photographs,
)
from PIL import Image

from neurocity.data.load import load_scene
from neurocity.errors import DataError, ReducedImagesError


def check_pixels(scene, count=12, size=CAPTURE_SIZE):
    """That each frame's image is the one that was written for its pose, which the name's number tells."""
    frames = all_frames(scene)
    assert len(frames) == count
    for name, frame in frames.items():
        index = int(re.findall(r"\d{4}", name)[-1])
        np.testing.assert_array_equal(frame.load_image()[..., :3], pixels(index, 3, size))


def error_of(root, **options):
    with pytest.raises(DataError) as caught:
        load_scene(root, **options)
    return str(caught.value)


BACKSLASHES = {
    "plain": lambda i: f"images\\{i:04}.png",
    "dot": lambda i: f".\\images\\{i:04}.png",
    "mixed": lambda i: f"./data\\7\\images/{i:04}.png",
}


@pytest.mark.parametrize(
    ("style", "folder"),
    [("plain", "images"), ("dot", "images"), ("mixed", "images"), ("mixed", "data/7/images")],
)
def test_backslashes_are_slashes(tmp_path, style, folder):
    names = [BACKSLASHES[style](i) for i in range(12)]
    splits = {"train_filenames": names[:10], "test_filenames": names[10:]}
    write_capture(tmp_path, {"frames": named(names, mask_path="masks\\m.png"), **splits})
    write_photographs(tmp_path, numbered(folder))
    write_image(tmp_path / "masks/m.png", np.tile(np.uint8([0, 255]), (36, 24)))
    scene = load_scene(tmp_path)
    check_pixels(scene)
    assert [len(scene.splits[split]) for split in ("train", "test")] == [10, 2]
    assert all("\\" not in name for name in all_frames(scene))
    assert scene.held_out[0].load_mask().mean() == 0.5


def test_a_backslash_in_a_name_is_kept_where_the_file_is_called_so(tmp_path):
    names = [f"images\\{i:04}.png" for i in range(12)]
    write_capture(tmp_path, {"frames": named(names)})
    write_photographs(tmp_path, names)
    check_pixels(load_scene(tmp_path))


@pytest.mark.parametrize(
    ("spelt", "stored"),
    [
        ("images/{:04}.jpg", "images/{:04}.png"),
        ("images/{:04}.JPG", "images/{:04}.PNG"),
        ("images/{:04}", "images/{:04}.png"),
        ("images/{:04}.PNG", "images/{:04}.png"),
        ("Images/IMG_{:04}.png", "images/img_{:04}.png"),
        ("images/frame_0.{:04}", "images/frame_0.{:04}.png"),
        ("my%20photos/{:04}%281%29.png", "my photos/{:04}(1).png"),
        ("/home/somebody/scene/images/{:04}.png", "images/{:04}.png"),
        ("C:\\Users\\me\\scene\\images\\{:04}.png", "images/{:04}.png"),
        ("C:/{:04}.png", "{:04}.png"),
        ("{:04}.png", "images/{:04}.png"),
        ("./images/{:04}.JPG", "DJI_001/{:04}.png"),
        ("{:04}.png", "images/left/{:04}.png"),
        (" images/{:04}.png\n", "images/{:04}.png"),
        ("../scene/images/{:04}.png", "images/{:04}.png"),
        ("images/{:04}.png", "images/images/{:04}.png"),
        (unicodedata.normalize("NFD", "images/Gebäude_{:04}.png"), "images/Gebäude_{:04}.png"),
    ],
)
def test_the_one_file_that_a_name_can_mean(tmp_path, spelt, stored):
    write_capture(tmp_path, {"frames": named([spelt.format(i) for i in range(12)])})
    write_photographs(tmp_path, [stored.format(i) for i in range(12)])
    check_pixels(load_scene(tmp_path))


@pytest.mark.parametrize(
    ("spelt", "stored"),
    [
        ("{:04}.jpg", "images/{:04}.png"),
        ("{:04}.JPG", "images/{:04}.PNG"),
        ("{:04}", "images/{:04}.png"),
        ("images/{:04}.png", "images/{:04}.png"),
        ("left\\{:04}.png", "images/left/{:04}.png"),
        ("{:04}.png", "{:04}.png"),
        ("images/{:04}.png", "images/images/{:04}.png"),
        ("{:04}.png", "images/left/{:04}.png"),
        ("{:04}.png", "DJI_001/{:04}.png"),
        ("{:04}.png", "dense/images/{:04}.png"),
    ],
)
def test_the_one_file_that_a_name_of_colmap_can_mean(tmp_path, spelt, stored):
    folder = "dense/sparse" if stored.startswith("dense") else "sparse/0"
    write_colmap(tmp_path, [spelt.format(i) for i in range(12)], folder=folder)
    write_photographs(tmp_path, [stored.format(i) for i in range(12)])
    check_pixels(load_scene(tmp_path))


def test_pictures_of_another_folder_do_not_fill_gaps(tmp_path):
    write_capture(tmp_path)
    write_photographs(tmp_path, numbered())
    write_photographs(tmp_path, numbered("renders"))
    (tmp_path / "images/0003.png").unlink()
    assert "image is missing (1 of 12)" in error_of(tmp_path)


def test_folders_that_a_name_does_not_tell_of(tmp_path):
    write_capture(tmp_path)
    for folder in ("masks", "depth", "normal_maps", "images_2"):
        write_photographs(tmp_path, numbered(folder), (4, 3))
    assert "images_2; with --downscale 2" in error_of(tmp_path)
    (tmp_path / "images_2").rename(tmp_path / "semantics")
    assert "image is missing" in error_of(tmp_path)
    write_photographs(tmp_path, numbered("left"))
    check_pixels(load_scene(tmp_path))
    write_photographs(tmp_path, numbered("right"))
    message = error_of(tmp_path)
    assert "left/0000.png or " in message
    assert "right/0000.png; write the one that is meant" in message


def test_another_name_is_remarked_once_with_its_number(tmp_path):
    write_capture(tmp_path, {"frames": named(numbered(extension=".jpg"))})
    write_photographs(tmp_path, numbered())
    (remark,) = [remark for remark in load_scene(tmp_path).remarks if "extensions" in remark]
    assert "12 frames; the first: 'images/0000.jpg' is images/0000.png" in remark


def test_names_that_could_mean_several_files_are_refused_with_both(tmp_path):
    write_capture(tmp_path)
    write_photographs(tmp_path, numbered(extension=".jpg"))
    write_photographs(tmp_path, numbered(extension=".bmp"))
    message = error_of(tmp_path)
    assert "frame 'images/0000.png': " in message
    assert "could be 0000.bmp or 0000.jpg" in message


def test_a_case_of_its_own_does_not_make_a_name_ambiguous(tmp_path):
    write_capture(tmp_path)
    write_photographs(tmp_path, numbered())
    write_photographs(tmp_path, numbered(extension=".PNG"), size=(4, 3))
    check_pixels(load_scene(tmp_path))


def test_pictures_that_are_read_win_over_those_that_are_not(tmp_path):
    write_capture(tmp_path, {"frames": named(numbered(extension=""))})
    write_photographs(tmp_path, numbered())
    for name in numbered(extension=".exr"):
        (tmp_path / name).write_bytes(b"\x76\x2f\x31\x01")
    check_pixels(load_scene(tmp_path))


def test_one_file_is_not_the_image_of_two_frames(tmp_path):
    names = [f"cam{i % 2}/images/{i // 2:04}.png" for i in range(12)]
    write_capture(tmp_path, {"frames": named(names)})
    write_photographs(tmp_path, numbered(count=6))
    assert "images/0000.png, and so is that of 'cam0/images/0000.png'" in error_of(tmp_path)


def test_poses_of_another_folder_do_not_take_images_of_the_same_name(tmp_path):
    write_capture(tmp_path, {"frames": named(numbered("test"))})
    write_photographs(tmp_path, numbered("images"))
    assert "frame 'test/0000.png'" in error_of(tmp_path)


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
    message = error_of(tmp_path)
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
        message = error_of(tmp_path, missing=missing)
        assert "(12 of 12)" in message
        assert "--missing" not in message
    assert "missing is 'warn', expected 'error' or 'skip'" in error_of(tmp_path, missing="warn")


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
    assert "0003.png is a link to nothing" in error_of(tmp_path)


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
    assert "--downscale 2 or --downscale 4" in error_of(tmp_path)
    write_photographs(tmp_path, numbered(), (192, 144))
    check_pixels(load_scene(tmp_path), size=(192, 144))
    assert load_scene(tmp_path, downscale=4).held_out[0].downscale == 4


def test_another_dataset_beside_this_one_is_not_a_reduced_one(tmp_path):
    for name in ("scene", "scene_2"):
        write_capture(tmp_path / name)
        write_photographs(tmp_path / name, numbered())
    (tmp_path / "scene/images/0003.png").unlink()
    assert "scene_2" not in error_of(tmp_path / "scene", downscale=2)


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
    message = error_of(tmp_path)
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
    assert "EXIF orientation (6) turns it by a quarter" in error_of(tmp_path)
    write_with_orientation(tmp_path, names, 1)
    assert "EXIF" not in error_of(tmp_path)


def test_images_of_the_stated_size_are_never_turned(tmp_path):
    names = numbered(extension=".jpg")
    write_capture(tmp_path, {"frames": named(names)})
    write_with_orientation(tmp_path, names, 6)
    frame = load_scene(tmp_path).held_out[0]
    assert frame.load_image().shape == (36, 48, 4)


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
    assert f"0000{name}: {message}" in error_of(tmp_path)


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


@pytest.mark.parametrize("encoding", ["gb18030", "cp949", "latin-1"])
@pytest.mark.parametrize("stored", ["unicode", "as written"])
def test_names_in_other_encodings(tmp_path, encoding, stored):
    word = {"gb18030": "街道", "cp949": "거리", "latin-1": "façade"}[encoding]
    names = [f"{word}_{i:04}.png" for i in range(12)]
    write_colmap(tmp_path, names, encoding=encoding)
    written = [name.encode(encoding).decode("utf-8", "surrogateescape") for name in names]
    write_photographs(tmp_path / "images", names if stored == "unicode" else written)
    scene = load_scene(tmp_path)
    check_pixels(scene)
    scene.fingerprint()
    for name in all_frames(scene):
        name.encode("utf-8")
    if stored == "unicode":
        assert set(all_frames(scene)) == set(names)
        assert any("not UTF-8" in remark for remark in scene.remarks)
    (tmp_path / "images" / (names if stored == "unicode" else written)[4]).unlink()
    assert "image is missing (1 of 12)" in error_of(tmp_path)


@pytest.mark.parametrize("encoding", ["gb18030", "cp949"])
def test_names_in_other_encodings_in_binary_files(tmp_path, encoding):
    word = {"gb18030": "街道", "cp949": "거리"}[encoding]
    names = [f"{word}_{i:04}.png" for i in range(12)]
    folder = write_colmap(tmp_path, names) / "sparse/0"
    data = struct.pack("<Q", 12)
    for i, name in enumerate(names):
        data += struct.pack("<i7di", i, 1, 0, 0, 0, *(-colmap_center(i)), 0)
        data += name.encode(encoding) + b"\0" + struct.pack("<Q", 0)
    (folder / "images.bin").write_bytes(data)
    (folder / "images.txt").unlink()
    write_photographs(tmp_path / "images", names)
    scene = load_scene(tmp_path)
    check_pixels(scene)
    assert set(all_frames(scene)) == set(names)
    np.testing.assert_allclose(all_frames(scene)[names[5]].camera.position, colmap_center(5))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_of_transforms(tmp_path, encoding):
    names = [f"images/façade_{i:04}.png" for i in range(12)]
    write_capture(tmp_path, {"frames": named(names)})
    path = tmp_path / "transforms.json"
    text = json.dumps(json.loads(path.read_text()), ensure_ascii=False, indent=1).replace("\n", "\r\n")
    path.write_bytes(text.encode(encoding))
    write_photographs(tmp_path, names)
    scene = load_scene(tmp_path)
    check_pixels(scene)
    assert set(all_frames(scene)) == set(names)


def test_photographs_that_lie_beside_the_file_that_poses_them(tmp_path):
    write_capture(tmp_path)
    write_photographs(tmp_path, [f"{i:04}.png" for i in range(12)])
    check_pixels(load_scene(tmp_path))


def test_absolute_names_are_shortened_to_the_folder_of_the_dataset(tmp_path):
    write_capture(tmp_path, {"frames": named([f"C:\\Users\\me\\images\\{i:04}.png" for i in range(12)])})
    write_photographs(tmp_path, numbered())
    assert sorted(all_frames(load_scene(tmp_path))) == numbered()


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


def test_blanks_brackets_and_accents(tmp_path):
    names = [f"Straße (oben)/IMG [{i:04}] é.png" for i in range(12)]
    write_capture(tmp_path / "a", {"frames": named([f"images/{name}" for name in names])})
    write_colmap(tmp_path / "b", names)
    for root in (tmp_path / "a", tmp_path / "b"):
        write_photographs(root / "images", names)
        check_pixels(load_scene(root))


def test_a_trailing_comma_is_refused_with_its_line(tmp_path):
    write_capture(tmp_path)
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1).replace("\n}", ",\n}"))
    lines = len(path.read_text().splitlines())
    found = re.search(r"transforms.json: line (\d+): not valid JSON", error_of(tmp_path))
    assert lines - 1 <= int(found[1]) <= lines


def test_a_file_is_no_folder_of_a_dataset(tmp_path):
    write_capture(tmp_path)
    message = error_of(tmp_path / "transforms.json")
    assert message.endswith(f"transforms.json: is not a folder, expected the folder of a dataset, {tmp_path}")
