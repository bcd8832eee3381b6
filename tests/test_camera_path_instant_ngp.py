"""instant-ngp's base_cam.json: its unit cube, its B-splines and its clock."""

import pytest
from camera_path_files import CAMERAS, assert_same, base_cam, fov_of

from neurocity.camera_path.path import InstantNGPSpace
from neurocity.camera_path.read import parse_camera_path


def cubic(p, t):
    """The uniform cubic B-spline by de Boor's recursion, of four keyframes."""
    row = list(p)
    for level in (3, 2, 1):
        row = [
            row[k] * (1 - (t + 2 - (k + 3 - level)) / level) + row[k + 1] * (t + 2 - (k + 3 - level)) / level
            for k in range(len(row) - 1)
        ]
    return row[0]


@pytest.mark.parametrize("space", [(0.33, 0.5), (0.2, -1.0)])
def test_instant_ngp_is_led_back_to_the_captures_coordinates(space):
    scale, offset = space
    still = (CAMERAS[1], CAMERAS[1], CAMERAS[1])
    path = parse_camera_path(
        base_cam(still, scale, offset),
        width=64,
        height=48,
        seconds=1.0,
        instant_ngp=InstantNGPSpace(scale=scale, offset=(offset,) * 3),
    )
    assert len(path.cameras) == 30
    for camera in path.cameras:
        assert_same(camera, CAMERAS[1], atol=1e-9)


def test_instant_ngp_is_a_b_spline_that_passes_by_its_keyframes():
    path = parse_camera_path(base_cam(), seconds=3.0, frames_per_second=10)
    assert (path.cameras[0].width, path.cameras[0].height) == (1920, 1080)
    points = [camera.position for camera in CAMERAS]
    points = [points[0], *points, points[-1], points[-1]]
    for frame, camera in enumerate(path.cameras):
        stretch, t = divmod(frame / 10, 1)
        assert camera.position == pytest.approx(cubic(points[int(stretch) : int(stretch) + 4], t), abs=1e-9)
    fovs = [fov_of(camera) for camera in CAMERAS]
    assert fov_of(path.cameras[10]) == pytest.approx((fovs[0] + 4 * fovs[1] + fovs[2]) / 6)
    # All cameras look at one point from one height, so that the middle of the sums does as well.
    right = path.cameras[15].camera_to_world[:3, 0]
    assert right[2] == pytest.approx(0.0, abs=1e-3)


def test_instant_ngp_orders_loops_and_timestamps():
    line = parse_camera_path(base_cam(spline_order=1), seconds=3.0, frames_per_second=10)
    assert line.cameras[15].position == pytest.approx(0.5 * (CAMERAS[1].position + CAMERAS[2].position))
    steps = parse_camera_path(base_cam(spline_order=0), seconds=3.0, frames_per_second=10)
    assert [steps.cameras[i].position.tolist() for i in (4, 5)] == [
        pytest.approx(CAMERAS[i].position.tolist()) for i in (0, 1)
    ]
    loop = base_cam(spline_order=1, loop=True)
    for entry, time in zip(loop["path"], (1.0, 1.5, 2.0, 4.0), strict=True):
        entry["timestamp"] = time
    path = parse_camera_path(loop | {"duration_seconds": 4.0}, frames_per_second=10)
    assert len(path.cameras) == 40
    for frame, expected in ((0, 0), (10, 1), (15, 2), (20, 3)):
        assert path.cameras[frame].position == pytest.approx(CAMERAS[expected].position)
    assert path.cameras[30].position == pytest.approx(0.5 * (CAMERAS[3].position + CAMERAS[0].position))
    quadratic = parse_camera_path(base_cam(spline_order=2), seconds=3.0, frames_per_second=10)
    middle = 0.125 * CAMERAS[0].position + 0.75 * CAMERAS[1].position + 0.125 * CAMERAS[2].position
    assert quadratic.cameras[15].position == pytest.approx(middle)


def test_quaternions_of_either_sign_are_one_rotation():
    plain = parse_camera_path(base_cam(), seconds=1.0)
    file = base_cam()
    file["path"][1]["R"] = [-value for value in file["path"][1]["R"]]
    for got, expected in zip(parse_camera_path(file, seconds=1.0).cameras, plain.cameras, strict=True):
        assert_same(got, expected, atol=1e-12)
