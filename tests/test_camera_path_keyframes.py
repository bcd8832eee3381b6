"""NeuroCity's own keyframes: when the camera is where, and how fast it goes between."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from camera_path_files import CAMERAS, assert_same, fov_of, keyframes

from neurocity.camera_path.read import parse_camera_path
from neurocity.errors import DataError
from neurocity.poses import look_at


def positions(path):
    return np.array([camera.position for camera in path.cameras])


def test_keyframes_are_passed_at_their_times():
    file = keyframes(seconds=..., frames_per_second=10)
    for entry, time in zip(file["keyframes"], (0.0, 1.0, 1.5, 4.0), strict=True):
        entry["seconds"] = time
    path = parse_camera_path(file)
    assert len(path.cameras) == 41, "the last keyframe is a frame"
    for frame, expected in ((0, 0), (10, 1), (15, 2), (40, 3)):
        assert_same(path.cameras[frame], CAMERAS[expected], atol=1e-7)
    fovs = [fov_of(camera) for camera in path.cameras]
    assert min(fovs) == pytest.approx(45.0)
    assert max(fovs) == pytest.approx(60.0)
    loop = parse_camera_path(file | {"loop": True, "seconds": 5.0})
    assert len(loop.cameras) == 50
    assert_same(loop.cameras[40], CAMERAS[3], atol=1e-7)
    steps = np.linalg.norm(np.diff(positions(loop), axis=0, append=positions(loop)[:1]), axis=1)
    assert abs(steps[-1] - steps[0]) < 0.15 * steps.max(), "no jolt where the film begins anew"


def test_the_curve_is_centripetal():
    """Keyframes at the times of their knots, roots of distances, give Barry and Goldman's pyramid (1988)."""
    points = np.array([[0.0, 0, 1], [1, 0, 1], [1.5, 3, 0], [9, 3, 0]])
    knots = np.concatenate([[0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1)))])
    entries = [
        {"look_at": {"eye": point.tolist(), "target": [0, 50, 0]}, "seconds": float(knot)}
        for point, knot in zip(points, knots, strict=True)
    ]
    path = parse_camera_path(keyframes(keyframes=entries, seconds=..., frames_per_second=50))
    frames = np.arange(len(path.cameras)) / (len(path.cameras) - 1) * knots[-1]
    between = (frames > knots[1]) & (frames < knots[2])
    assert between.sum() > 20
    for u, got in zip(frames[between], positions(path)[between], strict=True):
        row = list(points)
        for level in (1, 2, 3):
            row = [
                (row[k] * (knots[k + level] - u) + row[k + 1] * (u - knots[k]))
                / (knots[k + level] - knots[k])
                for k in range(len(row) - 1)
            ]
            if level == 2:  # the last step is between the inner keyframes
                row = [(row[0] * (knots[2] - u) + row[1] * (u - knots[1])) / (knots[2] - knots[1])]
                break
        assert got == pytest.approx(row[0], abs=1e-9)


def test_without_times_the_camera_moves_at_constant_speed():
    path = parse_camera_path(keyframes(frames_per_second=60))
    assert len(path.cameras) == 121
    steps = np.linalg.norm(np.diff(positions(path), axis=0), axis=1)
    assert steps.max() / steps.min() < 1.01
    assert_same(path.cameras[-1], CAMERAS[-1], atol=1e-7)
    # Centripetal: the curve keeps close to the circle that its keyframes are on.
    radii = np.linalg.norm(positions(path)[:, :2] - [0.1, 0.2], axis=1)
    assert abs(radii / radii[0] - 1).max() < 0.07
    assert len(parse_camera_path(keyframes(), seconds=1.0).cameras) == 31


def test_a_pause_is_still_and_a_turn_on_the_spot_stays():
    spot = [{"look_at": {"eye": [1, 0, 0], "target": target}} for target in ([0, 0, 0], [1, 1, 0], [1, 1, 0])]
    file = keyframes(seconds=..., frames_per_second=10)
    file["keyframes"] = [entry | {"seconds": i} for i, entry in enumerate(spot)]
    path = parse_camera_path(file)
    np.testing.assert_allclose(positions(path), np.broadcast_to([1.0, 0, 0], (21, 3)), atol=1e-9)
    for camera in path.cameras[10:]:
        np.testing.assert_allclose(
            camera.camera_to_world, look_at((1, 0, 0), (1, 1, 0), (0, 0, 1)), atol=1e-9
        )
    turned = [camera.camera_to_world[:3, 2] for camera in path.cameras[:11]]
    angles = [math.degrees(math.atan2(back[1], back[0])) for back in turned]
    assert np.all(np.diff(angles) < 0), "from looking along -x, the camera turns right to +y"
    del file["keyframes"][1]["seconds"], file["keyframes"][2]["seconds"]
    with pytest.raises(DataError, match=r"keyframes\[1\]\.seconds: is missing"):
        parse_camera_path(file)


def test_look_at_takes_up_from_the_caller():
    entries = [{"look_at": {"eye": [3, i, 1], "target": [0, 0, 0]}} for i in range(3)]
    path = parse_camera_path(keyframes(keyframes=entries), up=(0.0, 1.0, 0.0))
    np.testing.assert_allclose(
        path.cameras[0].camera_to_world, look_at((3, 0, 1), (0, 0, 0), (0, 1, 0)), atol=1e-9
    )


def test_the_documents_keyframes_are_a_path():
    document = (Path(__file__).parents[1] / "docs" / "conventions.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", document, re.DOTALL)
    path = parse_camera_path(json.loads(example))
    assert len(path.cameras) == 12 * 30 + 1
    assert path.cameras[0].position == pytest.approx([110, -110, 80])
    assert path.cameras[-1].position == pytest.approx([-90, 70, 30])
    assert path.cameras[-1].camera_to_world[:3, 2] == pytest.approx([-0.8, 0.6, 0])
