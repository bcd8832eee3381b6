"""NeuroCity's own keyframes: where the camera is to be, and when.

    {"keyframes": [{"camera_to_world": [[...], ...] or "look_at": {"eye", "target", "up"},
                    "fov_y_degrees": 50, "seconds": 0.0}, ...],
     "width": 1280, "height": 720, "frames_per_second": 30, "seconds": 10, "loop": false}

Positions lie on the centripetal Catmull-Rom spline (Yuksel et al. 2011: no loops and cusps within a stretch),
rotations on the same spline of the sphere, fields of view never go beyond those of the keyframes. Where each
keyframe has `seconds`, the camera is there at that time and changes its speed smoothly; where none has, it
moves at constant speed for the `seconds` of the film. Between equal keyframes it stands still.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.camera_path.fields import Record, naming
from neurocity.camera_path.path import (
    FASTEST,
    LONGEST,
    CameraPath,
    Request,
    check_positive,
    checked_pose,
    pinhole_cameras,
)
from neurocity.camera_path.quaternions import SPHERE, aligned, quaternions
from neurocity.camera_path.splines import monotone, through
from neurocity.errors import DataError
from neurocity.poses import look_at

Array = npt.NDArray[np.float64]

_KNOWN = ("keyframes", "width", "height", "fov_y_degrees", "frames_per_second", "seconds", "loop")
_KNOWN_OF_KEYFRAME = ("camera_to_world", "look_at", "fov_y_degrees", "seconds")
_KNOWN_OF_LOOK_AT = ("eye", "target", "up")

DEFAULT_FOV_Y_DEGREES = 50.0
"""As of the gateway's cameras."""

_SAMPLES_PER_STRETCH = 200
"""By which a curve's length is measured: a quarter of a circle to a hundred-thousandth."""
_SAMPLES = 200_000
"""The most of a curve, so that long ones take no more memory; each stretch has eight."""


def detect(data: dict[str, Any]) -> bool:
    """Whether an object is of this format, if it is not nerfstudio's."""
    return "keyframes" in data


def read(data: dict[str, Any], request: Request) -> CameraPath:
    """Raises DataError and CameraError, which name the place in the file."""
    file = Record(data)
    file.require_known(_KNOWN)
    entries = file.records("keyframes", least=2)
    request.check_frames(len(entries))
    loop = file.truth("loop")
    poses = np.stack([_pose(entry, request) for entry in entries])
    fovs = np.array([_fov(file, entry) for entry in entries])
    stated = (file.whole("width"), file.whole("height")) if "width" in file or "height" in file else None
    size = request.size(stated)
    rate = request.rate(file.positive("frames_per_second", FASTEST) if "frames_per_second" in file else None)

    positions = poses[:, :3, 3]
    knots = _centripetal(positions, loop)
    times = _times(file, entries, loop)
    seconds = request.seconds or (
        float(times[-1]) if times is not None else file.positive("seconds", LONGEST)
    )
    # The last keyframe is a frame, too, unless the film begins anew there.
    count = request.check_frames(max(round(seconds * rate), 1) + (not loop))
    share = np.arange(count) / max(count - (not loop), 1)
    if times is None:
        at = _constant_speed(positions, knots, loop, share)
    else:
        at = _timed(times, knots, loop, share * times[-1])
    rotations = aligned(quaternions(poses[:, :3, :3]))
    return CameraPath(
        pinhole_cameras(
            through(positions, knots, at, closed=loop, rest=True),
            through(rotations, knots, at, closed=loop, rest=True, space=SPHERE),
            monotone(knots, np.append(fovs, fovs[:1]) if loop else fovs, at),
            size,
        ),
        rate,
    )


def _pose(entry: Record, request: Request) -> Array:
    entry.require_known(_KNOWN_OF_KEYFRAME)
    if ("camera_to_world" in entry) == ("look_at" in entry):
        raise DataError(f"{entry.place}: expected one of camera_to_world and look_at")
    if "camera_to_world" in entry:
        matrix = entry.numbers("camera_to_world", (4, 4))
        return checked_pose(matrix, entry.name("camera_to_world"))
    view = entry.record("look_at")
    view.require_known(_KNOWN_OF_LOOK_AT)
    up = view.numbers("up", (3,)).tolist() if "up" in view else request.up
    with naming(view.place):
        return look_at(view.numbers("eye", (3,)).tolist(), view.numbers("target", (3,)).tolist(), up)


def _fov(file: Record, entry: Record) -> float:
    for record in (entry, file):
        if "fov_y_degrees" in record:
            return record.fov("fov_y_degrees")
    return DEFAULT_FOV_Y_DEGREES


def _times(file: Record, entries: list[Record], loop: bool) -> Array | None:
    """When the camera is at each keyframe, from 0, and of a loop at the first again; None where no keyframe
    says so."""
    having = ["seconds" in entry for entry in entries]
    if not any(having):
        return None
    if not all(having):
        lacking = entries[having.index(False)]
        raise DataError(f"{lacking.name('seconds')}: is missing; either all keyframes have it, or none")
    times = [entry.number("seconds") for entry in entries]
    names = [entry.name("seconds") for entry in entries]
    if loop:
        times.append(file.positive("seconds", LONGEST) if "seconds" in file else np.nan)
        names.append("seconds (of the whole loop)")
    elif "seconds" in file:
        raise DataError("seconds: the keyframes say when the camera is there; give one or the other")
    if times[0] != 0.0:
        raise DataError(f"{names[0]}: got {times[0]:g}, expected 0, where the film begins")
    for i in range(1, len(times)):
        if not times[i] > times[i - 1]:
            got = "is missing" if np.isnan(times[i]) else f"got {times[i]:g}"
            raise DataError(f"{names[i]}: {got}, expected more than {times[i - 1]:g}")
    check_positive(names[-1], times[-1], LONGEST)
    return np.array(times)


def _centripetal(positions: Array, loop: bool) -> Array:
    """Knots [K], or [K + 1] of a loop, whose distances are the square roots of those of the positions."""
    points = np.concatenate([positions, positions[:1]]) if loop else positions
    steps = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=-1))
    moving = steps > 1e-6 * steps.max()
    # A stretch in which the camera only turns, or stands, is as long as the others are on the average.
    steps[~moving] = steps[moving].mean() if steps.max() > 0.0 else 1.0
    return np.concatenate([[0.0], np.cumsum(steps)])


def _timed(times: Array, knots: Array, loop: bool, at_times: Array) -> Array:
    """The curve's parameters at times."""
    if loop:  # so that the speed is the same where the film begins anew
        times = np.concatenate([[times[-2] - times[-1]], times, [times[-1] + times[1]]])
        knots = np.concatenate([[knots[-2] - knots[-1]], knots, [knots[-1] + knots[1]]])
    return np.clip(monotone(times, knots, at_times), 0.0, knots[-2] if loop else knots[-1])


def _constant_speed(positions: Array, knots: Array, loop: bool, share: Array) -> Array:
    """The curve's parameters at shares of its length. Raises DataError where the camera does not move."""
    count = len(knots) - 1
    samples = min(_SAMPLES_PER_STRETCH, max(_SAMPLES // count, 8))
    fine = np.interp(np.arange(count * samples + 1) / samples, range(count + 1), knots)
    points = through(positions, knots, fine, closed=loop, rest=True)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    stretches = lengths.reshape(count, samples).sum(-1)
    still = int(stretches.argmin())
    if stretches[still] <= 1e-9 * stretches.max():
        raise DataError(
            f"keyframes[{still}] and keyframes[{(still + 1) % len(positions)}] stand at the same place, "
            "where the camera cannot go at constant speed: give `seconds` in every keyframe"
        )
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    return np.interp(share * along[-1], along, fine)
