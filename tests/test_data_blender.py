import json
import math

import numpy as np
import pytest
import trimesh
from dataset_files import HEIGHT, WIDTH, pixels, pose, write_blender, write_image

from neurocity.data.load import load_scene
from neurocity.errors import DataError


def change(root, split, **values):
    """Overwrite keys of a split file; a value of None removes the key."""
    path = root / f"transforms_{split}.json"
    data = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def test_poses_intrinsics_and_pixels(tmp_path):
    scene = load_scene(write_blender(tmp_path))
    assert {split: len(frames) for split, frames in scene.splits.items()} == {"train": 3, "val": 3, "test": 3}
    frame = scene.splits["val"][1]
    assert frame.name == "val/001"
    np.testing.assert_allclose(frame.camera.camera_to_world, pose(4), atol=1e-15)
    assert frame.camera.fl_x == frame.camera.fl_y == pytest.approx(0.5 * WIDTH / math.tan(0.4))
    assert (frame.camera.cx, frame.camera.cy) == (WIDTH / 2, HEIGHT / 2)
    np.testing.assert_array_equal(frame.load_image(), pixels(11, 4))
    assert scene.bounds == (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
    assert scene.up == (0.0, 0.0, 1.0)
    assert not scene.unbounded
    assert scene.held_out == scene.splits["test"]


def test_missing_val_or_test_are_fine_and_missing_train_is_not(tmp_path):
    scene = load_scene(write_blender(tmp_path / "a", ("train",)))
    assert [frame.name for frame in scene.held_out] == ["train/000"]
    assert [frame.name for frame in scene.splits["train"]] == ["train/001", "train/002"]
    assert scene.remarks == ("the dataset holds no frames out; every eighth by name is, 1 of 3",)
    scene = load_scene(write_blender(tmp_path / "b", ("train", "val")))
    assert scene.held_out == scene.splits["val"]
    with pytest.raises(DataError, match=r"transforms_train.json is missing"):
        load_scene(write_blender(tmp_path / "c", ("test",)))


def test_synthetic_without_alpha_is_still_bounded(tmp_path):
    assert not load_scene(write_blender(tmp_path, channels=3)).unbounded


def test_split_files_with_pixel_intrinsics_are_not_taken_for_synthetic(tmp_path):
    root = write_blender(tmp_path, channels=3)
    for split in ("train", "val", "test"):
        change(root, split, camera_angle_x=None, fl_x=9.0, w=WIDTH, h=HEIGHT)
    scene = load_scene(root)
    assert scene.unbounded
    assert scene.bounds != (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
    assert scene.splits["train"][0].camera.fl_x == 9.0


def test_declared_box_wins_over_the_conventional_one(tmp_path):
    root = write_blender(tmp_path)
    change(root, "train", aabb=[[-1, -2, -3], [1, 2, 3]])
    assert load_scene(root).bounds == (-1, -2, -3, 1, 2, 3)


def test_mixed_sizes_name_the_frame(tmp_path):
    root = write_blender(tmp_path)
    write_image(root / "train/002.png", pixels(size=(6, 4)))
    with pytest.raises(DataError, match=r"transforms_train.json: frame './train/002': image is 6x4 .* 12x8"):
        load_scene(root)


def test_missing_image_names_file_and_frame(tmp_path):
    root = write_blender(tmp_path)
    (root / "test/001.png").unlink()
    with pytest.raises(
        DataError, match=r"transforms_test.json: frame './test/001': .*test/001: image is missing"
    ):
        load_scene(root)


def test_image_that_breaks_after_loading_the_scene_names_the_frame(tmp_path):
    root = write_blender(tmp_path)
    frame = load_scene(root).splits["train"][0]
    frame.image_path.write_bytes(frame.image_path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"frame 'train/000': .*train/000.png: image cannot be read"):
        frame.load_image()
    write_image(frame.image_path, pixels(size=(6, 4)))
    with pytest.raises(DataError, match=r"frame 'train/000': is 6x4 pixels"):
        frame.load_image()


def test_lego(lego_200):
    scene = load_scene(lego_200)
    assert {split: len(frames) for split, frames in scene.splits.items()} == {
        "train": 90,
        "val": 10,
        "test": 10,
    }
    cameras = [frame.camera for frames in scene.splits.values() for frame in frames]
    assert {(camera.width, camera.height) for camera in cameras} == {(200, 200)}
    assert cameras[0].fl_x == pytest.approx(277.7778, abs=1e-3)
    np.testing.assert_allclose([np.linalg.norm(camera.position) for camera in cameras], 4.0311, atol=1e-3)
    # Every camera looks at the model: the box's centre projects near the image's centre.
    centers = np.array([camera.project(np.zeros((1, 3)))[0][0] for camera in cameras])
    np.testing.assert_allclose(centers, 100.0, atol=1.0)
    assert not scene.unbounded
    image = scene.splits["train"][0].load_image()
    assert image.shape == (200, 200, 4)
    assert 0.05 < (image[..., 3] > 0).mean() < 0.8


def test_lego_downscaled_is_close_to_the_smaller_lego(lego_200, lego_400):
    small = load_scene(lego_200).splits["test"][0]
    scaled = load_scene(lego_400, downscale=2).splits["test"][0]
    assert scaled.camera.fl_x == pytest.approx(small.camera.fl_x)
    white = [
        image[..., :3] * (image[..., 3:] / 255.0) + 255.0 - image[..., 3:]
        for image in (small.load_image(), scaled.load_image())
    ]
    assert np.abs(white[0] - white[1]).mean() < 0.5


def test_points_and_up_of_split_files(tmp_path):
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (300, 3))
    root = write_blender(tmp_path, channels=3)
    for split in ("train", "val", "test"):
        change(root, split, fl_x=9.0, ply_file_path="sparse_pc.ply", up=[0, 1, 0])
    trimesh.PointCloud(points).export(root / "sparse_pc.ply")
    scene = load_scene(root)
    np.testing.assert_allclose(scene.points, points, atol=1e-6)
    assert scene.up == (0.0, 1.0, 0.0)
    inner = np.array(load_scene(root, unbounded=False).bounds)
    np.testing.assert_allclose(inner, np.repeat([-1.1, 1.1], 3), atol=0.05)
