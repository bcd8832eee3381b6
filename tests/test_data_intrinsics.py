"""Intrinsics and lenses under the names, and at the levels, at which programs write them."""

import numpy as np
import pytest
from dataset_files import CAPTURE, all_frames, named, numbered, pose, write_capture, write_photographs

from neurocity.data.load import load_scene
from neurocity.errors import DataError
from neurocity.lenses import Lens

NONE = dict.fromkeys(("fl_x", "fl_y", "cx", "cy"))


def cameras(root, document=None, file="transforms.json"):
    write_capture(root, document, file=file)
    write_photographs(root, numbered())
    return {int(name[-8:-4]): frame.camera for name, frame in all_frames(load_scene(root)).items()}


def error_of(root, document):
    with pytest.raises(DataError) as caught:
        cameras(root, document)
    return str(caught.value)


def test_intrinsics_of_a_frame_win_over_those_at_top_level(tmp_path):
    entries = named(
        numbered(),
        fl_x=lambda i: 40 + 0.37 * i,
        fl_y=lambda i: 40 + 0.37 * i,
        cx=lambda i: 24 + 0.1 * i,
        cy=lambda i: 18 - 0.05 * i,
    )
    found = cameras(tmp_path, {"fl_x": 40.0, "fl_y": 40.0, "cx": 24.0, "cy": 18.0, "frames": entries})
    assert len(found) == 12
    for i, camera in found.items():
        assert (camera.fl_x, camera.fl_y, camera.cx, camera.cy) == (
            40 + 0.37 * i,
            40 + 0.37 * i,
            24 + 0.1 * i,
            18 - 0.05 * i,
        )


def test_any_focal_length_of_a_frame_wins_over_any_at_top_level(tmp_path):
    entries = named(numbered(), fl_x=lambda i: 30.0 + i)
    found = cameras(tmp_path, {"x_fov": 60.0, "camera_angle_y": 1.0, "frames": entries})
    assert [(camera.fl_x, camera.fl_y) for camera in found.values()] == [(30.0 + i, 30.0 + i) for i in found]


def test_lens_of_a_frame_wins_over_that_at_top_level(tmp_path):
    entries = named(numbered())
    entries[3] |= {"k1": 0.2, "p1": 0.01}
    entries[4] |= {"distortion_params": [0.3, 0, 0, 0, 0, 0]}
    entries[5] |= {"camera_model": "OPENCV_FISHEYE"}
    found = cameras(tmp_path, {"camera_model": "OPENCV", "k1": 0.1, "k2": 0.02, "frames": entries})
    assert found[2].lens == Lens("OPENCV", (0.1, 0.02, 0.0, 0.0, 0.0))
    assert found[3].lens == Lens("OPENCV", (0.2, 0.02, 0.01, 0.0, 0.0))
    assert found[4].lens == Lens("OPENCV", (0.3, 0.0, 0.0, 0.0, 0.0))
    assert found[5].lens == Lens("OPENCV_FISHEYE", (0.1, 0.02, 0.0, 0.0))


MATRIX = [[41.0, 0.0, 23.0], [0.0, 42.0, 19.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "keys",
    [
        {"fx": 41.0, "fy": 42.0, "cx": 23.0, "cy": 19.0},
        {"K": MATRIX},
        {"K": [value for row in MATRIX for value in row]},
        {"intrinsic_matrix": [[*row, 0.0] for row in MATRIX] + [[0.0, 0.0, 0.0, 1.0]]},
        {"intrinsics": [41.0, 42.0, 23.0, 19.0]},
    ],
)
@pytest.mark.parametrize("level", ["top", "frame"])
@pytest.mark.parametrize("file", ["transforms.json", "transforms_train.json"])
def test_other_names(tmp_path, keys, level, file):
    document = {**NONE, **keys} if level == "top" else {**NONE, "frames": named(numbered(), **keys)}
    for camera in cameras(tmp_path, document, file).values():
        assert (camera.fl_x, camera.fl_y, camera.cx, camera.cy) == (41.0, 42.0, 23.0, 19.0)
    assert load_scene(tmp_path).unbounded


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"K": [[41.0, 0.5, 23.0], *MATRIX[1:]]}, "`K` has a skew of 0.5, which is not supported; undistort"),
        ({"K": [[41.0, 0.0], [0.0, 42.0]]}, "`K` has shape (2, 2), expected (3, 3)"),
        ({"K": list(zip(*MATRIX, strict=True))}, "expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]"),
        ({"fx": "far"}, "`fx` is 'far', expected a finite number"),
    ],
)
def test_matrices_that_are_not_understood(tmp_path, keys, message):
    assert message in error_of(tmp_path, {**NONE, "frames": named(numbered(), **keys)})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("k5", 0.01),
        ("p3", 0.01),
        ("s1", 0.01),
        ("sx1", 0.01),
        ("b1", 2.0),
        ("skew", 0.5),
        ("omega", 0.9),
        ("xi", 1.2),
        ("distortion", [0.1, 0.0, 0.0, 0.0, 0.0]),
        ("dist_coeffs", [[0.1, 0.0]]),
        ("distortion_coefficients", {"k1": 0.1}),
        ("radial_distortion", [0.1]),
    ],
)
@pytest.mark.parametrize("level", ["top", "frame"])
def test_lens_coefficients_that_are_not_understood_are_refused_by_name(tmp_path, key, value, level):
    zero = np.zeros(np.shape(value)).tolist() if not isinstance(value, dict) else {"k1": 0}
    assert len(cameras(tmp_path, {key: zero})) == 12
    document = {key: value} if level == "top" else {"frames": named(numbered(), **{key: value})}
    message = error_of(tmp_path, document)
    assert "frame 'images/0000.png': " in message
    assert f"`{key}` is {value!r}, a lens coefficient that is not read; read are k1, k2" in message
    assert "undistort the images first" in message


def test_what_only_sounds_like_a_lens_is_ignored(tmp_path):
    assert len(cameras(tmp_path, {"lens": "24 mm", "distortion_model": "brown", "sharpness": 3.0})) == 12


def test_a_fourth_coefficient_is_refused_with_the_way_out(tmp_path):
    message = error_of(tmp_path, {"camera_model": "OPENCV", "frames": named(numbered(), k1=0.01, k4=0.0007)})
    assert "k4 = 0.0007 is not supported with camera model OPENCV" in message
    assert "undistort the images first, or export a lens without it (OPENCV with k1 k2 p1 p2 k3" in message


@pytest.mark.parametrize("last", [0.00118, 0.0, -1.0, 2.0])
def test_a_last_row_that_scales_nothing_is_not_looked_at(tmp_path, last):
    entries = named(numbered())
    for entry in entries:
        entry["transform_matrix"][3] = [0.0, 0.0, 0.0, last]
    found = cameras(tmp_path, {"frames": entries})
    for i, camera in found.items():
        np.testing.assert_allclose(camera.camera_to_world, pose(i), atol=1e-12)
    (remark,) = [remark for remark in load_scene(tmp_path).remarks if "poses end in a row" in remark]
    assert f"(12 frames; the first: [0.0, 0.0, 0.0, {last}] of 'images/0000.png')" in remark


def test_homogeneous_poses_are_divided(tmp_path):
    entries = named(numbered())
    for entry in entries:
        entry["transform_matrix"] = (2.5 * np.array(entry["transform_matrix"])).tolist()
    for i, camera in cameras(tmp_path, {"frames": entries}).items():
        np.testing.assert_allclose(camera.camera_to_world, pose(i), atol=1e-12)
    assert any("divided by its last number" in remark for remark in load_scene(tmp_path).remarks)


def test_a_size_of_one_axis_alone(tmp_path):
    camera = cameras(tmp_path, {"w": 96, "h": None, "fl_x": 80.0, "fl_y": 80.0, "cx": None, "cy": None})[1]
    assert (camera.width, camera.height, camera.fl_x, camera.cx, camera.cy) == (48, 36, 40.0, 24.0, 18.0)
    assert cameras(tmp_path, {"w": None})[1].fl_x == CAPTURE["fl_x"]


def test_lenses_and_sizes_of_each_frame_are_those_of_pycolmap(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    entries = named(numbered(), w=lambda i: 48 - 12 * (i % 2), h=lambda i: 36 + 12 * (i % 2), fl_x=50.0)
    for i, entry in enumerate(entries):
        entry |= {"fl_y": 51.0 + i, "cx": 0.5 * entry["w"] + 0.3 * i, "cy": 0.5 * entry["h"], "k1": 0.01 * i}
        entry["camera_model"] = "OPENCV_FISHEYE" if i % 3 == 0 else "OPENCV"
        entry["k2"] = 0.003
        entry["k3" if i % 3 == 0 else "p1"] = 0.002
    write_capture(tmp_path, {**dict.fromkeys(CAPTURE), "frames": entries})
    for entry in entries:
        write_photographs(tmp_path, [entry["file_path"]], (entry["w"], entry["h"]))
    frames = all_frames(load_scene(tmp_path))
    for i, entry in enumerate(entries):
        last = [entry.get("k3", 0.0), 0.0] if i % 3 == 0 else [entry.get("p1", 0.0), 0.0]
        keys = ("fl_x", "fl_y", "cx", "cy", "k1", "k2")
        oracle = pycolmap.Camera(
            model=entry["camera_model"],
            width=entry["w"],
            height=entry["h"],
            params=[*(entry[key] for key in keys), *last],
        )
        centers = np.array([(x + 0.5, y + 0.5) for y in range(entry["h"]) for x in range(entry["w"])])
        expected = oracle.cam_ray_from_img(centers) * (1.0, -1.0, -1.0)
        found = frames[entry["file_path"]].camera.camera_directions()
        np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pose: np.diag([2.5, 2.5, 2.5, 1.0]) @ pose, "a rotation scaled by 2.5"),
        (lambda _: np.full((4, 4), -np.inf), "has a value that is not finite"),
    ],
)
def test_poses_that_are_none_name_the_frame(tmp_path, change, message):
    entries = named(numbered())
    entries[4]["transform_matrix"] = change(pose(4)).tolist()
    text = error_of(tmp_path, {"frames": entries})
    assert "transforms.json: frame 'images/0004.png': " in text
    assert message in text


def test_degrees_instead_of_radians_are_refused(tmp_path):
    assert "field of view in x is 2864.79 degrees" in error_of(tmp_path, {**NONE, "camera_angle_x": 50.0})
