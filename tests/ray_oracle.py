"""Holds a camera's rays against a projection that a test writes from a format's specification."""

from collections.abc import Callable

import numpy as np

from neurocity.cameras import Camera
from neurocity.data.scene import Frame, Scene

Project = Callable[[np.ndarray], np.ndarray]
"""World points [N, 3] to pixel coordinates [N, 2] from the upper left corner, NaN behind the camera."""


def assert_rays_hit_their_pixels(camera: Camera, project: Project) -> None:
    """Points on every ray, near and far, are projected by `project` to the centre of the ray's pixel."""
    rays = camera.rays()
    rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
    for distance in (0.5, 3.0):
        points = camera.position + distance * rays.directions.astype(np.float64)
        pixels = project(points)
        np.testing.assert_allclose(pixels, np.stack([columns.ravel(), rows.ravel()], 1), atol=2e-4)
    np.testing.assert_allclose(rays.origins[0], camera.position, rtol=1e-6, atol=1e-6)


def all_frames(scene: Scene) -> dict[str, Frame]:
    """The frames of all splits by name."""
    return {frame.name: frame for frames in scene.splits.values() for frame in frames}


def rotation(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    """The 3x3 rotation by `angle` (radians) around `axis`: the series of the matrix exponential."""
    x, y, z = angle * np.array(axis) / np.linalg.norm(axis)
    generator = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    result, power = np.eye(3), np.eye(3)
    for n in range(1, 30):
        power = power @ generator / n
        result = result + power
    return result
