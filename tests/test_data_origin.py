"""The origin of a scene: when there is one, and that a moved dataset gives the same scene."""

import json

import numpy as np
import pytest
from dataset_files import pose, write_blender, write_image, write_transforms
from georeferenced import OFFSET, write_copy
from test_data_load import write_points

from neurocity.cameras import Camera
from neurocity.data.datasets import TrainingRays
from neurocity.data.load import load_scene
from neurocity.data.origin import choose_origin, relative_to
from neurocity.data.scene import Capture
from neurocity.errors import DataError

RING = np.stack([pose(i)[:3, 3] for i in range(10)])
"""Ten places around zero."""
DISTANCE = float(np.linalg.norm(RING[0]))
SURVEY = (500_123.4, 5_412_345.6, 210.0)
"""A place as surveys give it: easting, northing (UTM) and height, in metres."""


def cameras(positions) -> list[Camera]:
    poses = [np.eye(4) for _ in positions]
    for matrix, position in zip(poses, positions, strict=True):
        matrix[:3, 3] = position
    return [Camera.from_fov_y(matrix, 8, 6, 40.0) for matrix in poses]


@pytest.mark.parametrize(
    ("place", "spread", "origin"),
    [
        ((0.0, 0.0, 0.0), 1.0, (0.0, 0.0, 0.0)),
        ((300.0, -300.0, 90.0), 1.0, (0.0, 0.0, 0.0)),
        (SURVEY, 1.0, (500_120.0, 5_412_350.0, 0.0)),
        ((-4_100_777.0, 600.0, 4_700_003.0), 1.0, (-4_100_780.0, 600.0, 4_700_000.0)),
        # The larger the capture, the rounder the number, and the further it may be from zero.
        (SURVEY, 300.0, (500_000.0, 5_410_000.0, 0.0)),
        (SURVEY, 3000.0, (0.0, 5_400_000.0, 0.0)),
        # Small ones are moved by whole units, and not for a few of them.
        ((512.3, 5_412.6, 0.2), 0.01, (512.0, 5_413.0, 0.0)),
        ((99.0, 0.0, 2_345.6), 0.0, (0.0, 0.0, 2_346.0)),
    ],
)
def test_the_rule(place, spread, origin):
    assert choose_origin(cameras(spread * RING + np.array(place))) == origin


def test_one_camera_has_a_place_and_no_spread():
    assert choose_origin(cameras(RING[:1])) == (0.0, 0.0, 0.0)
    assert choose_origin(cameras(RING[:1] + np.array(SURVEY))) == (500_127.0, 5_412_346.0, 212.0)


def test_a_few_wrong_poses_count_for_nothing():
    positions = np.concatenate([RING + np.array(SURVEY), np.zeros((2, 3))])
    np.testing.assert_allclose(choose_origin(cameras(positions)), (500_120.0, 5_412_350.0, 0.0), atol=10.0)


def test_a_usual_capture_stays_as_its_reader_gave_it(tmp_path):
    scene = load_scene(write_blender(tmp_path))
    assert (scene.origin, scene.remarks) == ((0.0, 0.0, 0.0), ())
    capture = Capture(splits=scene.splits, up=(0.0, 0.0, 1.0))
    assert relative_to(capture, scene.origin) is capture
    for i, frame in enumerate(scene.splits["train"]):
        np.testing.assert_array_equal(frame.camera.camera_to_world, pose(i))


def assert_equal_scenes(moved, scene):
    """Up to the rounding of float64 at the place that the other was moved to."""
    np.testing.assert_allclose(moved.bounds, scene.bounds, atol=1e-6)
    assert (moved.up, moved.unbounded) == (scene.up, scene.unbounded)
    assert (moved.points is None) == (scene.points is None)
    if scene.points is not None:
        np.testing.assert_allclose(moved.points, scene.points, atol=1e-8)
    for split, frames in scene.splits.items():
        for frame, before in zip(moved.splits[split], frames, strict=True):
            pair = frame.camera.camera_to_world, before.camera.camera_to_world
            np.testing.assert_allclose(*pair, atol=1e-8)


def write_with_points(root):
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 3))
    write_transforms(root, {"ply_file_path": "points.ply"})
    write_points(root, points)
    return root


WRITERS = {
    "blender": lambda root: write_blender(root, ("train", "val"), angle=0.6),
    "points": write_with_points,
    "cameras": lambda root: write_transforms(root, channels=4),
    "aabb": lambda root: write_transforms(root, {"aabb": [[-1, -2, -1], [1, 1, 1]], "aabb_scale": 2}),
}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_moved_dataset_is_the_same_scene_with_an_origin(layout, tmp_path):
    source = write_copy(WRITERS[layout](tmp_path / "here"), tmp_path / "rounded", np.zeros(3))
    target = write_copy(source, tmp_path / "there")
    if layout == "points":
        write_points(target, load_scene(source).points + OFFSET)
    scene, moved = load_scene(source), load_scene(target)
    assert scene.origin == (0.0, 0.0, 0.0)
    assert moved.origin == tuple(OFFSET)
    assert_equal_scenes(moved, scene)
    (remark,) = [remark for remark in moved.remarks if "origin" in remark]
    assert "relative to the origin (500000.0, 5400000.0, 0.0)" in remark


def test_the_box_of_a_moved_blender_scene_is_around_what_its_cameras_see(tmp_path):
    place = OFFSET + np.array((7.0, -3.0, 0.5))
    for size, half in ((1.0, 1.5), (20.0, 20.0 * DISTANCE * np.tan(0.5 * 0.6))):
        root = write_blender(tmp_path / f"{size}", angle=0.6)
        for file in root.glob("*.json"):
            document = json.loads(file.read_text())
            for frame in document["frames"]:
                pose = np.array(frame["transform_matrix"])
                pose[:3, 3] = size * pose[:3, 3] + place
                frame["transform_matrix"] = pose.tolist()
            file.write_text(json.dumps(document))
        scene = load_scene(root)
        box = np.array(scene.bounds).reshape(2, 3) + scene.origin
        np.testing.assert_allclose(box, [place - half, place + half], atol=1e-5)


def test_given_bounds_are_in_world_coordinates(tmp_path):
    root = write_copy(write_blender(tmp_path / "here"), tmp_path / "there")
    box = (499_999.0, 5_399_998.5, -0.25, 500_001.0, 5_400_001.0, 2.0)
    assert load_scene(root, bounds=box).bounds == (-1.0, -1.5, -0.25, 1.0, 1.0, 2.0)
    with pytest.raises(DataError, match=r"bounds are \[500001.0, "):
        load_scene(root, bounds=(*box[3:], *box[:3]))


def test_a_given_origin_wins_and_is_checked(tmp_path):
    root = write_copy(write_blender(tmp_path / "here"), tmp_path / "there")
    scene = load_scene(root, origin=(500_010, 5_400_000, 100))
    assert (scene.origin, scene.remarks) == ((500_010.0, 5_400_000.0, 100.0), ())
    chosen = load_scene(root).splits["train"][0].camera.position
    np.testing.assert_allclose(scene.splits["train"][0].camera.position, chosen - (10.0, 0.0, 100.0))
    as_it_is = load_scene(root, origin=(0, 0, 0))
    np.testing.assert_array_equal(as_it_is.splits["train"][0].camera.position, chosen + OFFSET)
    for wrong in ((0.0, 0.0), (0.0, 0.0, np.nan), (0.0, np.inf, 0.0)):
        with pytest.raises(DataError, match="expected three finite numbers"):
            load_scene(root, origin=wrong)


def test_training_rays_of_a_survey_keep_millimetres(tmp_path):
    """A ring of 4 m at a northing of 5,412 km, as COLMAP's text."""
    centre = np.array(SURVEY)
    positions = centre + np.random.default_rng(3).uniform(-0.3, 0.3, (12, 3))
    angles = 2.0 * np.pi * np.arange(12) / 12
    positions += 4.0 * np.stack([np.cos(angles), np.sin(angles), np.zeros(12)], -1)
    model = tmp_path / "sparse/0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 PINHOLE 12 8 10 10 6 4\n")
    (model / "points3D.txt").write_text("")
    lines = []
    for i, position in enumerate(positions):
        # qvec of a half turn around z: world to camera is x, y -> -x, -y, and tvec = -R c.
        tvec = position * (1.0, 1.0, -1.0)
        lines.append(f"{i + 1} 0 0 0 1 {' '.join(map(repr, tvec.tolist()))} 1 {i:03}.png\n\n")
        write_image(tmp_path / f"images/{i:03}.png")
    (model / "images.txt").write_text("".join(lines))
    scene = load_scene(tmp_path, bounds=(*(centre - 5.0), *(centre + 5.0)))
    assert scene.origin == (500_120.0, 5_412_350.0, 0.0)
    rays = TrainingRays(scene.splits["train"], scene=scene)
    expected = positions[[i for i in range(12) if i % 8]]
    np.testing.assert_allclose(rays.origins.double().numpy() + scene.origin, expected, atol=1e-4)
