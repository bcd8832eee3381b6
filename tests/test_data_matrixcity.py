"""The MatrixCity reader: blocks of its published form, with rotations scaled by 1/100."""

import json
from functools import partial

import numpy as np
import pytest
from dataset_files import HEIGHT, WIDTH, pixels, pose, write_image, write_transforms
from ray_oracle import all_frames, assert_rays_hit_their_pixels

from neurocity.data import load
from neurocity.errors import DataError

load_scene = partial(load.load_scene, origin=(0.0, 0.0, 0.0))
"""In the coordinates of the files, in which the expected values are."""

FOV = 0.9
OFFSET = np.array([-350.0, 120.0, 200.0])
"""Metres; the second block stands twice as far."""


def camera_to_world(index, block=1):
    matrix = pose(index)
    matrix[:3, 3] += block * OFFSET
    return matrix


def write_block(root, folder, block=1, count=3, images="", name="transforms.json", change=None):
    """A block as published: `frame_index`, `rot_mat` with a shrunk rotation, padding as its last row."""
    frames = []
    for i in range(count):
        matrix = camera_to_world(i, block)
        matrix[:3, :3] *= 0.01
        matrix[3] = (0.0, 0.0, 0.0, 0.01)
        frames.append({"frame_index": i, "rot_mat": matrix.tolist(), "euler": [0.0, 1.0, 2.0]})
        write_image(root / folder / images / f"{i:04}.png", pixels(10 * block + i))
    if change:
        change(frames)
    (root / folder / name).write_text(json.dumps({"camera_angle_x": FOV, "frames": frames}))
    return root


def project(index, block=1):
    """A pinhole by hand, from the unscaled pose."""
    matrix = camera_to_world(index, block)
    focal = 0.5 * WIDTH / np.tan(0.5 * FOV)

    def pixel(points):
        x, y, z = ((points - matrix[:3, 3]) @ matrix[:3, :3]).T
        return np.stack([0.5 * WIDTH - focal * x / z, 0.5 * HEIGHT + focal * y / z], 1)

    return pixel


@pytest.mark.parametrize("images", ["", "rgb", "images", "input"])
def test_every_ray_of_a_block_hits_its_pixel(tmp_path, images):
    frames = all_frames(load_scene(write_block(tmp_path, "", images=images)))
    assert len(frames) == 3
    for i, name in enumerate(sorted(frames)):
        assert_rays_hit_their_pixels(frames[name].camera, project(i))
        np.testing.assert_array_equal(frames[name].load_image()[..., :3], pixels(10 + i))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (("train/block_1", "train/block_2"), "test/block_1_test"),
        (("block_1", "block_2"), "block_1_test"),
        (("train/block_1", "train/block_2"), "test/small"),
    ],
)
def test_blocks_in_several_files_are_one_scene(tmp_path, train, test):
    write_block(tmp_path, train[0])
    write_block(tmp_path, train[1], 2)
    write_block(tmp_path, test, 1, count=2)
    (tmp_path / "pose/block_A").mkdir(parents=True)
    (tmp_path / "pose/block_A/transforms_train.json").write_text('{"frames": [{"transform_matrix": []}]}')
    scene = load_scene(tmp_path)
    assert [frame.name for frame in scene.splits["train"]] == [
        f"{block}/{i:04}" for block in train for i in range(3)
    ]
    assert [frame.name for frame in scene.held_out] == [f"{test}/0000", f"{test}/0001"]
    assert_rays_hit_their_pixels(scene.splits["train"][4].camera, project(1, 2))
    assert scene.up == (0.0, 0.0, 1.0)
    assert scene.unbounded


def test_blocks_without_a_test_set_hold_out_every_eighth(tmp_path):
    write_block(tmp_path, "block_1", count=8)
    scene = load_scene(write_block(tmp_path, "block_2", 2, count=2))
    assert [frame.name for frame in scene.held_out] == ["block_1/0000", "block_2/0000"]
    assert len(scene.splits["train"]) == 8


def test_blocks_whose_images_are_not_fetched_are_left_out_and_said(tmp_path):
    for block in ("train/block_1", "train/block_2", "test/block_1_test"):
        write_block(tmp_path, block)
    for image in (tmp_path / "train/block_2").glob("*.png"):
        image.unlink()
    scene = load_scene(tmp_path)
    assert {frame.name[:13] for frame in scene.splits["train"]} == {"train/block_1"}
    assert any("train/block_2" in remark and "left out" in remark for remark in scene.remarks)
    for image in tmp_path.rglob("*.png"):
        image.unlink()
    with pytest.raises(DataError, match="no image is there of 3 blocks"):
        load_scene(tmp_path)


def test_files_beside_each_other_are_read_and_all_poses_are_not(tmp_path):
    write_block(tmp_path, "", count=2)
    write_block(tmp_path, "", count=3, name="transforms_origin.json")
    assert len(all_frames(load_scene(tmp_path))) == 2
    write_block(tmp_path / "other", "", name="transforms_train.json")
    write_block(tmp_path / "other", "", name="transforms_test.json", count=1)
    scene = load_scene(tmp_path / "other")
    assert (len(scene.splits["train"]), len(scene.held_out)) == (3, 1)


def test_a_dense_train_set_is_left_out_and_said(tmp_path):
    write_block(tmp_path, "train/street")
    write_block(tmp_path, "train_dense/street", count=5)
    scene = load_scene(tmp_path)
    assert len(all_frames(scene)) == 3
    assert any("train_dense" in remark for remark in scene.remarks)


def test_unscaled_rotations_are_kept_and_other_scales_refused(tmp_path):
    def scaled(factor):
        def change(frames):
            for frame in frames:
                matrix = np.array(frame["rot_mat"])
                matrix[:3, :3] *= factor
                frame["rot_mat"] = matrix.tolist()

        return change

    frames = all_frames(load_scene(write_block(tmp_path / "a", "", change=scaled(100.0))))
    assert_rays_hit_their_pixels(frames["0000"].camera, project(0))
    with pytest.raises(DataError, match=r"transforms.json: frame '0000': .*scaled by 0.02"):
        load_scene(write_block(tmp_path / "b", "", change=scaled(2.0)))


def test_files_of_other_layouts_are_left_to_their_readers(tmp_path):
    write_transforms(tmp_path)
    write_block(tmp_path, "block_1")
    assert len(all_frames(load_scene(tmp_path))) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frames: frames[1].pop("rot_mat"), r"frame 1 \(0001\): has no `rot_mat`"),
        (lambda frames: frames[1].update(rot_mat=[[1, 2], [3, 4]]), r"frame 1 \(0001\): `rot_mat` has shape"),
        (lambda frames: frames[1].pop("frame_index"), "frame 1: `frame_index` is None"),
        (lambda frames: frames[1].update(frame_index=0), "image '0000' stands there 2 times"),
        (lambda frames: frames[1].update(frame_index=7), "0007: image is missing"),
        (lambda frames: frames[1]["rot_mat"][0].__setitem__(3, float("nan")), "frame '0001': .*not finite"),
    ],
)
def test_bad_frames_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=f"transforms.json: .*{message}"):
        load_scene(write_block(tmp_path, "", change=change))


def test_truncated_files_are_named_with_the_line(tmp_path):
    path = write_block(tmp_path, "block_1") / "block_1/transforms.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError, match=r"block_1/transforms.json: line 1: not valid JSON"):
        load_scene(tmp_path)
