"""Detection of layouts, bounds, unboundedness and fingerprints."""

import shutil

import numpy as np
import pytest
from dataset_files import HEIGHT, WIDTH, frames, pixels, write_blender, write_image, write_transforms

from neurocity.data.bounds import checked_bounds
from neurocity.data.load import load_scene
from neurocity.errors import DataError
from neurocity.poses import look_at


def posed_frames(poses):
    return [
        {"file_path": f"images/{i:03}.png", "transform_matrix": np.asarray(pose).tolist()}
        for i, pose in enumerate(poses)
    ]


def test_nothing_there_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError) as caught:
        load_scene(tmp_path)
    for expected in ("transforms_train.json", "transforms.json", "sparse/0", "colmap/sparse/0"):
        assert expected in str(caught.value)
    with pytest.raises(DataError, match="is not a folder"):
        load_scene(tmp_path / "nowhere")


@pytest.mark.parametrize("downscale", [0, -1])
def test_downscale_must_be_positive(tmp_path, downscale):
    with pytest.raises(DataError, match="downscale is"):
        load_scene(write_blender(tmp_path), downscale=downscale)


def test_downscale_rescales_intrinsics_and_images_by_the_same_factor(tmp_path):
    frame = load_scene(write_transforms(tmp_path), downscale=5).splits["train"][0]
    assert frame.load_image().shape == (1, 2, 4)
    camera = frame.camera
    assert (camera.width, camera.height) == (2, 1)
    assert (camera.fl_x, camera.fl_y, camera.cx, camera.cy) == (10.0 / 5, 11.0 / 5, 6.5 / 5, 3.75 / 5)
    full = load_scene(tmp_path).splits["train"][0]
    block = full.load_image()[:5, 5:10, :3].reshape(-1, 3)
    np.testing.assert_allclose(frame.load_image()[0, 1, :3], block.mean(0), atol=0.51)
    # The ray of the small pixel is that of the block's middle pixel, (row 2, column 7).
    small, middle = camera.camera_directions()[1], full.camera.camera_directions()[2 * WIDTH + 7]
    np.testing.assert_allclose(small, middle, atol=1e-12)


def test_downscale_beyond_the_image_names_the_frame(tmp_path):
    with pytest.raises(DataError, match=r"frame 'images/000.png': downscale is 9, expected 1\.\.8"):
        load_scene(write_transforms(tmp_path), downscale=9)


def test_given_bounds_win_and_are_checked(tmp_path):
    root = write_blender(tmp_path)
    assert load_scene(root, bounds=(-1, -1, 0, 1, 1, 2)).bounds == (-1.0, -1.0, 0.0, 1.0, 1.0, 2.0)
    for wrong in ((0, 0, 0), (0, 0, 0, 1, 1, 0), (0, 0, 0, 1, 1, np.nan)):
        with pytest.raises(DataError, match="expected x0 y0 z0 x1 y1 z1"):
            checked_bounds(wrong)


def write_points(root, points):
    lines = ["ply", "format ascii 1.0", f"element vertex {len(points)}"]
    lines += [f"property double {axis}" for axis in "xyz"] + ["end_header"]
    lines += [" ".join(map(repr, point)) for point in points.tolist()]
    (root / "points.ply").write_text("\n".join(lines) + "\n")


def test_bounds_around_points_ignore_strays(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform((-1.0, -2.0, 0.0), (1.0, 2.0, 1.0), (2000, 3))
    points[:10] = 1000.0
    root = write_transforms(tmp_path, {"ply_file_path": "points.ply"})
    write_points(root, points)
    bounds = np.array(load_scene(root, unbounded=False).bounds)
    np.testing.assert_allclose(bounds, (-1.2, -2.2, -0.2, 1.2, 2.2, 1.2), atol=0.1)
    # Unbounded: the middle of the points, and all cameras (a ring of radius 4 at height 1.5).
    near = np.array(load_scene(root).bounds)
    np.testing.assert_allclose(near, (-4.4, -4.2, -0.3, 4.4, 4.2, 1.9), atol=0.1)


def test_bounds_from_cameras_that_look_at_one_point(tmp_path):
    # NeRF-synthetic's geometry: radius 4.03, 0.6911 radians wide, its box is known to be about 1.5.
    target = np.array([2.0, -1.0, 0.5])
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(20, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    poses = [look_at(target + 4.031 * direction, target, (0, 0, 1)) for direction in directions]
    focal = 0.5 * WIDTH / np.tan(0.5 * 0.6911)
    root = write_transforms(
        tmp_path, {"frames": posed_frames(poses), "fl_x": focal, "fl_y": focal}, channels=4
    )
    scene = load_scene(root)
    assert not scene.unbounded
    np.testing.assert_allclose(np.array(scene.bounds).reshape(2, 3).mean(0), target, atol=1e-6)
    np.testing.assert_allclose(np.array(scene.bounds)[3:] - target, 4.031 * np.tan(0.5 * 0.6911), atol=1e-6)
    around = np.array(load_scene(root, unbounded=True).bounds)
    positions = np.array(poses)[:, :3, 3]
    assert (positions > around[:3]).all()
    assert (positions < around[3:]).all()
    assert np.ptp(around.reshape(2, 3), axis=0) == pytest.approx(
        np.full(3, 1.1 * np.ptp(positions, axis=0).max())
    )


def test_bounds_that_cannot_be_estimated_ask_for_them(tmp_path):
    parallel = [look_at((x, 0, 0), (x, 1, 0), (0, 0, 1)) for x in range(3)]
    root = write_transforms(tmp_path / "parallel", {"frames": posed_frames(parallel)})
    with pytest.raises(DataError, match="look at no common point; give bounds"):
        load_scene(root, unbounded=False)
    outwards = [
        look_at((np.cos(a), np.sin(a), 0), (2 * np.cos(a), 2 * np.sin(a), 0), (0, 0, 1)) for a in range(5)
    ]
    root = write_transforms(tmp_path / "outwards", {"frames": posed_frames(outwards)})
    with pytest.raises(DataError, match="look at no common point; give bounds"):
        load_scene(root, unbounded=False)
    turning = [look_at((0, 0, 0), (np.cos(a), np.sin(a), 0), (0, 0, 1)) for a in range(5)]
    root = write_transforms(tmp_path / "turning", {"frames": posed_frames(turning)})
    with pytest.raises(DataError, match="all cameras stand at one place; give bounds"):
        load_scene(root)
    assert load_scene(root, bounds=(0, 0, 0, 1, 1, 1)).bounds == (0, 0, 0, 1, 1, 1)


def test_alpha_makes_bounded_only_when_something_is_transparent(tmp_path):
    transparent = write_transforms(tmp_path / "a", channels=4)
    assert not load_scene(transparent).unbounded
    assert load_scene(transparent, unbounded=True).unbounded
    opaque = write_transforms(tmp_path / "b", channels=4)
    for i in range(10):
        rgba = pixels(i, 4)
        rgba[..., 3] = 255
        write_image(opaque / f"images/{i:03}.png", rgba)
    assert load_scene(opaque).unbounded
    assert load_scene(write_transforms(tmp_path / "c", channels=3)).unbounded


def test_fingerprint_changes_with_pixels_poses_intrinsics_and_nothing_else(tmp_path):
    root = write_transforms(tmp_path / "a", {"aabb_scale": 1})
    original = load_scene(root).fingerprint()
    assert len(original) == 64
    shutil.copytree(root, tmp_path / "b")
    assert load_scene(tmp_path / "b").fingerprint() == original
    write_image(tmp_path / "b/images/004.png", pixels(99))
    changed = {original, load_scene(tmp_path / "b").fingerprint()}
    moved = frames()
    moved[3]["transform_matrix"][0][3] += 1e-6
    changed.add(load_scene(write_transforms(tmp_path / "c", {"frames": moved})).fingerprint())
    changed.add(load_scene(write_transforms(tmp_path / "d", {"cx": 6.0})).fingerprint())
    changed.add(load_scene(write_transforms(tmp_path / "e", {"k1": 0.01})).fingerprint())
    changed.add(load_scene(root, downscale=2).fingerprint())
    assert len(changed) == 6
    (root / "images/003.png").unlink()
    with pytest.raises(DataError, match=r"transforms.json: frame 'images/003.png'"):
        load_scene(root)


def test_fingerprint_names_a_file_that_went_away(tmp_path):
    scene = load_scene(write_blender(tmp_path))
    scene.splits["train"][1].image_path.unlink()
    with pytest.raises(DataError, match=r"001.png: frame 'train/001': cannot be read"):
        scene.fingerprint()


def test_image_shape_is_that_of_the_camera(tmp_path):
    for frame in load_scene(write_transforms(tmp_path)).splits["train"]:
        assert frame.load_image().shape == (HEIGHT, WIDTH, 4)
