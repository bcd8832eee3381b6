"""Poses: where a camera stands and where it looks, from what people say of it, and checked.

A pose is a 4x4 matrix in the notation of `neurocity.cameras`.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neurocity.errors import CameraError

Array = npt.NDArray[np.float64]

ROTATION_TOLERANCE = 1e-3
"""How far a singular value of a rotation may be from 1; the nearest rotation is then used."""

_FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])


def opencv_to_opengl(camera_to_world: Array) -> Array:
    """A camera-to-world 4x4 (or [..., 4, 4]) with OpenCV camera axes as one with OpenGL camera axes."""
    return np.asarray(camera_to_world, dtype=np.float64) @ _FLIP_YZ


def opengl_to_opencv(camera_to_world: Array) -> Array:
    """A camera-to-world 4x4 (or [..., 4, 4]) with OpenGL camera axes as one with OpenCV camera axes."""
    return np.asarray(camera_to_world, dtype=np.float64) @ _FLIP_YZ


def look_at(eye: Sequence[float], target: Sequence[float], up: Sequence[float]) -> Array:
    """camera_to_world 4x4 (OpenGL axes) of a camera at `eye` that looks at `target` with `up` upwards.

    Raises CameraError when eye and target coincide (field `target`) or up is zero or along the view (`up`).
    """
    position, towards, upwards = _vector(eye, "eye"), _vector(target, "target"), _vector(up, "up")
    distance = math.dist(position.tolist(), towards.tolist())  # numpy's calls take longer than three numbers
    if distance < 1e-9:
        raise CameraError(f"target {tuple(towards)} coincides with eye: no direction to view in", "target")
    back = [(a - b) / distance for a, b in zip(position.tolist(), towards.tolist(), strict=True)]
    right = _cross(upwards.tolist(), back)
    length = math.hypot(*right)
    if length < 1e-6 * max(math.hypot(*upwards.tolist()), 1e-6):
        raise CameraError(f"up {tuple(upwards)} is zero or parallel to the viewing direction", "up")
    return _pose([value / length for value in right], back, position)


def orbit(
    azimuth_degrees: float,
    elevation_degrees: float,
    radius: float,
    target: Sequence[float] = (0.0, 0.0, 0.0),
    up: Sequence[float] = (0.0, 0.0, 1.0),
) -> Array:
    """camera_to_world 4x4 (OpenGL axes) of a camera on a sphere around `target`, looking at it.

    With up = +z, azimuth 0 is on the +x side and 90 on the +y side; elevation 90 looks straight down. For
    another up, azimuth 0 is on the side of +x (of +y where up is along x) perpendicular to it.
    """
    centre, axis = _vector(target, "target"), _vector(up, "up")
    if not np.linalg.norm(axis) > 1e-9:
        raise CameraError(f"up {tuple(axis)} is zero, expected a direction", "up")
    if not (np.isfinite(radius) and radius > 0):
        raise CameraError(f"radius is {radius!r}, expected a positive number", "radius")
    for name, angle in (("azimuth", azimuth_degrees), ("elevation", elevation_degrees)):
        if not np.isfinite(angle):
            raise CameraError(f"{name} is {angle!r}, expected degrees", name)
    axis = axis / np.linalg.norm(axis)
    first = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    first -= axis * (first @ axis)
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    azimuth, elevation = np.radians(azimuth_degrees), np.radians(elevation_degrees)
    outwards = np.cos(azimuth) * first + np.sin(azimuth) * second
    back = np.cos(elevation) * outwards + np.sin(elevation) * axis
    right = np.cross(axis, outwards)
    return _pose(right.tolist(), back.tolist(), centre + radius * back)


def _pose(right: list[float], back: list[float], position: Array) -> Array:
    return np.array([*zip(right, _cross(back, right), back, position.tolist(), strict=True), (0, 0, 0, 1)])


def _cross(a: list[float], b: list[float]) -> list[float]:
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def _vector(value: Sequence[float], name: str) -> Array:
    vector = np.array(value, dtype=np.float64)
    if vector.shape != (3,) or not all(map(math.isfinite, vector.tolist())):
        raise CameraError(f"{name} is {value!r}, expected three finite numbers", name)
    return vector


def checked_pose(matrix: npt.ArrayLike) -> Array:
    """`matrix` as a read-only float64 4x4 whose rotation is orthonormal to machine precision.

    Rounding of the rotation up to `ROTATION_TOLERANCE` is removed. Raises CameraError when it is not finite,
    or not a rotation and a translation.
    """
    wrong = "camera_to_world"
    try:
        pose = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise CameraError(f"camera_to_world is {matrix!r}, expected 4x4 numbers", wrong) from None
    if pose.shape != (4, 4):
        raise CameraError(f"camera_to_world has shape {pose.shape}, expected (4, 4)", wrong)
    if not np.isfinite(pose).all():
        raise CameraError("camera_to_world has a value that is not finite", wrong)
    if _is_exact(pose.tolist()):  # most poses, in an eighth of the time
        pose.setflags(write=False)
        return pose
    if not np.allclose(pose[3], (0, 0, 0, 1), atol=ROTATION_TOLERANCE):
        transposed = np.allclose(pose[:, 3], (0, 0, 0, 1), atol=ROTATION_TOLERANCE)
        hint = "; the matrix looks transposed (column-major)" if transposed else ""
        raise CameraError(f"{wrong}'s last row is {pose[3].tolist()}, expected [0, 0, 0, 1]{hint}", wrong)
    left, scales, right = np.linalg.svd(pose[:3, :3])
    if abs(scales - 1.0).max() > ROTATION_TOLERANCE:
        even = scales.max() - scales.min() <= 1e-3 * scales.max()
        hint = (
            f"it is a rotation scaled by {scales.mean():.6g} (as in raw MatrixCity files): divide it by that"
            if even and scales.max() > 0
            else f"it is sheared or stretched (singular values {scales.round(6).tolist()}, expected ones)"
        )
        raise CameraError(f"camera_to_world's rotation is not orthonormal; {hint}", wrong)
    if np.linalg.det(pose[:3, :3]) < 0:
        raise CameraError(
            "camera_to_world's rotation is a reflection (determinant -1): an axis is flipped, or two swapped",
            wrong,
        )
    if abs(scales - 1.0).max() > 1e-12:  # exact rotations stay as they are, to the bit
        pose[:3, :3] = left @ right
    pose[3] = (0, 0, 0, 1)
    pose.setflags(write=False)
    return pose


def _is_exact(rows: list[list[float]]) -> bool:
    """Whether these are a rotation, to far below what `checked_pose` takes away, and a translation."""
    x, y, z = (row[:3] for row in rows[:3])
    products = (x, x, 1.0), (y, y, 1.0), (x, y, 0.0), (y, z, 0.0), (z, x, 0.0), (_cross(x, y), z, 1.0)
    exact = all(abs(a[0] * b[0] + a[1] * b[1] + a[2] * b[2] - c) < 1e-13 for a, b, c in products)
    return exact and rows[3] == [0.0, 0.0, 0.0, 1.0]
