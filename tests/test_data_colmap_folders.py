"""Which of several models is read, and where models, points and images may lie."""

import os

import numpy as np
import pytest
import trimesh
from dataset_files import all_frames, colmap_center, numbered, write_colmap, write_photographs

from neurocity.data.load import load_scene
from neurocity.errors import DataError

NAMES = [f"{i:04}.png" for i in range(12)]


def check(scene, first=0):
    for name, frame in all_frames(scene).items():
        center = colmap_center(int(name[:4]) - first)
        np.testing.assert_allclose(frame.camera.position, center, atol=1e-12)


def test_the_model_with_the_most_images_is_read(tmp_path):
    write_colmap(tmp_path, NAMES[:2], folder="sparse/0", points=20)
    write_colmap(tmp_path, NAMES[2:], folder="sparse/1", points=30)
    write_photographs(tmp_path, numbered())
    scene = load_scene(tmp_path)
    assert sorted(all_frames(scene)) == NAMES[2:]
    check(scene, 2)
    assert len(scene.points) == 30
    assert "sparse/1 is read, the model with the most images (10); sparse/0 has 2" in scene.remarks


def test_models_are_counted_by_the_heads_of_binary_files(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    for number, images in ((0, NAMES[:2]), (1, NAMES[2:])):
        folder = write_colmap(tmp_path, images, folder=f"sparse/{number}") / f"sparse/{number}"
        pycolmap.Reconstruction(folder).write_binary(folder)
        for path in folder.glob("*.txt"):
            path.unlink()
    write_photographs(tmp_path, numbered())
    scene = load_scene(tmp_path)
    assert sorted(all_frames(scene)) == NAMES[2:]
    check(scene, 2)


def test_a_lone_model_of_another_number_is_read(tmp_path):
    write_colmap(tmp_path, NAMES, folder="sparse/1")
    write_photographs(tmp_path, numbered())
    scene = load_scene(tmp_path)
    assert len(all_frames(scene)) == 12
    assert not any("model with the most" in remark for remark in scene.remarks)


@pytest.mark.parametrize(
    ("model", "images"),
    [
        ("sparse", "images"),
        ("colmap/sparse/0", "images"),
        ("colmap_sparse/0", "images"),
        ("colmap_text", "images"),
        ("colmap/sparse/0", "colmap/images"),
        ("dense/sparse", "dense/images"),
        ("dense/0/sparse", "dense/0/images"),
        ("undistorted/sparse/0", "undistorted/images"),
        ("", "images"),
        ("", ""),
        ("sparse/0", "rgb"),
        ("sparse/0", "input"),
        ("sparse/0", "."),
        ("sparse/0", "images/images"),
    ],
)
def test_places_of_models_and_images(tmp_path, model, images):
    write_colmap(tmp_path, NAMES, folder=model)
    write_photographs(tmp_path / images, NAMES)
    scene = load_scene(tmp_path)
    assert sorted(all_frames(scene)) == NAMES
    check(scene)


def test_of_two_places_that_with_images_is_read(tmp_path):
    write_colmap(tmp_path, NAMES[:8], "PINHOLE 480 360 40 40 24 18", folder="sparse/0")
    write_colmap(tmp_path, NAMES[4:], folder="dense/0/sparse")
    write_photographs(tmp_path / "dense/0/images", NAMES)
    scene = load_scene(tmp_path)
    assert sorted(all_frames(scene)) == NAMES[4:]
    check(scene, 4)


def test_cameras_with_images_of_the_same_names(tmp_path):
    names = [f"cam{i % 2}/{i // 2:04}.png" for i in range(12)]
    write_colmap(tmp_path, names)
    write_photographs(tmp_path / "images", names)
    frames = all_frames(load_scene(tmp_path))
    assert {name: frame.image_path for name, frame in frames.items()} == {
        name: tmp_path / "images" / name for name in names
    }


def test_points_may_be_absent(tmp_path):
    write_colmap(tmp_path, NAMES, points=None)
    write_photographs(tmp_path, numbered())
    scene = load_scene(tmp_path)
    assert len(all_frames(scene)) == 12
    assert scene.points is None
    assert any("has no sparse points" in remark for remark in scene.remarks)


def test_points_may_be_a_ply(tmp_path):
    points = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    write_colmap(tmp_path, NAMES, points=None)
    write_photographs(tmp_path, numbered())
    trimesh.PointCloud(points).export(tmp_path / "sparse/0/points3D.ply", encoding="ascii")
    np.testing.assert_allclose(load_scene(tmp_path).points, points, atol=1e-6)


def test_points_that_are_not_finite_are_left_out(tmp_path):
    write_colmap(tmp_path, NAMES, points=20)
    write_photographs(tmp_path, numbered())
    with (tmp_path / "sparse/0/points3D.txt").open("a") as file:
        file.write("90 nan 0 0 0 0 0 1\n91 0 inf 0 0 0 0 1\n")
    scene = load_scene(tmp_path)
    np.testing.assert_allclose(scene.points, np.arange(20)[:, None] * (0.1, 0.2, 0.3))
    assert any("points3D.txt: 2 of 22 sparse points are not finite" in remark for remark in scene.remarks)


def test_text_that_is_newer_than_the_binary_files_is_said(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    folder = write_colmap(tmp_path, NAMES) / "sparse/0"
    pycolmap.Reconstruction(folder).write_binary(folder)
    write_photographs(tmp_path, numbered())
    for age, said in ((0, False), (60, True)):
        for path in folder.glob("*.bin"):
            os.utime(path, (path.stat().st_atime, (folder / "images.txt").stat().st_mtime - age))
        remarks = load_scene(tmp_path).remarks
        assert (
            any("images.txt is newer than images.bin, which is read" in remark for remark in remarks) == said
        )


def test_a_dataset_one_folder_below_is_pointed_out(tmp_path):
    write_colmap(tmp_path / "scene", NAMES)
    with pytest.raises(DataError, match=r"no dataset found; .*; there is one in .*/scene$"):
        load_scene(tmp_path)
