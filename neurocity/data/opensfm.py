"""Reader of OpenSfM and OpenDroneMap: `reconstruction.json`, and the images in `images/`.

https://opensfm.org/docs/geometry.html: poses are world-to-camera with OpenCV axes, a rotation vector and a
translation. Focal lengths and principal points are in units of the image's longer side, the latter from the
image's centre. World z points upwards.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.calibrated import calibrated_frames
from neurocity.data.reading import Reading
from neurocity.data.scene import Capture, naming
from neurocity.errors import DataError
from neurocity.lenses import Lens, brown_lens
from neurocity.pose_files.json_file import read_json
from neurocity.poses import opencv_to_opengl

_FILES = ("reconstruction.json", "opensfm/reconstruction.json")
LOOKS_FOR = f"{' or '.join(_FILES)} (OpenSfM, OpenDroneMap)"

Array = npt.NDArray[np.float64]

_COEFFICIENTS = {
    "perspective": ("k1", "k2"),
    "simple_radial": ("k1",),
    "radial": ("k1", "k2"),
    "brown": ("k1", "k2", "k3", "p1", "p2"),
    "fisheye": ("k1", "k2"),
    "fisheye_opencv": ("k1", "k2", "k3", "k4"),
    "fisheye62": ("k1", "k2", "k3", "k4", "p1", "p2"),
}
"""Those that may differ from zero, by `projection_type`; they have OpenCV's names and meaning."""

_UNDISTORT = "run `opensfm undistort` and give its folder `undistorted`"

_HEAD = 2**16


def detect(root: Path) -> bool:
    """Whether `root` has a reconstruction in one of the usual places."""
    return _file(root) is not None


def read(reading: Reading) -> Capture:
    """Raises DataError, naming file and image, when a file is missing or not as expected.

    Of several reconstructions the one with the most images is read.
    """
    path = _file(reading.root)
    if path is None:
        raise DataError(f"{reading.root}: no reconstruction; looked for {LOOKS_FOR}")
    reconstruction = _largest(path, reading)
    shots, cameras = reconstruction["shots"], reconstruction["cameras"]
    if panoramas := reconstruction.get("pano_shots"):
        reading.remark(f"{path.name}: {len(panoramas)} panoramas (`pano_shots`) are left out")
    posed = {}
    for name in sorted(shots):
        with naming(f"{path}: image {name!r}"):
            posed[name] = _camera(shots[name], cameras)
    folders = [reading.root / "images"]
    if reading.root.name == "opensfm":  # OpenDroneMap's, given by itself: images are beside it
        folders.append(reading.root.parent / "images")
    frames = calibrated_frames(reading, path, folders, posed)
    return Capture(
        splits={"train": tuple(frames)},
        up=(0.0, 0.0, 1.0),
        points=_points(path, reconstruction, reading),
    )


def _file(root: Path) -> Path | None:
    return next((root / name for name in _FILES if _is_reconstruction(root / name)), None)


def _is_reconstruction(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return re.match(rb'(\xef\xbb\xbf)?\s*\[\s*\{\s*"', head) is not None and any(
        key in head for key in (b'"cameras"', b'"shots"', b'"points"')
    )


def _largest(path: Path, reading: Reading) -> dict[str, Any]:
    """The reconstruction with the most shots; has `cameras` and `shots`, both objects."""
    reconstructions = read_json(path)
    for i, item in enumerate(reconstructions):
        for key in ("cameras", "shots"):
            if not isinstance(item, dict) or not isinstance(item.get(key), dict):
                raise DataError(f"{path}: reconstruction {i} has no object `{key}`")
    ordered = sorted(reconstructions, key=lambda item: len(item["shots"]), reverse=True)
    if not ordered[0]["shots"]:
        raise DataError(f"{path}: the reconstruction has no images (`shots`)")
    if others := [len(item["shots"]) for item in ordered[1:]]:
        reading.remark(
            f"{path.name}: {len(others) + 1} reconstructions; the one with the most images, "
            f"{len(ordered[0]['shots'])}, is read, {sum(others)} images of others are left out"
        )
    chosen: dict[str, Any] = ordered[0]
    return chosen


def _camera(shot: Any, cameras: Mapping[str, Any]) -> Camera:
    if not isinstance(shot, dict):
        raise DataError(f"is {shot!r}, expected an object")
    name = shot.get("camera")
    if not isinstance(name, str) or not isinstance(cameras.get(name), dict):
        raise DataError(f"its camera {name!r} is not among `cameras`")
    rotation, translation = (_vector(shot, key) for key in ("rotation", "translation"))
    turn = _rotation(rotation)
    pose = np.eye(4)
    pose[:3, :3] = turn.T
    pose[:3, 3] = -turn.T @ translation
    camera = cameras[name]
    with naming(f"camera {name!r}"):
        width, height = (_pixels(camera, key) for key in ("width", "height"))
        longer = max(width, height)
        focal = "focal" if "focal" in camera else "focal_x"
        return Camera(
            camera_to_world=opencv_to_opengl(pose),
            width=width,
            height=height,
            fl_x=_number(camera, focal) * longer,
            fl_y=_number(camera, "focal" if focal == "focal" else "focal_y") * longer,
            cx=0.5 * width + _number(camera, "c_x", 0.0) * longer,
            cy=0.5 * height + _number(camera, "c_y", 0.0) * longer,
            lens=_lens(camera),
        )


def _lens(camera: dict[str, Any]) -> Lens:
    projection = camera.get("projection_type", "perspective")
    if projection not in _COEFFICIENTS:
        raise DataError(
            f"`projection_type` {projection!r} is not supported, supported: {', '.join(_COEFFICIENTS)}; "
            f"{_UNDISTORT}"
        )
    values = {key: _number(camera, key) for key in camera if re.fullmatch(r"[kps]\d+", key)}
    for key, value in values.items():
        if value != 0.0 and key not in _COEFFICIENTS[projection]:
            raise DataError(
                f"`projection_type` {projection!r}: {key} = {value} is not supported, supported: "
                f"{', '.join(_COEFFICIENTS[projection])}; {_UNDISTORT}"
            )
    return brown_lens(values, fisheye=projection.startswith("fisheye"))


def _rotation(vector: Array) -> Array:
    """The rotation around `vector` by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle if angle > 0 else vector
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def _points(path: Path, reconstruction: dict[str, Any], reading: Reading) -> Array | None:
    points = reconstruction.get("points")
    if not points:
        return None
    try:
        array = np.array([point["coordinates"] for point in points.values()], dtype=np.float64)
    except (AttributeError, KeyError, TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 3:
        raise DataError(f"{path}: `points` are no objects with three `coordinates`")
    finite = np.isfinite(array).all(1)
    if not finite.all():
        reading.remark(f"{path.name}: {int((~finite).sum())} points that are not finite are left out")
    return array[finite]


def _number(camera: dict[str, Any], key: str, default: float | None = None) -> float:
    value = camera.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"`{key}` is {value!r}, expected a number")
    return float(value)


def _pixels(camera: dict[str, Any], key: str) -> int:
    value = _number(camera, key)
    if not value.is_integer() or value < 1:
        raise DataError(f"`{key}` is {value!r}, expected a whole number of pixels of at least 1")
    return int(value)


def _vector(shot: dict[str, Any], key: str) -> Array:
    try:
        vector = np.array(shot.get(key), dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise DataError(f"`{key}` is {shot.get(key)!r}, expected three finite numbers")
    return vector
