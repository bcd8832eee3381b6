"""nerfstudio's `camera_path.json`: frames one by one, or, where there are none, the viewers' keyframes.

Poses have OpenGL axes, row by row. `fov` is vertical, in degrees. `aspect` is not read: the size is
`render_width` and `render_height`. The frame rate is frames / `seconds`, as in ns-render, where `seconds` is
more than 0, and else `fps`.

Keyframes have two dialects. The viewer of today writes `matrix` row by row; its curve is a Kochanek-Bartels
spline of tension `smoothness_value`, for rotations too, run through with a monotone course of time over the
transitions. The viewer of before 1.0 writes `matrix` as a text, column by column (three.js); its curve is
three.js' CatmullRomCurve3 through positions, view directions and ups, with `smoothness_value` as tension.
Frame i of n is at i / n of the time.
"""

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.camera_path.fields import Record, array_of, naming, shown
from neurocity.camera_path.path import FASTEST, LONGEST, CameraPath, Request, checked_pose, pinhole_cameras
from neurocity.camera_path.quaternions import SPHERE, aligned, quaternions
from neurocity.camera_path.splines import monotone, through
from neurocity.cameras import Camera
from neurocity.errors import DataError
from neurocity.lenses import PINHOLE, Lens, lens_of

Array = npt.NDArray[np.float64]

_LENSES = {"perspective": PINHOLE, "fisheye": lens_of("OPENCV_FISHEYE", {})}
_DEFAULT_TRANSITION = 0.5
"""Seconds between two keyframes, where the file does not say."""
_FOV_SMOOTHNESS = 0.1
"""Of the older viewer: its curve of fields of view has a tenth of the others' tension."""


def detect(data: dict[str, Any]) -> bool:
    """Whether an object is of this format."""
    entries = data.get("keyframes")
    first = entries[0] if isinstance(entries, list) and entries else None
    return "camera_path" in data or "render_width" in data or (isinstance(first, dict) and "matrix" in first)


def read(data: dict[str, Any], request: Request) -> CameraPath:
    """Raises DataError and CameraError, which name the place in the file."""
    file = Record(data)
    lens = _lens(file)
    if data.get("crop") is not None:
        raise DataError("crop: is not supported; set it to null, and export a scene that is cropped instead")
    stated = (file.whole("render_width"), file.whole("render_height")) if "render_width" in file else None
    size = request.size(stated)
    if data.get("camera_path"):
        return _frames(file, size, lens, request)
    if not data.get("keyframes"):
        raise DataError("camera_path: has neither frames nor keyframes")
    if lens is not PINHOLE:
        raise DataError("camera_type: keyframes of a fisheye are not supported, frames in `camera_path` are")
    keyframes = file.records("keyframes", least=2)
    request.check_frames(len(keyframes))
    rate = request.rate(_rate_of(file))
    if isinstance(keyframes[0].values.get("matrix"), str):
        return _older(file, keyframes, size, rate, request)
    return _of_today(file, keyframes, size, rate, request)


def _lens(file: Record) -> Lens:
    kind = file.values.get("camera_type") or "perspective"
    if not isinstance(kind, str) or kind not in _LENSES:
        raise DataError(f"camera_type: got {shown(kind)}, supported: {', '.join(_LENSES)}")
    return _LENSES[kind]


def _frames(file: Record, size: tuple[int, int], lens: Lens, request: Request) -> CameraPath:
    entries = file.records("camera_path")
    request.check_frames(len(entries))
    cameras = []
    for entry in entries:
        pose = entry.numbers("camera_to_world", (16,)).reshape(4, 4)
        # Of a fisheye, too, nerfstudio takes the focal length that a pinhole would have.
        focal = 0.5 * size[1] / math.tan(0.5 * math.radians(entry.fov("fov")))
        with naming(entry.name("camera_to_world")):
            cameras.append(
                Camera(
                    camera_to_world=pose,
                    width=size[0],
                    height=size[1],
                    fl_x=focal,
                    fl_y=focal,
                    cx=0.5 * size[0],
                    cy=0.5 * size[1],
                    lens=lens,
                )
            )
    seconds = file.number("seconds") if "seconds" in file else 0.0
    if seconds < 0.0:
        raise file.wrong("seconds", "a number of at least 0")
    stated = len(cameras) / seconds if seconds > 0.0 else _rate_of(file)
    if stated is not None and stated > FASTEST:
        raise DataError(
            f"seconds: got {seconds:g} for {len(cameras)} frames, more than {FASTEST:g} per second"
        )
    return CameraPath(tuple(cameras), request.rate_of_frames(len(cameras), stated))


def _rate_of(file: Record) -> float | None:
    return file.positive("fps", FASTEST) if "fps" in file else None


def _of_today(
    file: Record, keyframes: list[Record], size: tuple[int, int], rate: float, request: Request
) -> CameraPath:
    closed = file.truth("is_cycle")
    tension = file.number("smoothness_value") if "smoothness_value" in file else 0.0
    poses = np.stack([_row_major(entry) for entry in keyframes])
    fovs = np.array([entry.fov("fov") for entry in keyframes])
    transitions = [_transition(file, entry) for entry in keyframes]
    # Each keyframe says how long the way to it takes, which for the first is the way back, of a loop alone.
    ways = np.array([*transitions[1:], *transitions[: int(closed)]])
    times, knots = np.concatenate([[0.0], np.cumsum(ways)]), np.arange(len(ways) + 1.0)
    count = request.frames_in(request.seconds or float(times[-1]), rate)
    at_times = np.arange(count) / count * times[-1]
    if closed:
        times = np.concatenate([[-ways[-1]], times, [times[-1] + ways[0]]])
        at = monotone(times, np.arange(-1.0, len(ways) + 2.0), at_times)
    else:
        at = monotone(times, knots, at_times)
    at = np.clip(at, 0.0, knots[-1])
    rotations = aligned(quaternions(poses[:, :3, :3]))
    positions, fovs = (
        through(part, knots, at, tension=tension, closed=closed) for part in (poses[:, :3, 3], fovs[:, None])
    )
    turned = through(rotations, knots, at, tension=tension, closed=closed, space=SPHERE)
    return CameraPath(pinhole_cameras(positions, turned, fovs[:, 0], size), rate)


def _transition(file: Record, entry: Record) -> float:
    if entry.truth("override_transition_enabled") and "override_transition_sec" in entry:
        return entry.positive("override_transition_sec", LONGEST)
    if "default_transition_sec" in file:
        return file.positive("default_transition_sec", LONGEST)
    return _DEFAULT_TRANSITION


def _older(
    file: Record, keyframes: list[Record], size: tuple[int, int], rate: float, request: Request
) -> CameraPath:
    if file.truth("is_linear"):
        raise DataError(
            "is_linear: keyframes of constant speed are not supported, frames in `camera_path` are"
        )
    closed = file.truth("is_cycle")
    smoothness = file.number("smoothness_value") if "smoothness_value" in file else 0.5
    poses = np.stack([_column_major(entry) for entry in keyframes])
    fovs = np.array([entry.fov("fov") for entry in keyframes])
    count = request.frames_in(request.seconds or file.positive("seconds", LONGEST), rate)
    stretches = len(keyframes) - 1 + closed
    at = _progress(keyframes, np.arange(count) / count) * stretches
    positions, backs, ups = (
        _three_js(part, at, smoothness, closed)
        for part in (poses[:, :3, 3], poses[:, :3, 2], poses[:, :3, 1])
    )
    smooth_fovs = _three_js(fovs[:, None], at, smoothness * _FOV_SMOOTHNESS, closed)[:, 0]
    rotations = quaternions(_rotations(backs, ups))
    return CameraPath(pinhole_cameras(positions, rotations, smooth_fovs, size), rate)


def _progress(keyframes: list[Record], progress: Array) -> Array:
    """Shares of the curve at shares of the time: linear between the keyframes' TIMEs, where all have one."""
    times = []
    for entry in keyframes:
        if "properties" not in entry:
            return progress
        pairs = _parsed(entry, "properties")
        found = [pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2 and pair[0] == "TIME"]
        if not found:
            return progress
        times.append(Record({"TIME": found[0]}, entry.name("properties")).number("TIME"))
    if np.diff(times).min() <= 0.0:
        raise DataError(f"keyframes: got TIMEs {shown(times)}, expected increasing ones")
    return np.interp(progress, times, np.linspace(0.0, 1.0, len(times)))


def _three_js(values: Array, at: Array, tension: float, closed: bool) -> Array:
    """three.js' CatmullRomCurve3 of type `catmullrom`: velocities at keyframes are tension (next - previous),
    with keyframes before and behind the ends that go on in a straight line."""
    if not closed:
        ends = 2.0 * values[:1] - values[1:2], 2.0 * values[-1:] - values[-2:-1]
        values = np.concatenate([ends[0], values, ends[1]])
        at = at + 1.0
    knots = np.arange(len(values) + float(closed))
    return through(values, knots, at, tension=1.0 - 2.0 * tension, closed=closed)


def _rotations(backs: Array, ups: Array) -> Array:
    """Matrices [N, 3, 3] of cameras with these backward directions, and these ups as near as can be."""
    lengths = np.linalg.norm(backs, axis=-1, keepdims=True)
    backs = backs / np.maximum(lengths, 1e-12)
    rights = np.cross(ups, backs)
    widths = np.linalg.norm(rights, axis=-1, keepdims=True)
    if min(lengths.min(), widths.min()) < 1e-6:
        frame = int(np.minimum(lengths, widths).argmin())
        raise DataError(f"keyframes: at frame {frame} of the path their view directions cancel each other")
    rights = rights / widths
    return np.stack([rights, np.cross(backs, rights), backs], -1)


def _row_major(entry: Record) -> Array:
    return checked_pose(entry.numbers("matrix", (16,)).reshape(4, 4), entry.name("matrix"))


def _column_major(entry: Record) -> Array:
    matrix = array_of(_parsed(entry, "matrix"), (16,))
    if matrix is None:
        raise entry.wrong("matrix", "16 finite numbers in brackets")
    return checked_pose(matrix.reshape(4, 4).T, entry.name("matrix"))


def _parsed(entry: Record, key: str) -> list[Any]:
    """The list that stands as text at a key, as all keyframes of the older dialect have it."""
    text = entry.values.get(key)
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise entry.wrong(key, "a list, written as text")
    return value
