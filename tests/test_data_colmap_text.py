"""COLMAP's text files as other programs and systems write them."""

import numpy as np
import pytest
from dataset_files import all_frames, colmap_center, numbered, write_colmap, write_photographs

from neurocity.data.load import load_scene
from neurocity.errors import DataError

NAMES = [f"{i:04}.png" for i in range(12)]


@pytest.fixture
def model(tmp_path):
    write_colmap(tmp_path, NAMES, points=9)
    write_photographs(tmp_path, numbered())
    return tmp_path / "sparse/0"


def check(model, points=9):
    scene = load_scene(model.parents[1])
    frames = all_frames(scene)
    assert sorted(frames) == NAMES
    for i, name in enumerate(NAMES):
        np.testing.assert_allclose(frames[name].camera.position, colmap_center(i), atol=1e-12)
    assert len(scene.points) == points


def change(path, edit):
    path.write_text(edit(path.read_text()))


FORMS = {
    "utf-8-sig": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "indented": lambda text: text.replace("\n", "  \n ").encode(),
    "latin-1 comment": lambda text: b"# fa\xe7ade\n" + text.encode(),
    "no line at the end": lambda text: text.rstrip("\n").encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_text_of_other_systems(model, form):
    for path in model.iterdir():
        path.write_bytes(FORMS[form](path.read_text()))
    check(model)


KEYPOINTS = {
    "some": lambda line: f"{line}\n10.5 20.5 -1 11.0 21.0 7",
    "left out": lambda line: line,
    "two empty lines": lambda line: f"{line}\n\n",
    "comments between": lambda line: f"{line}\n# points of the image\n10.5 20.5 3",
}


@pytest.mark.parametrize("style", KEYPOINTS)
def test_lines_of_keypoints(model, style):
    change(
        model / "images.txt",
        lambda text: "\n".join(KEYPOINTS[style](line) for line in text.splitlines() if line) + "\n",
    )
    check(model)


def test_names_with_blanks_and_numbers(tmp_path):
    names = [f"my photos {i} 7.png" for i in range(12)]
    write_colmap(tmp_path, names)
    images = tmp_path / "sparse/0/images.txt"
    change(images, lambda text: text.replace("\n\n", "\n"))
    write_photographs(tmp_path / "images", names)
    assert sorted(all_frames(load_scene(tmp_path))) == sorted(names)


def test_models_in_lower_case_and_sizes_as_decimals(model):
    (model / "cameras.txt").write_text("0 pinhole 48.0 36.0 40 40.5 24.5 17.5\n")
    check(model)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "cameras.txt",
            "0 PINHOLE 48 36 40 40 24\n",
            "line 1: malformed (PINHOLE takes 4 parameters (fx fy cx",
        ),
        (
            "cameras.txt",
            "\n0 PINHOLE 48.5 36 40 40 24 18\n",
            "line 2: malformed (camera 0 is 48.5x36.0 pixels",
        ),
        (
            "cameras.txt",
            "0, PINHOLE, 48, 36, 40, 40, 24, 18\n",
            "line 1: malformed (camera 0, has the unknown",
        ),
        (
            "cameras.txt",
            "0 PINHOLE\n",
            "line 1: malformed ('0 PINHOLE', expected CAMERA_ID MODEL WIDTH HEIGHT",
        ),
        (
            "images.txt",
            "# IMAGE\n0 1 0 0 0 1 2 3 0\n",
            "line 2: malformed ('0 1 0 0 0 1 2 3 0', expected IMAGE_ID",
        ),
        (
            "images.txt",
            "0 1 0 0 0 1 2 3 0 a.png\n\n1 1 0 x 0 1 2 3 0 b.png\n",
            "line 3: malformed (could not",
        ),
        ("points3D.txt", "1 2 3\n", "line 1: malformed ('1 2 3', expected POINT3D_ID X Y Z"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(model, file, text, message):
    (model / file).write_text(text)
    with pytest.raises(DataError) as caught:
        load_scene(model.parents[1])
    assert f"{file}: {message}" in str(caught.value)


def test_broken_utf_16_is_named(model):
    (model / "images.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"images.txt: is not text"):
        load_scene(model.parents[1])
