import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocity.cameras import Camera
from neurocity.contract import View
from neurocity.errors import CameraError
from neurocity.lenses import Lens
from neurocity.poses import look_at, opencv_to_opengl, opengl_to_opencv, orbit

LENSES = {
    "pinhole": Lens(),
    "barrel": Lens("OPENCV", (-0.3, 0.1, 0.001, -0.002, 0.01)),
    "pincushion": Lens("OPENCV", (0.2, 0.05, -0.003, 0.001, 0.0)),
    "folding": Lens("OPENCV", (-0.25, 0.0, 0.0, 0.0, 0.0)),
    "fisheye": Lens("OPENCV_FISHEYE", (0.1, -0.02, 0.003, -0.001)),
    "brown": Lens("BROWN", (-0.2, 0.1, 0.003, -0.002, 0.02, -0.03, 0.01)),
    "brown fisheye": Lens("BROWN_FISHEYE", (0.1, -0.02, 0.003, -0.002, 0.003, -0.001, -0.01)),
    "equidistant": Lens("OPENCV_FISHEYE", (0.0, 0.0, 0.0, 0.0)),
}


def camera(lens: Lens | None = None, **changes: object) -> Camera:
    values = {
        "camera_to_world": look_at((3.0, 2.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
        "width": 40,
        "height": 30,
        "fl_x": 25.0,
        "fl_y": 26.0,
        "cx": 20.3,
        "cy": 14.0,
        "lens": lens or Lens(),
    }
    return Camera(**{**values, **changes})


def pixel_centers(width: int, height: int) -> np.ndarray:
    return np.array([(j + 0.5, i + 0.5) for i in range(height) for j in range(width)])


def test_known_answer_of_the_conventions():
    # 4x2 pixels, f = 2, principal point in the centre; camera at (1, 2, 3) with world axes: looks along -z.
    pose = np.eye(4)
    pose[:3, 3] = (1.0, 2.0, 3.0)
    plain = Camera(camera_to_world=pose, width=4, height=2, fl_x=2.0, fl_y=2.0, cx=2.0, cy=1.0)
    origins, directions = plain.rays().arrays()
    assert origins.shape == directions.shape == (8, 3)
    assert origins.dtype == directions.dtype == np.float32
    np.testing.assert_array_equal(origins, np.tile(np.float32([1.0, 2.0, 3.0]), (8, 1)))
    # Pixel (row 0, column 0) is sampled at (0.5, 0.5): x = -1.5 / 2, up by 0.5 / 2, one unit ahead (-z).
    upper_left = np.array([-0.75, 0.25, -1.0])
    np.testing.assert_allclose(directions[0], upper_left / np.sqrt(0.5625 + 0.0625 + 1.0), rtol=1e-6)
    # Row-major: the second ray is one pixel to the right, the fifth one row down.
    np.testing.assert_allclose(directions[1] / -directions[1, 2], (-0.25, 0.25, -1.0), rtol=1e-6)
    np.testing.assert_allclose(directions[4] / -directions[4, 2], (-0.75, -0.25, -1.0), rtol=1e-6)
    # A point 2 ahead, 1 to the right and 0.5 up: x = 2 + 2 * 1 / 2 = 3, y = 1 - 2 * 0.5 / 2 = 0.5.
    pixels, z = plain.project(np.array([[2.0, 2.5, 1.0]]))
    np.testing.assert_allclose(pixels, [[3.0, 0.5]])
    np.testing.assert_allclose(z, [2.0])
    np.testing.assert_allclose(plain.z_factors()[0], 1.0 / np.sqrt(1.625), rtol=1e-6)


def test_known_answer_of_opencv_distortion():
    # x = 0.5, y = 0.25: r2 = 0.3125; radial = 1 + 0.1 r2 + 0.01 r2^2 + 0.001 r2^3 = 1.0322570801...
    lens = Lens("OPENCV", (0.1, 0.01, 0.02, 0.03, 0.001))
    r2 = 0.3125
    radial = 1 + 0.1 * r2 + 0.01 * r2**2 + 0.001 * r2**3
    x = 0.5 * radial + 2 * 0.02 * 0.125 + 0.03 * (r2 + 2 * 0.25)
    y = 0.25 * radial + 0.02 * (r2 + 2 * 0.0625) + 2 * 0.03 * 0.125
    np.testing.assert_allclose(lens.project(np.array([[1.0, 0.5, 2.0]])), [[x, y]], rtol=1e-14)


def test_known_answer_of_the_equidistant_fisheye():
    # 90 degrees to the right of the axis lies pi / 2 from the principal point.
    lens = LENSES["equidistant"]
    np.testing.assert_allclose(lens.project(np.array([[3.0, 0.0, 0.0]])), [[np.pi / 2, 0.0]], atol=1e-15)
    np.testing.assert_allclose(lens.project(np.array([[0.0, 0.0, 5.0]])), [[0.0, 0.0]])
    # 135 degrees: behind the camera, and still seen.
    np.testing.assert_allclose(lens.project(np.array([[0.0, 1.0, -1.0]])), [[0.0, 0.75 * np.pi]], atol=1e-15)


@pytest.mark.parametrize("name", LENSES)
def test_pixels_to_rays_to_pixels(name):
    posed = camera(LENSES[name], fl_x=34.0, fl_y=35.0)
    origins, directions = posed.rays().arrays()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0, atol=1e-6)
    distances = np.linspace(0.5, 9.0, len(origins))
    pixels, z = posed.project(origins + distances[:, None] * directions)
    np.testing.assert_allclose(pixels, pixel_centers(40, 30), atol=1e-4)
    np.testing.assert_allclose(z, distances * posed.z_factors(), rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(LENSES)),
    scale=st.floats(0.0, 1.5),
    share=st.floats(0.0, 1.0),
    phi=st.floats(-np.pi, np.pi),
)
def test_lens_round_trip_wherever_the_lens_sees(name, scale, share, phi):
    lens = Lens(LENSES[name].model, tuple(scale * value for value in LENSES[name].params))
    fisheye = lens.is_fisheye
    theta = share * (np.pi if fisheye else 1.2)
    radius = theta if fisheye else np.tan(theta)
    direction = np.array([[np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]])
    plane = lens.project(direction)
    assert np.isnan(plane).any() == (radius > lens.limit)
    if radius < 0.95 * lens.limit:
        np.testing.assert_allclose(lens.unproject(plane), direction, atol=1e-8)


@pytest.mark.parametrize("name", ["barrel", "pincushion", "fisheye", "brown", "brown fisheye"])
def test_jacobian_and_limit_agree_with_finite_differences(name):
    lens = LENSES[name]
    step = 1e-6
    if lens.model != "OPENCV_FISHEYE":
        points = np.random.default_rng(0).uniform(-0.8, 0.8, (20, 2))
        _, jacobian = lens._distort(points)
        for axis in range(2):
            shift = np.eye(2)[axis] * step
            numeric = (lens._distort(points + shift)[0] - lens._distort(points - shift)[0]) / (2 * step)
            np.testing.assert_allclose(jacobian[:, :, axis], numeric, atol=1e-8)
    if np.isfinite(lens.limit) and lens.limit < np.pi:
        before, at, after = lens._bend(lens.limit + np.array([-1e-3, 0.0, 1e-3]))
        assert before < at > after


def test_limit_of_a_folding_lens_is_where_its_polynomial_turns():
    # r (1 - 0.25 r^2) has its maximum where 1 = 0.75 r^2.
    assert LENSES["folding"].limit == pytest.approx(np.sqrt(4.0 / 3.0))
    assert LENSES["pinhole"].limit == np.inf
    assert LENSES["equidistant"].limit == pytest.approx(np.pi)


def test_image_points_that_only_rays_beyond_the_fold_reach_have_no_ray():
    # r - 0.4 r^3 + 0.06 r^5 turns at r = 1.09, where it is 0.66, turns back and reaches 0.9 further out.
    lens = Lens("OPENCV", (-0.4, 0.06, 0.0, 0.0, 0.0))
    assert lens.limit == pytest.approx(np.sqrt((1.2 - np.sqrt(0.24)) / 0.6))
    rays = lens.unproject(np.array([[0.6, 0.0], [0.9, 0.0], [0.0, -2.0]]))
    np.testing.assert_array_equal(np.isnan(rays[:, 2]), [False, True, True])


def test_blocks_of_pixels_are_undistorted_as_the_whole(monkeypatch):
    whole = camera(LENSES["barrel"]).camera_directions()
    monkeypatch.setattr("neurocity.cameras._UNPROJECT_BLOCK", 7)
    np.testing.assert_allclose(camera(LENSES["barrel"]).camera_directions(), whole, atol=1e-12)


@pytest.mark.parametrize("lens", ["pinhole", "barrel", "equidistant"])
def test_pixels_with_a_depth_project_to_where_they_are(lens):
    seen = camera(LENSES[lens])
    z = np.linspace(1.0, 9.0, seen.width * seen.height)
    pixels, depth = seen.project(seen.unproject(z))
    rows, columns = np.divmod(np.arange(len(z)), seen.width)
    np.testing.assert_allclose(pixels, np.stack([columns, rows], axis=1) + 0.5, atol=1e-6)
    np.testing.assert_allclose(depth, z)
    some = np.array([7, 3, 200])
    np.testing.assert_array_equal(seen.unproject(z[some], some), seen.unproject(z)[some])


@pytest.mark.parametrize("size", [(40, 30), (1, 7), (7, 1), (200, 90)])
def test_rays_of_a_pinhole_are_its_directions_in_world_axes(size):
    """Over several blocks of rows, too; to the last bit of float32, which is where they are rounded."""
    pinhole = camera(width=size[0], height=size[1], cx=3.7, cy=-11.0)
    rays = pinhole.rays()
    expected = pinhole.camera_directions() @ pinhole.camera_to_world[:3, :3].T
    np.testing.assert_array_max_ulp(rays.directions, expected.astype(np.float32), maxulp=1)
    assert rays.directions.flags.c_contiguous
    assert rays.origins.flags.c_contiguous
    assert (rays.origins == np.float32(pinhole.position)).all()
    with_cones = pinhole.rays(radii=True)
    np.testing.assert_array_max_ulp(rays.directions, with_cones.directions, maxulp=1)


def test_pixels_beyond_the_fold_are_an_error():
    # The largest distorted radius is sqrt(4/3) * 2/3 = 0.77; the corners of this camera are beyond it.
    wide = camera(LENSES["folding"], fl_x=20.0, fl_y=20.0)
    with pytest.raises(
        CameraError, match=r"no ray for .* of 1200 pixels \(first: row 0, column 0\)"
    ) as caught:
        wide.rays().arrays()
    assert caught.value.field == "lens"


def test_fisheye_beyond_a_half_sphere_gives_rays_backwards_and_beyond_a_sphere_an_error():
    equidistant = LENSES["equidistant"]
    wide = camera(equidistant, camera_to_world=np.eye(4), fl_x=10.0, fl_y=10.0, cx=20.0, cy=15.0)
    _, directions = wide.rays().arrays()
    left = directions[15 * 40]  # about 1.95 rad left of the axis: more than 90 degrees, so backwards (+z)
    theta = np.hypot(19.5, 0.5) / 10.0
    assert left[2] == pytest.approx(-np.cos(theta), abs=1e-6)
    assert left[2] > 0.3
    pixels, _ = wide.project(directions.astype(np.float64))
    np.testing.assert_allclose(pixels, pixel_centers(40, 30), atol=1e-4)
    with pytest.raises(CameraError, match="has no ray"):
        camera(equidistant, fl_x=5.0, fl_y=5.0).rays()  # corners at 4.9 rad


def test_points_that_a_lens_does_not_see_project_to_nan():
    posed = camera(camera_to_world=np.eye(4))
    pixels, z = posed.project(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    assert np.isnan(pixels[0]).all()
    assert z[0] == -1.0
    np.testing.assert_allclose(pixels[1], (20.3, 14.0))
    folded = camera(LENSES["folding"], camera_to_world=np.eye(4))
    assert np.isnan(folded.project(np.array([[1.2, 0.0, -1.0]]))[0]).all()
    assert np.isfinite(folded.project(np.array([[1.1, 0.0, -1.0]]))[0]).all()


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"camera_to_world": np.eye(3)}, "camera_to_world", "shape"),
        ({"camera_to_world": [["a"] * 4] * 4}, "camera_to_world", "4x4 numbers"),
        ({"camera_to_world": np.full((4, 4), np.nan)}, "camera_to_world", "not finite"),
        (
            {"camera_to_world": np.diag([0.01, 0.01, 0.01, 1.0])},
            "camera_to_world",
            "scaled by 0.01.*MatrixCity",
        ),
        ({"camera_to_world": np.diag([1.0, 1.0, -1.0, 1.0])}, "camera_to_world", "reflection"),
        ({"camera_to_world": np.diag([1.0, 1.1, 1.0, 1.0])}, "camera_to_world", "sheared or stretched"),
        ({"camera_to_world": np.diag([1.0, 1.0, 1.0, 2.0])}, "camera_to_world", "last row"),
        ({"camera_to_world": np.eye(4) + 3.0 * np.eye(4, k=-3)}, "camera_to_world", "transposed"),
        ({"width": 0}, "width", "at least 1"),
        ({"height": 2.5}, "height", "whole number"),
        ({"fl_x": -1.0}, "fl_x", "positive"),
        ({"fl_y": np.inf}, "fl_y", "finite"),
        ({"cx": np.nan}, "cx", "finite"),
    ],
)
def test_wrong_cameras_name_the_field(changes, field, message):
    with pytest.raises(CameraError, match=message) as caught:
        camera(**changes)
    assert caught.value.field == field


@pytest.mark.parametrize(("model", "params"), [("FISHEYE624", ()), ("OPENCV", (0.1,)), ("PINHOLE", (0.0,))])
def test_wrong_lenses(model, params):
    with pytest.raises(CameraError) as caught:
        Lens(model, params)
    assert caught.value.field == "lens"


def test_rounded_poses_become_exact_rotations_and_cannot_be_written_to():
    exact = orbit(33.0, 21.0, 3.0)
    rounded = camera(camera_to_world=np.round(exact, 4)).camera_to_world
    np.testing.assert_allclose(rounded[:3, :3].T @ rounded[:3, :3], np.eye(3), atol=1e-14)
    np.testing.assert_allclose(rounded, exact, atol=2e-4)
    with pytest.raises(ValueError, match="read-only"):
        rounded[0, 0] = 2.0


def test_downscaling_divides_and_leaves_out_what_fills_no_block():
    small = camera(LENSES["barrel"]).downscaled(4)
    assert (small.width, small.height) == (10, 7)
    assert (small.fl_x, small.fl_y, small.cx, small.cy) == (25.0 / 4, 26.0 / 4, 20.3 / 4, 14.0 / 4)
    with pytest.raises(CameraError, match=r"downscale is 31, expected 1\.\.30"):
        camera().downscaled(31)


def test_resizing_scales_pixel_coordinates():
    big = camera(LENSES["barrel"])
    small = big.resized(10, 7)
    points = big.rays().origins + 3.0 * big.rays().directions
    pixels_big, pixels_small = big.project(points)[0], small.project(points)[0]
    np.testing.assert_allclose(pixels_small, pixels_big * (10 / 40, 7 / 30), atol=1e-9)


def test_field_of_view():
    posed = Camera.from_fov_y(np.eye(4), 30, 20, 90.0)
    assert posed.fl_x == posed.fl_y == pytest.approx(10.0)
    assert (posed.cx, posed.cy) == (15.0, 10.0)
    for wrong in (0.0, 180.0, float("nan"), 1e-310, 1e-322):
        with pytest.raises(CameraError) as caught:
            Camera.from_fov_y(np.eye(4), 30, 20, wrong)
        assert caught.value.field == "fov_y_degrees"


def test_views_are_plain_data_and_come_back():
    posed = camera()
    view = posed.to_view("front")
    assert isinstance(view, View)
    assert json.dumps(view.camera_to_world)
    again = Camera.from_view(view)
    np.testing.assert_array_equal(again.camera_to_world, posed.camera_to_world)
    assert again.to_view("front") == view
    with pytest.raises(CameraError, match="OPENCV_FISHEYE"):
        camera(LENSES["fisheye"]).to_view("front")


def test_axes_conversion_turns_y_and_z_and_is_its_own_inverse():
    pose = orbit(20.0, 30.0, 2.0)
    turned = opengl_to_opencv(pose)
    np.testing.assert_array_equal(turned[:, 0], pose[:, 0])
    np.testing.assert_array_equal(turned[:, 1:3], -pose[:, 1:3])
    np.testing.assert_array_equal(turned[:, 3], pose[:, 3])
    np.testing.assert_array_equal(opencv_to_opengl(turned), pose)


def test_look_at_known_answer():
    # From +x towards the origin with z up: right is +y, up is +z, back is +x.
    expected = np.array([[0, 0, 1, 5.0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(look_at((5, 0, 0), (0, 0, 0), (0, 0, 2)), expected, atol=1e-15)
    np.testing.assert_allclose(orbit(0.0, 0.0, 5.0), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (((0, 0, 0), (0, 0, 0), (0, 0, 1)), "target"),
        (((0, 0, 3), (0, 0, 0), (0, 0, 1)), "up"),
        (((1, 0, 3), (0, 0, 0), (0, 0, 0)), "up"),
        (((1, 0), (0, 0, 0), (0, 0, 1)), "eye"),
        (((1, 0, np.nan), (0, 0, 0), (0, 0, 1)), "eye"),
    ],
)
def test_look_at_errors_name_the_field(arguments, field):
    with pytest.raises(CameraError) as caught:
        look_at(*arguments)
    assert caught.value.field == field


@settings(deadline=None, max_examples=60)
@given(
    azimuth=st.floats(-360, 360),
    elevation=st.floats(-90, 90),
    radius=st.floats(0.1, 100),
    up=st.sampled_from([(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 2, -3)]),
)
def test_orbit_stands_on_its_sphere_and_looks_at_the_target(azimuth, elevation, radius, up):
    target = np.array([1.0, -2.0, 0.5])
    pose = orbit(azimuth, elevation, radius, target, up)
    Camera.from_fov_y(pose, 4, 4, 40.0)  # a valid pose
    axis = np.array(up) / np.linalg.norm(up)
    offset = pose[:3, 3] - target
    np.testing.assert_allclose(offset, radius * pose[:3, 2], atol=1e-9 * max(radius, 1))
    assert offset @ axis == pytest.approx(radius * np.sin(np.radians(elevation)), abs=1e-9 * max(radius, 1))
    assert pose[:3, 0] @ axis == pytest.approx(0.0, abs=1e-12)
    if abs(elevation) < 89:
        np.testing.assert_allclose(pose, look_at(pose[:3, 3], target, up), atol=1e-7)


def test_orbit_azimuth_turns_from_x_to_y():
    np.testing.assert_allclose(orbit(90.0, 0.0, 2.0)[:3, 3], (0.0, 2.0, 0.0), atol=1e-15)
    np.testing.assert_allclose(orbit(0.0, 90.0, 2.0)[:3, 3], (0.0, 0.0, 2.0), atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((np.nan, 0.0, 1.0), "azimuth"),
        ((0.0, np.inf, 1.0), "elevation"),
        ((0.0, 0.0, 0.0), "radius"),
        ((0.0, 0.0, 1.0, (0, 0)), "target"),
        ((0.0, 0.0, 1.0, (0, 0, 0), (0, 0, 0)), "up"),
    ],
)
def test_orbit_errors_name_the_field(arguments, field):
    with pytest.raises(CameraError) as caught:
        orbit(*arguments)
    assert caught.value.field == field


def test_a_cone_is_as_wide_as_its_pixel():
    """Its disc has, along x and y, the variance of the pixel's square: r^2 / 4 = (2 w / sqrt 12)^2 / 4."""
    camera = Camera.from_fov_y(np.eye(4), 64, 48, 30.0)
    radii = camera.ray_radii().reshape(48, 64)
    assert radii.dtype == np.float32
    width_at_unit_distance = 1.0 / camera.fl_x
    assert radii[24, 32] == pytest.approx(width_at_unit_distance * 2.0 / np.sqrt(12.0), rel=1e-3)
    assert radii[24, 32] ** 2 / 4.0 == pytest.approx(width_at_unit_distance**2 / 12.0, rel=2e-3)
    assert radii[0, 0] < radii[24, 32], "a pixel at the border covers a smaller angle"
    np.testing.assert_array_equal(radii[:, -1], radii[:, -2])
    halved = camera.downscaled(2).ray_radii().reshape(24, 32)
    assert halved[12, 16] == pytest.approx(2.0 * radii[24, 32], rel=1e-3)


def test_a_picture_of_one_column_has_cones_too():
    narrow = Camera.from_fov_y(np.eye(4), 1, 5, 30.0)
    np.testing.assert_allclose(narrow.ray_radii(), 2.0 / np.sqrt(12.0) / narrow.fl_x, rtol=1e-6)
