import json
import math

import numpy as np
import pytest
import trimesh
from dataset_files import HEIGHT, INTRINSICS, WIDTH, frames, pixels, pose, write_image, write_transforms

from neurocity.data.load import load_scene
from neurocity.errors import DataError
from neurocity.lenses import Lens


def first_camera(root):
    return load_scene(root).splits["test"][0].camera


def with_frames(**values):
    """Ten frames, each with `values` (called with the index if callable)."""
    return [
        {**frame, **{k: v(i) if callable(v) else v for k, v in values.items()}}
        for i, frame in enumerate(frames())
    ]


def error_of(root):
    with pytest.raises(DataError) as caught:
        load_scene(root)
    return str(caught.value)


def test_poses_intrinsics_and_pixels(tmp_path):
    scene = load_scene(write_transforms(tmp_path))
    names = [frame.name for frame in scene.splits["train"] + scene.splits["test"]]
    assert sorted(names) == [f"images/{i:03}.png" for i in range(10)]
    frame = scene.splits["train"][2]
    assert frame.name == "images/003.png"
    np.testing.assert_allclose(frame.camera.camera_to_world, pose(3), atol=1e-15)
    camera = frame.camera
    assert (camera.width, camera.height, camera.fl_x, camera.fl_y) == (WIDTH, HEIGHT, 10.0, 11.0)
    assert (camera.cx, camera.cy, camera.lens) == (6.5, 3.75, Lens())
    np.testing.assert_array_equal(frame.load_image()[..., :3], pixels(3))
    assert frame.load_mask() is None
    assert scene.unbounded


def test_every_eighth_sorted_frame_is_held_out(tmp_path):
    scene = load_scene(write_transforms(tmp_path, {"frames": frames()[::-1]}))
    assert [frame.name[-7:-4] for frame in scene.splits["test"]] == ["000", "008"]
    assert [frame.name[-7:-4] for frame in scene.splits["train"]] == [
        f"{i:03}" for i in (1, 2, 3, 4, 5, 6, 7, 9)
    ]
    assert scene.splits["val"] == scene.splits["test"]


def test_a_single_frame_is_trained_on(tmp_path):
    root = write_transforms(tmp_path, {"frames": frames(1), "aabb_scale": 1})
    assert {split: len(listed) for split, listed in load_scene(root).splits.items()} == {"train": 1}


def test_listed_splits(tmp_path):
    lists = {"train_filenames": ["images/004.png", "./images/001.png"], "test_filenames": ["images/007.png"]}
    scene = load_scene(write_transforms(tmp_path, lists))
    assert {split: [frame.name for frame in listed] for split, listed in scene.splits.items()} == {
        "train": ["images/001.png", "images/004.png"],
        "test": ["images/007.png"],
    }


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train_filenames": ["images/070.png"]}, "names 'images/070.png', which is not among `frames`"),
        ({"train_filenames": "images/007.png"}, "expected a list of names"),
        ({"test_filenames": [f"images/{i:03}.png" for i in range(10)]}, "no frames are left to train on"),
    ],
)
def test_wrong_lists(tmp_path, lists, message):
    assert message in error_of(write_transforms(tmp_path, lists))


def test_focal_length_precedence_is_that_of_instant_ngp(tmp_path):
    none = {"fl_x": None, "fl_y": None}
    camera = first_camera(write_transforms(tmp_path / "a", {"x_fov": 60.0}))
    assert camera.fl_x == pytest.approx(0.5 * WIDTH / math.tan(math.radians(30.0)))
    assert camera.fl_y == 11.0
    assert first_camera(write_transforms(tmp_path / "b", {"camera_angle_x": 1.0})).fl_x == 10.0
    camera = first_camera(write_transforms(tmp_path / "c", {**none, "camera_angle_y": 1.0}))
    assert camera.fl_x == camera.fl_y == pytest.approx(0.5 * HEIGHT / math.tan(0.5))
    camera = first_camera(write_transforms(tmp_path / "d", {**none, "camera_angle_x": 1.0, "fl_y": 7.0}))
    assert (camera.fl_x, camera.fl_y) == (pytest.approx(0.5 * WIDTH / math.tan(0.5)), 7.0)
    assert "no focal length" in error_of(write_transforms(tmp_path / "e", none))
    assert "180" in error_of(write_transforms(tmp_path / "f", {"x_fov": 190.0}))


def test_principal_point_defaults_to_the_centre_and_size_to_the_image(tmp_path):
    camera = first_camera(write_transforms(tmp_path, {"cx": None, "cy": None, "w": None, "h": None}))
    assert (camera.cx, camera.cy, camera.width, camera.height) == (WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)


def test_intrinsics_in_every_frame_with_mixed_sizes(tmp_path):
    none = dict.fromkeys(INTRINSICS)
    sizes = [(WIDTH + i, HEIGHT) for i in range(10)]
    entries = with_frames(
        w=lambda i: sizes[i][0], h=HEIGHT, fl_x=lambda i: 10.0 + i, fl_y=11.0, cx=6.0, cy=4.0
    )
    root = write_transforms(tmp_path, {**none, "frames": entries})
    for i, entry in enumerate(entries):
        write_image(root / entry["file_path"], pixels(i, size=sizes[i]))
    for frame in load_scene(root).splits["train"]:
        i = int(frame.name[-7:-4])
        assert (frame.camera.width, frame.camera.fl_x) == (WIDTH + i, 10.0 + i)


def test_values_of_some_frames_only_are_an_error(tmp_path):
    entries = frames()
    entries[3]["fl_x"] = 12.0
    message = error_of(write_transforms(tmp_path / "c", {"fl_x": None, "frames": entries}))
    assert "frame 'images/000.png': has no `fl_x`, but 1 of 10 frames have" in message


@pytest.mark.parametrize(
    ("keys", "lens"),
    [
        (
            {"k1": 0.1, "k2": 0.2, "k3": 0.3, "p1": 0.01, "p2": 0.02},
            Lens("OPENCV", (0.1, 0.2, 0.01, 0.02, 0.3)),
        ),
        ({"camera_model": "OPENCV", "k1": 0.1, "k4": 0.0}, Lens("OPENCV", (0.1, 0.0, 0.0, 0.0, 0.0))),
        ({"camera_model": "OPENCV", "k1": 0.0}, Lens()),
        ({"camera_model": "SIMPLE_PINHOLE"}, Lens()),
        ({"camera_model": "RADIAL", "k1": 0.1, "k2": 0.2}, Lens("OPENCV", (0.1, 0.2, 0.0, 0.0, 0.0))),
        ({"distortion_params": [0.1, 0.2, 0.3, 0, 0.01, 0.02]}, Lens("OPENCV", (0.1, 0.2, 0.01, 0.02, 0.3))),
        (
            {"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k2": 0.02, "k3": 0.003, "k4": 0.001},
            Lens("OPENCV_FISHEYE", (0.1, 0.02, 0.003, 0.001)),
        ),
        # colmap2nerf.py writes p1 and p2 into fisheye files too; k3 and k4 must survive that.
        (
            {"is_fisheye": True, "k1": 0.1, "k2": 0.02, "k3": 0.003, "k4": 0.001, "p1": 0, "p2": 0},
            Lens("OPENCV_FISHEYE", (0.1, 0.02, 0.003, 0.001)),
        ),
        ({"camera_model": "OPENCV_FISHEYE"}, Lens("OPENCV_FISHEYE", (0.0, 0.0, 0.0, 0.0))),
    ],
)
def test_lenses(tmp_path, keys, lens):
    assert first_camera(write_transforms(tmp_path, keys)).lens == lens


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"camera_model": "EQUIRECTANGULAR"},
            "'EQUIRECTANGULAR' is not supported, supported: SIMPLE_PINHOLE",
        ),
        ({"camera_model": "FISHEYE624"}, "'FISHEYE624' is not supported"),
        ({"camera_model": "OPENCV", "k4": 0.1}, "k4 = 0.1 is not supported with camera model OPENCV"),
        ({"k4": 0.1}, "k4 = 0.1 is not supported"),
        ({"camera_model": "PINHOLE", "k1": 0.1}, "which takes no distortion"),
        ({"camera_model": "OPENCV", "is_fisheye": True}, "`is_fisheye` contradicts"),
        ({"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "p1": 0.1}, "p1 = 0.1 is not supported"),
        (
            {"distortion_params": [0.1]},
            "`distortion_params` (k1 k2 k3 k4 p1 p2) has shape (1,), expected (6,)",
        ),
        ({"ftheta_p0": 1.0}, "`ftheta_p0` is 1.0, which is not supported"),
        ({"rolling_shutter": [0, 0, 0, 1]}, "`rolling_shutter`"),
        ({"k1": "much"}, "`k1` is 'much', expected a finite number"),
        ({"fl_x": 0.0, "fl_y": 0.0}, "fl_x is 0.0, expected a finite positive"),
        ({"w": 24}, "000.png is 12x8 pixels, `w` and `h` say 24x8"),
        ({"w": 12.5}, "`w` is 12.5, expected a whole number"),
    ],
)
def test_unsupported_or_wrong_intrinsics_name_the_frame(tmp_path, keys, message):
    text = error_of(write_transforms(tmp_path, keys))
    assert "transforms.json: frame 'images/000.png': " in text
    assert message in text


def test_rolling_shutter_of_zeros_is_none(tmp_path):
    assert len(load_scene(write_transforms(tmp_path, {"rolling_shutter": [0, 0, 0, 0]})).splits["train"]) == 8


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (None, "has no pose, expected `transform_matrix`"),
        ([[1, 0], [0, 1]], "has shape (2, 2), expected (4, 4)"),
        ([["a"] * 4] * 4, "expected numbers"),
        (np.diag([0.01, 0.01, 0.01, 1]).tolist(), "scaled by 0.01 (as in raw MatrixCity"),
        (np.diag([1.0, 1.0, 1.0, np.nan]).tolist(), "not finite"),
        (np.diag([1, 1, -1, 1]).tolist(), "reflection"),
    ],
)
def test_wrong_poses_name_the_frame(tmp_path, matrix, message):
    entries = frames()
    entries[4]["transform_matrix"] = matrix
    text = error_of(write_transforms(tmp_path, {"frames": entries}))
    assert "transforms.json: frame 'images/004.png'" in text
    assert message in text


def test_raw_matrixcity_files_are_recognised(tmp_path):
    entries = frames()
    entries[0]["rot_mat"] = entries[0].pop("transform_matrix")
    assert "`rot_mat` (raw MatrixCity)" in error_of(write_transforms(tmp_path, {"frames": entries}))


def test_poses_of_three_rows(tmp_path):
    entries = with_frames(transform_matrix=lambda i: pose(i)[:3].tolist())
    camera = first_camera(write_transforms(tmp_path, {"frames": entries}))
    np.testing.assert_allclose(camera.camera_to_world, pose(0), atol=1e-15)


def test_malformed_documents_name_file_and_line(tmp_path):
    root = write_transforms(tmp_path)
    (root / "transforms.json").write_text('{"w": 12,\n"h": 8,\n"frames": [}')
    assert "transforms.json: line 3: not valid JSON" in error_of(root)
    for text, message in (
        ("[]", "expected an object with a list `frames`"),
        ('{"frames": {"0": 1}}', "expected an object with a list `frames`"),
        ('{"frames": []}', "`frames` is empty"),
        ('{"frames": [{"transform_matrix": []}]}', "frame 0 has no `file_path`"),
        ('{"frames": [{"file_path": "a"}, {"file_path": "a"}]}', "frame 'a' stands there 2 times"),
    ):
        (root / "transforms.json").write_text(text)
        assert message in error_of(root)
    (root / "transforms.json").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in error_of(root)


def test_masks_are_apart_from_alpha(tmp_path):
    entries = with_frames(mask_path=lambda i: f"masks/{i:03}.png")
    root = write_transforms(tmp_path, {"frames": entries})
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:5, 3:9] = 255
    for i in range(10):
        write_image(root / f"masks/{i:03}.png", mask)
    frame = load_scene(root).splits["train"][0]
    np.testing.assert_array_equal(frame.load_mask(), mask > 0)
    assert (frame.load_image()[..., 3] == 255).all()
    assert load_scene(root, downscale=2).splits["train"][0].load_mask().shape == (HEIGHT // 2, WIDTH // 2)
    write_image(root / "masks/001.png", mask[:4])
    with pytest.raises(DataError, match=r"masks/001.png: frame 'images/001.png': is 12x4 pixels"):
        load_scene(root).splits["train"][0].load_mask()


def test_masks_that_are_not_there_are_an_error(tmp_path):
    entries = with_frames(mask_path=lambda i: f"masks/{i:03}.png")
    assert "frame 'images/000.png': `mask_path`" in error_of(write_transforms(tmp_path, {"frames": entries}))


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_sparse_points(tmp_path, encoding):
    points = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    root = write_transforms(tmp_path, {"ply_file_path": "sparse_pc.ply"})
    scene = load_scene(root)
    assert scene.points is None
    assert any("sparse_pc.ply: sparse points are missing" in remark for remark in scene.remarks)
    trimesh.PointCloud(points).export(root / "sparse_pc.ply", encoding=encoding)
    np.testing.assert_allclose(load_scene(root).points, points, atol=1e-6)
    (root / "sparse_pc.ply").write_text("ply\nformat ascii 1.0\nelement vertex 3\n")
    assert "sparse_pc.ply: sparse points cannot be read" in error_of(root)


def test_boxes_of_instant_ngp(tmp_path):
    half = 0.5 / 0.33
    root = write_transforms(tmp_path / "a", {"aabb_scale": 4})
    np.testing.assert_allclose(load_scene(root).bounds, [-half] * 3 + [half] * 3)
    np.testing.assert_allclose(load_scene(root, unbounded=False).bounds, [-4 * half] * 3 + [4 * half] * 3)
    # With scale 0.25 and offset (0.5, 0.25, 0) the unit cube is centred on (0, 1, 2), with half a side of 2.
    root = write_transforms(tmp_path / "b", {"aabb_scale": 1, "scale": 0.25, "offset": [0.5, 0.25, 0.0]})
    np.testing.assert_allclose(load_scene(root).bounds, (-2, -1, 0, 2, 3, 4))
    root = write_transforms(tmp_path / "c", {"aabb": [[0, 0, 0], [2, 4, 6]], "aabb_scale": 2})
    np.testing.assert_allclose(load_scene(root, unbounded=False).bounds, (-1, -2, -3, 3, 6, 9))
    for wrong in ({"aabb": [[0, 0, 0], [0, 1, 1]]}, {"aabb_scale": 0}, {"aabb_scale": 1, "scale": 0}):
        assert "transforms.json: " in error_of(write_transforms(tmp_path / "d", wrong))


def test_up(tmp_path):
    assert load_scene(write_transforms(tmp_path / "a")).up == (0.0, 0.0, 1.0)
    assert load_scene(write_transforms(tmp_path / "b", {"up": [0, 2, 0]})).up == (0.0, 1.0, 0.0)
    assert "expected a direction" in error_of(write_transforms(tmp_path / "c", {"up": [0, 0, 0]}))


def test_images_without_extension(tmp_path):
    entries = with_frames(file_path=lambda i: f"images/{i:03}")
    (tmp_path / "x").mkdir()
    root = write_transforms(tmp_path, {})
    document = json.loads((root / "transforms.json").read_text())
    (root / "transforms.json").write_text(json.dumps({**document, "frames": entries}))
    assert load_scene(root).splits["train"][0].image_path == root / "images/001.png"


def test_mixed_sizes_under_global_intrinsics(tmp_path):
    root = write_transforms(tmp_path, {"w": None, "h": None})
    write_image(root / "images/005.png", pixels(size=(6, 4)))
    assert "frame 'images/005.png': image is 6x4 pixels, that of frame 'images/000.png' is 12x8" in error_of(
        root
    )


def test_empty_lists_are_as_none(tmp_path):
    names = [f"images/{i:03}.png" for i in range(10)]
    lists = {"train_filenames": names[:8], "val_filenames": names[8:], "test_filenames": []}
    scene = load_scene(write_transforms(tmp_path / "a", lists))
    assert [frame.name for frame in scene.held_out] == names[8:]
    lists = {"train_filenames": names, "val_filenames": [], "test_filenames": []}
    scene = load_scene(write_transforms(tmp_path / "b", lists))
    assert [frame.name for frame in scene.held_out] == [names[0], names[8]]
    assert scene.remarks == ("the dataset holds no frames out; every eighth by name is, 2 of 10",)
    scene = load_scene(write_transforms(tmp_path / "c", {key: [] for key in lists}))
    assert [frame.name for frame in scene.held_out] == [names[0], names[8]]


def test_lists_without_train_train_on_the_rest(tmp_path):
    scene = load_scene(write_transforms(tmp_path, {"test_filenames": ["images/007.png"]}))
    assert [frame.name for frame in scene.held_out] == ["images/007.png"]
    assert len(scene.splits["train"]) == 9


def test_frames_of_no_list_and_of_two_are_said(tmp_path):
    lists = {"train_filenames": ["001.png", "images/002.png"], "val_filenames": ["images\\002.png"]}
    scene = load_scene(write_transforms(tmp_path, lists))
    assert [frame.name for frame in scene.splits["train"]] == ["images/001.png", "images/002.png"]
    assert [frame.name for frame in scene.held_out] == ["images/002.png"]
    assert any("1 frames of `val_filenames` are trained on, too" in remark for remark in scene.remarks)
    assert any("8 of 10 frames are in no list, and are left out" in remark for remark in scene.remarks)


def test_depth_is_not_needed(tmp_path):
    entries = with_frames(depth_file_path=lambda i: f"depth/{i}.png")
    entries[3]["depth_path"] = "depth/3.exr"
    assert len(load_scene(write_transforms(tmp_path, {"frames": entries})).splits["train"]) == 8


def test_points_that_are_not_finite_are_left_out(tmp_path):
    points = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    points[4, 1] = np.nan
    root = write_transforms(tmp_path, {"ply_file_path": "sparse_pc.ply"})
    trimesh.PointCloud(points).export(root / "sparse_pc.ply", encoding="ascii")
    scene = load_scene(root)
    np.testing.assert_allclose(scene.points, np.delete(points, 4, 0), atol=1e-6)
    assert any("sparse_pc.ply: 1 of 30 sparse points are not finite" in remark for remark in scene.remarks)
