"""instant-ngp's camera path, `base_cam.json`.

Poses are in its unit cube: OpenCV axes, and world axes cycled (its x, y, z are the capture's y, z, x), see
`InstantNGPSpace`. `R` is a quaternion x, y, z, w, `T` a position, `fov` vertical and in degrees. The curve is
a uniform B-spline of order `spline_order` (3 where the file does not say), which passes by its keyframes:
quaternions are summed with equal signs and normalised. A keyframe's `timestamp` is when the next one begins;
where they do not increase, keyframes are equally long. Frame i of n is at i / n of the time.

`scale` and `slice` set a plane of focus, which does nothing without an aperture.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.camera_path.fields import Record
from neurocity.camera_path.path import LONGEST, CameraPath, InstantNGPSpace, Request, pinhole_cameras
from neurocity.camera_path.quaternions import matrices, normalised, quaternions
from neurocity.errors import DataError
from neurocity.poses import opencv_to_opengl

Array = npt.NDArray[np.float64]

_SIZE = (1920, 1080)
_SECONDS = 5.0
"""What instant-ngp renders by itself; files have no size, and older ones no duration."""

_CYCLE = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
"""World axes to those of the unit cube."""


def detect(data: dict[str, Any]) -> bool:
    """Whether an object is of this format."""
    return "path" in data


def read(data: dict[str, Any], request: Request) -> CameraPath:
    """Raises DataError and CameraError, which name the place in the file."""
    file = Record(data)
    keyframes = file.records("path", least=2)
    request.check_frames(len(keyframes))
    size = request.size(_SIZE)
    rate = request.rate(None)
    loop = file.truth("loop")
    order = file.number("spline_order") if "spline_order" in file else 3
    if order not in (0, 1, 2, 3):
        raise file.wrong("spline_order", "0, 1, 2 or 3")
    seconds = request.seconds or (_seconds(file) or _SECONDS)
    count = request.frames_in(seconds, rate)
    at = _places(_ends(keyframes), loop, np.arange(count) / count)
    places, turns, fovs = _blended(_parsed(keyframes), at, int(order), loop)
    rotations, positions = _in_world(turns, places, request.instant_ngp or InstantNGPSpace())
    return CameraPath(pinhole_cameras(positions, rotations, fovs, size), rate)


def _seconds(file: Record) -> float:
    seconds = file.number("duration_seconds") if "duration_seconds" in file else 0.0
    if not 0.0 <= seconds <= LONGEST:
        raise file.wrong("duration_seconds", f"a number from 0 to {LONGEST:g}")
    return seconds


def _parsed(keyframes: list[Record]) -> Array:
    """Position, quaternion (x, y, z, w) and field of view of each keyframe [K, 8]."""
    rows = []
    for entry in keyframes:
        turn = entry.numbers("R", (4,))
        if not np.linalg.norm(turn) > 1e-6:
            raise entry.wrong("R", "a quaternion x, y, z, w that is not zero")
        for key in ("aperture_size", "dof"):
            if key in entry and entry.number(key) != 0.0:
                raise DataError(f"{entry.name(key)}: blur out of focus is not supported; set it to 0")
        rows.append([*entry.numbers("T", (3,)), *normalised(turn), entry.fov("fov")])
    return np.array(rows)


def _ends(keyframes: list[Record]) -> Array:
    """When each keyframe's stretch ends [K], from 0."""
    ends = np.array([entry.number("timestamp") if "timestamp" in entry else 0.0 for entry in keyframes])
    if (np.diff(ends, prepend=0.0) > 0.0).all():
        return ends
    return np.arange(1.0, len(keyframes) + 1.0)


def _places(ends: Array, loop: bool, share: Array) -> Array:
    """Stretches [N], with the part of them that is done behind the point, at shares of the path's time."""
    used = ends if loop else ends[:-1]
    return np.interp(share * used[-1], np.concatenate([[0.0], used]), np.arange(len(used) + 1.0))


def _blended(keyframes: Array, at: Array, order: int, loop: bool) -> tuple[Array, Array, Array]:
    """Positions [N, 3], quaternions (x, y, z, w) [N, 4] and fields of view [N] of the B-spline."""
    stretch = np.floor(at).astype(int)
    t = at - stretch
    first, weights = _weights(order, t)
    total, turn = np.zeros((len(at), 8)), np.zeros((len(at), 4))
    for number, weight in enumerate(weights):
        index = stretch + first + number
        index = index % len(keyframes) if loop else np.clip(index, 0, len(keyframes) - 1)
        rows = keyframes[index]
        # As one after the other is added: with the sign that is nearer to the sum.
        sign = np.where((rows[:, 3:7] * turn).sum(-1) < 0.0, -1.0, 1.0)
        turn = turn + rows[:, 3:7] * (weight * sign)[:, None]
        total = total + rows * weight[:, None]
    lengths = np.linalg.norm(turn, axis=-1)
    if lengths.min() < 1e-6:
        raise DataError(f"path: at frame {int(lengths.argmin())} its rotations cancel each other")
    return total[:, :3], normalised(turn), total[:, 7]


def _weights(order: int, t: Array) -> tuple[int, list[Array]]:
    """Which keyframe, from that of the stretch, is the first to count, and how much each does [N]."""
    if order == 0:
        return 0, [np.where(t < 0.5, 1.0, 0.0), np.where(t < 0.5, 0.0, 1.0)]
    if order == 1:
        return 0, [1.0 - t, t]
    if order == 2:
        return -1, [0.5 * (1.0 - t) ** 2, 0.5 * (-2.0 * t**2 + 2.0 * t + 1.0), 0.5 * t**2]
    cubic = [(1.0 - t) ** 3, 3.0 * t**3 - 6.0 * t**2 + 4.0, -3.0 * t**3 + 3.0 * t**2 + 3.0 * t + 1.0, t**3]
    return -1, [weight / 6.0 for weight in cubic]


def _in_world(turns: Array, places: Array, space: InstantNGPSpace) -> tuple[Array, Array]:
    """Quaternions (w, x, y, z) [N, 4] of OpenGL cameras and positions [N, 3] in the capture's coordinates."""
    poses = np.tile(np.eye(4), (len(turns), 1, 1))
    poses[:, :3, :3] = _CYCLE.T @ matrices(np.roll(turns, 1, axis=-1))
    rotations = quaternions(opencv_to_opengl(poses)[:, :3, :3])
    return rotations, (places @ _CYCLE - space.offset) / space.scale
