"""The LLFF reader: rows are made from world-to-camera poses as LLFF makes them from COLMAP's."""

import numpy as np
import pytest
from dataset_files import HEIGHT, WIDTH, pixels, write_image
from ray_oracle import all_frames, assert_rays_hit_their_pixels, rotation

from neurocity.data.load import load_scene
from neurocity.errors import DataError

FOCAL = 10.0


def world_to_camera(index):
    """OpenCV axes: cameras side by side that look along +y, each turned a little."""
    look_along_y = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    turned = rotation((0.3, 1.0, 0.2), 0.05 * index) @ look_along_y
    return turned, -turned @ np.array([0.4 * index, -2.0, 0.1 * index])


def row(index, size=(WIDTH, HEIGHT), focal=FOCAL, depths=(2.0, 20.0)):
    """3x5, row by row: down, right, backward, centre, (height, width, focal); then near and far."""
    turn, move = world_to_camera(index)
    right, down, forward = turn
    matrix = np.stack([down, right, -forward, -turn.T @ move, (size[1], size[0], focal)], 1)
    return [*matrix.ravel(), *depths]


def project(index, focal=FOCAL, size=(WIDTH, HEIGHT)):
    turn, move = world_to_camera(index)

    def pixel(points):
        camera = points @ turn.T + move
        return focal * camera[:, :2] / camera[:, 2:] + 0.5 * np.array(size)

    return pixel


def write(root, count=9, folder="images", size=(WIDTH, HEIGHT), rows=None):
    for i in range(count):
        write_image(root / folder / f"IMG_{i:02}.png", pixels(i, size=size))
    array = np.array([row(i) for i in range(count)] if rows is None else rows)
    np.save(root / "poses_bounds.npy", array)
    return root


def test_every_ray_hits_its_pixel(tmp_path):
    write(tmp_path)
    (tmp_path / "images/._IMG_00.png").write_bytes(b"what macOS leaves")
    (tmp_path / "images/notes.txt").write_text("no image")
    frames = all_frames(load_scene(tmp_path))
    assert sorted(frames) == [f"IMG_{i:02}.png" for i in range(9)]
    for i, name in enumerate(sorted(frames)):
        assert_rays_hit_their_pixels(frames[name].camera, project(i))
        np.testing.assert_array_equal(frames[name].load_image()[..., :3], pixels(i))


def test_smaller_images_scale_the_intrinsics(tmp_path):
    camera = load_scene(write(tmp_path, size=(6, 4))).splits["train"][0].camera
    assert (camera.width, camera.height, camera.fl_x, camera.cx, camera.cy) == (6, 4, FOCAL / 2, 3.0, 2.0)
    assert_rays_hit_their_pixels(camera, project(1, FOCAL / 2, (6, 4)))


def test_a_folder_of_small_images_alone_needs_its_number(tmp_path):
    write(tmp_path, folder="images_4", size=(3, 2))
    with pytest.raises(DataError, match=r"with --downscale 4 they are read from images_4; got --downscale 1"):
        load_scene(tmp_path)
    frame = load_scene(tmp_path, downscale=4).splits["train"][0]
    assert (frame.camera.width, frame.camera.fl_x) == (3, FOCAL / 4)
    np.testing.assert_array_equal(frame.load_image()[..., :3], pixels(1, size=(3, 2)))
    camera = load_scene(tmp_path, downscale=8).splits["train"][0].camera
    assert (camera.width, camera.height, camera.fl_x) == (1, 1, FOCAL / 8)


def test_every_eighth_is_held_out_and_up_is_the_cameras(tmp_path):
    scene = load_scene(write(tmp_path))
    assert [frame.name for frame in scene.held_out] == ["IMG_00.png", "IMG_08.png"]
    assert scene.up[2] > 0.95
    assert scene.unbounded
    assert any("no lens" in remark for remark in scene.remarks)


def test_depths_say_where_the_content_is(tmp_path):
    rows = [row(0, depths=(2.0, 20.0))]
    scene = load_scene(write(tmp_path, 1, rows=rows))
    # The camera stands at y = -2 and looks along +y; NeRF's focus is at 1 / (0.25 / 2 + 0.75 / 20) = 6.154.
    focus = 1.0 / (0.25 / 2.0 + 0.75 / 20.0)
    np.testing.assert_allclose(
        scene.bounds, (-0.6 * focus, -2.0, -0.4 * focus, 0.6 * focus, focus - 2.0, 0.4 * focus)
    )
    bounded = load_scene(tmp_path, unbounded=False)
    np.testing.assert_allclose(bounded.bounds, (-12.0, 0.0, -8.0, 12.0, 18.0, 8.0))


@pytest.mark.parametrize("depths", [(0.0, 1.0), (2.0, 1.0), (1.0, np.inf)])
def test_depths_that_are_none_are_ignored_and_said(tmp_path, depths):
    scene = load_scene(write(tmp_path, rows=[row(i, depths=depths) for i in range(9)]))
    assert any("no depths" in remark for remark in scene.remarks)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 15)), r"poses_bounds.npy: has shape \(3, 15\), expected \(images, 17\)"),
        (np.zeros((0, 17)), r"has shape \(0, 17\)"),
        (np.zeros((3, 17)), r"poses_bounds.npy: image 'IMG_00.png': camera_to_world"),
        (np.full((3, 17), np.nan), r"image 'IMG_00.png': .*not finite"),
        (np.array(["a"] * 17)[None], "expected one array of numbers"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, array, message):
    write(tmp_path, 3)
    np.save(tmp_path / "poses_bounds.npy", array)
    with pytest.raises(DataError, match=message):
        load_scene(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not numpy", "truncated"])
def test_files_that_are_no_arrays_are_named(tmp_path, content):
    path = write(tmp_path, 3) / "poses_bounds.npy"
    path.write_bytes(path.read_bytes()[:-9] if content == "truncated" else content)
    with pytest.raises(DataError, match=r"poses_bounds.npy: not a NumPy file of numbers, or truncated"):
        load_scene(tmp_path)


def test_images_must_be_as_many_as_poses_and_of_their_shape(tmp_path):
    write(tmp_path)
    (tmp_path / "images/IMG_04.png").unlink()
    with pytest.raises(DataError, match=r"has 9 poses, .*images has 8 images"):
        load_scene(tmp_path)
    write_image(tmp_path / "images/IMG_04.png", pixels(size=(HEIGHT, WIDTH)))
    with pytest.raises(DataError, match=r"image 'IMG_04.png': .*is 8x12 pixels, its pose was made for 12x8"):
        load_scene(tmp_path)


def test_images_missing_altogether(tmp_path):
    np.save(tmp_path / "poses_bounds.npy", np.array([row(0)]))
    with pytest.raises(DataError, match=r"images: folder of images is missing$"):
        load_scene(tmp_path)
