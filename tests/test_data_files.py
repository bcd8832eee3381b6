"""Images under names that other programs and systems wrote; the right image is told by its pixels."""

import json
import struct
import unicodedata

import numpy as np
import pytest
from dataset_files import (
    all_frames,
    check_pixels,
    colmap_center,
    loading_error,
    named,
    numbered,
    write_capture,
    write_colmap,
    write_image,
    write_photographs,
)

from neurocity.data.load import load_scene

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
    assert "image is missing (1 of 12)" in loading_error(tmp_path)


def test_folders_that_a_name_does_not_tell_of(tmp_path):
    write_capture(tmp_path)
    for folder in ("masks", "depth", "normal_maps", "images_2"):
        write_photographs(tmp_path, numbered(folder), (4, 3))
    assert "images_2; with --downscale 2" in loading_error(tmp_path)
    (tmp_path / "images_2").rename(tmp_path / "semantics")
    assert "image is missing" in loading_error(tmp_path)
    write_photographs(tmp_path, numbered("left"))
    check_pixels(load_scene(tmp_path))
    write_photographs(tmp_path, numbered("right"))
    message = loading_error(tmp_path)
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
    message = loading_error(tmp_path)
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
    assert "images/0000.png, and so is that of 'cam0/images/0000.png'" in loading_error(tmp_path)


def test_poses_of_another_folder_do_not_take_images_of_the_same_name(tmp_path):
    write_capture(tmp_path, {"frames": named(numbered("test"))})
    write_photographs(tmp_path, numbered("images"))
    assert "frame 'test/0000.png'" in loading_error(tmp_path)


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
    assert "image is missing (1 of 12)" in loading_error(tmp_path)


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


def test_blanks_brackets_and_accents(tmp_path):
    names = [f"Straße (oben)/IMG [{i:04}] é.png" for i in range(12)]
    write_capture(tmp_path / "a", {"frames": named([f"images/{name}" for name in names])})
    write_colmap(tmp_path / "b", names)
    for root in (tmp_path / "a", tmp_path / "b"):
        write_photographs(root / "images", names)
        check_pixels(load_scene(root))
