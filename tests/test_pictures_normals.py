"""Normals of depth against surfaces whose normals are known: a sphere, planes, an edge between two."""

import analytic_scene
import numpy as np
import pytest

from neurocity.cameras import Camera
from neurocity.lenses import Lens
from neurocity.light import Light
from neurocity.pictures import normals
from neurocity.pictures.normals import normals_from_depth
from neurocity.poses import look_at

PLANE_NORMAL = np.array([0.2, -0.3, np.sqrt(1 - 0.2**2 - 0.3**2)])
FISHEYE = Lens("OPENCV_FISHEYE", (0.05, -0.01, 0.002, 0.0))


def light_of(depth, seen):
    """Light [H, W] of that depth, which is opaque where something is seen."""
    opacity = np.asarray(seen, np.float32)
    return Light(np.zeros((*opacity.shape, 3), np.float32), np.float32(depth) * opacity, opacity)


def sphere(size):
    """The light of the analytic sphere, its true normals [H, W, 3] and the camera."""
    camera = analytic_scene.camera(size, size)
    rays = camera.rays()
    _, depth, opacity = analytic_scene.render(rays.origins, rays.directions)
    points = rays.origins + depth[:, None] * rays.directions
    true = ((points - analytic_scene.CENTER) / analytic_scene.RADIUS).reshape(size, size, 3)
    return light_of(depth.reshape(size, size), opacity.reshape(size, size) > 0), true, camera


def plane(camera):
    """The light of a plane through the target of the analytic view."""
    rays = camera.rays()
    along = rays.directions.astype(np.float64) @ PLANE_NORMAL
    depth = ((np.array(analytic_scene.TARGET) - camera.position) @ PLANE_NORMAL) / along
    size = camera.height, camera.width
    return light_of(np.abs(depth).reshape(size), (depth > 0).reshape(size))


def degrees_between(found, true):
    return np.degrees(2.0 * np.arcsin(np.minimum(np.linalg.norm(found - true, axis=-1) / 2.0, 1.0)))


def test_a_sphere_is_right_but_at_its_rim():
    light, true, camera = sphere(256)
    found = normals_from_depth(light, camera, "world")
    seen = light.opacity > 0
    error = degrees_between(found, true)[seen]
    assert np.median(error) < 0.05
    assert np.quantile(error, 0.95) < 2.0
    # Where rays graze the sphere, it turns by more than that from pixel to pixel.
    assert error.max() < 25.0
    np.testing.assert_allclose(np.linalg.norm(found[seen], axis=-1), 1.0, atol=1e-6)


def test_the_error_falls_with_the_square_of_a_pixel():
    medians = []
    for size in (64, 128, 256):
        light, true, camera = sphere(size)
        error = degrees_between(normals_from_depth(light, camera, "world"), true)
        medians.append(np.median(error[light.opacity > 0]))
    assert medians[0] / medians[1] > 3.0
    assert medians[1] / medians[2] > 3.0


@pytest.mark.parametrize("lens", [None, FISHEYE])
def test_a_plane_is_exact_to_the_border_whatever_the_lens(lens):
    pose = look_at(analytic_scene.EYE, analytic_scene.TARGET, analytic_scene.UP)
    size = {"width": 60, "height": 40, "fl_x": 50.0, "fl_y": 45.0, "cx": 22.0, "cy": 25.0}
    camera = Camera(camera_to_world=pose, **size, **({} if lens is None else {"lens": lens}))
    light = plane(camera)
    found = normals_from_depth(light, camera, "world")
    seen = light.opacity > 0
    assert seen.mean() > 0.5
    assert degrees_between(found, PLANE_NORMAL)[seen].max() < 0.02


def test_the_cameras_axes():
    light, _, camera = sphere(64)
    world, in_camera = (normals_from_depth(light, camera, axes) for axes in ("world", "camera"))
    np.testing.assert_allclose(world @ camera.camera_to_world[:3, :3], in_camera, atol=1e-6)
    towards = (in_camera.reshape(-1, 3) * camera.camera_directions()).sum(-1)
    assert (towards[light.opacity.ravel() > 0] < 0).all(), "normals look towards the camera"


def test_an_edge_bends_no_normal():
    """Two planes that face the camera, one behind the other: each pixel has the normal of its own plane."""
    camera = analytic_scene.camera(20, 16)
    z = np.where(np.arange(20) < 9, 1.0, 3.0) * np.ones((16, 1))
    z[5:9, 4:12] = 2.0
    depth = z / camera.z_factors().reshape(16, 20)
    found = normals_from_depth(light_of(depth, np.ones((16, 20))), camera, "camera")
    np.testing.assert_allclose(found, np.broadcast_to([0.0, 0.0, 1.0], found.shape), atol=1e-4)


def test_what_has_no_neighbours_has_no_normal():
    camera = analytic_scene.camera(6, 5)
    seen = np.zeros((5, 6))
    seen[0, 0] = seen[3, 2] = seen[3, 3] = 1.0  # a pixel, and two in a row
    assert not normals_from_depth(light_of(np.ones((5, 6)), seen), camera, "world").any()
    seen[4, 2] = 1.0
    found = normals_from_depth(light_of(np.ones((5, 6)), seen), camera, "world")
    assert np.argwhere(found.any(-1)).tolist() == [[3, 2]]
    for width, height in ((1, 1), (7, 1), (1, 7)):
        light = light_of(np.ones((height, width)), np.ones((height, width)))
        assert not normals_from_depth(light, analytic_scene.camera(width, height), "world").any()


@pytest.mark.parametrize("block", [1, 50, 130])
def test_blocks_leave_no_seams(block, monkeypatch):
    light, _, camera = sphere(40)
    whole = normals_from_depth(light, camera, "world")
    monkeypatch.setattr(normals, "_BLOCK", block)
    np.testing.assert_array_equal(normals_from_depth(light, camera, "world"), whole)


def test_depth_of_what_is_not_there_plays_no_part():
    """A floor seen along it, with a hole in which a depth stands that is closer to one side's."""
    camera = Camera.from_fov_y(look_at((0, 0, 1), (6, 0, 0), (0, 0, 1)), 30, 20, 8.0)
    directions = camera.rays().directions.astype(np.float64)
    depth = (-1.0 / directions[:, 2]).reshape(20, 30)
    seen = np.ones((20, 30))
    seen[8:11, 12:15] = 0.0
    light = light_of(depth, seen)
    light.depth[8:11, 12:15] = depth[7:10, 12:15]
    found = normals_from_depth(light, camera, "world")
    up = np.where(seen[..., None] > 0, np.array([0.0, 0.0, 1.0]), 0.0)
    np.testing.assert_allclose(found, up, atol=1e-3)
