"""Intrinsics and lens of a frame of a `transforms.json` document, under the names that programs give them."""

import math
import re
from typing import Any

import numpy as np

from neurocity.cameras import Camera
from neurocity.errors import DataError
from neurocity.lenses import Lens, lens_of
from neurocity.pose_files.documents import Remark, TransformsDocument

_MATRICES = ("K", "intrinsic_matrix", "intrinsics", "camera_matrix")
"""Names of a calibration matrix; `intrinsics` may be fx, fy, cx, cy, too."""

_FOCAL_KEYS = {axis: (f"{axis}_fov", f"fl_{axis}", f"f{axis}", f"camera_angle_{axis}") for axis in ("x", "y")}
"""The first that is there counts, as in instant-ngp."""

_COEFFICIENTS = ("k1", "k2", "k3", "k4", "p1", "p2")
"""In the order of nerfstudio's `distortion_params`."""

_OTHER_COEFFICIENTS = re.compile(
    r"k0|k[5-9]|k1\d|p0|p[3-9]|s[1-6]|s[xy][1-4]|b[1-4]|tau_?[xy]|skew|omega|xi|affinity|"
    r"(?!distortion_params$).*distort.*|dist_?(coef.*|params)?|radial|tangential|thin_prism",
    re.IGNORECASE,
)
"""Names of lens coefficients that are not understood; where they are numbers other than 0, they matter."""

_UNSUPPORTED = (
    *(f"ftheta_p{i}" for i in range(5)),
    *("latlong", "equirectangular", "orthographic", "rolling_shutter", "fisheye_crop_radius"),
    *("from_mitsuba", "white_transparent", "black_transparent", "transform_matrix_start"),
)
"""Keys that change what a pixel or a ray is; a file that sets one must not be read as if it did not."""

_UNDISTORT = "undistort the images first (colmap image_undistorter), or export them with a lens that is read"


def has_own_calibration(document: TransformsDocument) -> bool:
    """Whether a document says more of its cameras than `camera_angle_x`, as rendered objects do."""
    keys = {key for keys in _FOCAL_KEYS.values() for key in keys} - {"camera_angle_x", "camera_angle_y"}
    return any(key in part for part in (document.data, document.frames[0]) for key in (*keys, *_MATRICES))


def read_camera(
    document: TransformsDocument, frame: dict[str, Any], size: tuple[int, int], remark: Remark
) -> Camera:
    """The camera of `frame` at the size that the document states, or else at `size`, that of the image.

    The focal length of an axis is the first of `x_fov` (degrees), `fl_x` or `fx` (pixels), `camera_angle_x`
    (radians) that is there; with one axis given, both are equal; `K` gives both. What the frame has wins over
    the top level. The principal point defaults to the image's centre.
    Raises DataError or CameraError on anything missing, malformed or not supported.
    """
    for key in _UNSUPPORTED:
        value = document.get(key, frame)
        if _is_set(value):
            raise DataError(f"`{key}` is {value!r}, which is not supported; convert the images")
    width, height = _stated_size(document, frame, size)
    own = {**_calibration(document, document.data, (width, height))}
    own.update(_calibration(document, frame, (width, height)))
    if "fl_x" not in own:
        raise DataError("has no focal length, expected fl_x (or fx, K), camera_angle_x or x_fov")
    return Camera(
        lens=_lens(document, frame),
        camera_to_world=document.pose(frame, remark),
        width=width,
        height=height,
        fl_x=own["fl_x"],
        fl_y=own["fl_y"],
        cx=own.get("cx", 0.5 * width),
        cy=own.get("cy", 0.5 * height),
    )


def _stated_size(
    document: TransformsDocument, frame: dict[str, Any], size: tuple[int, int]
) -> tuple[int, int]:
    """`w` and `h`; where one is missing, it is in the image's proportion."""
    stated = [document.number(key, frame) for key in ("w", "h")]
    for key, value in zip("wh", stated, strict=True):
        if value is not None and not (value >= 1 and float(value).is_integer()):
            raise DataError(f"`{key}` is {value:g}, expected a whole number of pixels")
    width, height = stated
    if width is None and height is None:
        return size
    if width is None:
        width = max(round(size[0] * (height or 0.0) / size[1]), 1)
    if height is None:
        height = max(round(size[1] * width / size[0]), 1)
    return int(width), int(height)


def _calibration(
    document: TransformsDocument, level: dict[str, Any], size: tuple[int, int]
) -> dict[str, float]:
    """fl_x, fl_y (both or none), cx, cy where `level`, a frame or the top level, has them."""
    found = _matrix(document, level)
    focal = {axis: _focal(document, level, axis, size[index]) for index, axis in enumerate("xy")}
    if (either := focal["x"] if focal["x"] is not None else focal["y"]) is not None:
        found["fl_x"], found["fl_y"] = (
            either if focal[axis] is None else focal[axis] or 0.0 for axis in "xy"
        )
    for key in ("cx", "cy"):
        if (value := document.number_in(key, level)) is not None:
            found[key] = value
    return found


def _matrix(document: TransformsDocument, level: dict[str, Any]) -> dict[str, float]:
    """What the calibration matrix of `level` says; empty where there is none."""
    key = next((key for key in _MATRICES if isinstance(level.get(key), list)), None)
    if key is None:
        return {}
    value = level[key]
    if key == "intrinsics" and len(value) == 4 and not isinstance(value[0], list):
        return dict(
            zip(("fl_x", "fl_y", "cx", "cy"), document.array(f"`{key}`", value, (4,)).tolist(), strict=True)
        )
    if len(value) == 9:
        value = [value[:3], value[3:6], value[6:]]
    rows = len(value)
    matrix = document.array(f"`{key}`", value, (4, 4) if rows == 4 else (3, 3))
    if not np.isfinite(matrix).all() or matrix[1, 0] != 0 or (matrix[2, :3] != (0, 0, 1)).any():
        raise DataError(f"`{key}` is {matrix.tolist()}, expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
    if matrix[0, 1] != 0:
        raise DataError(f"`{key}` has a skew of {matrix[0, 1]:g}, which is not supported; {_UNDISTORT}")
    return {
        "fl_x": float(matrix[0, 0]),
        "fl_y": float(matrix[1, 1]),
        "cx": float(matrix[0, 2]),
        "cy": float(matrix[1, 2]),
    }


def _focal(document: TransformsDocument, level: dict[str, Any], axis: str, size: int) -> float | None:
    for key in _FOCAL_KEYS[axis]:
        value = document.number_in(key, level)
        if value is None:
            continue
        if key.startswith("f"):
            return value
        angle = math.radians(value) if key.endswith("fov") else value
        if not 0.0 < angle < math.pi:
            raise DataError(
                f"field of view in {axis} is {math.degrees(angle):g} degrees, "
                "expected more than 0 and less than 180"
            )
        return 0.5 * size / math.tan(0.5 * angle)
    return None


def _lens(document: TransformsDocument, frame: dict[str, Any]) -> Lens:
    for level in (frame, document.data):
        for key, value in level.items():
            if _OTHER_COEFFICIENTS.fullmatch(key) and _is_number_other_than_zero(value):
                raise DataError(
                    f"`{key}` is {value!r}, a lens coefficient that is not read; read are "
                    f"{', '.join(_COEFFICIENTS)} and `distortion_params`; {_UNDISTORT}"
                )
    values = dict.fromkeys(_COEFFICIENTS, 0.0)
    for level in (document.data, frame):
        for name in _COEFFICIENTS:
            if (value := document.number_in(name, level)) is not None:
                values[name] = value
        if (listed := level.get("distortion_params")) is not None:
            given = document.array("`distortion_params` (k1 k2 k3 k4 p1 p2)", listed, (6,))
            values = dict(zip(_COEFFICIENTS, given.tolist(), strict=True))
    model = document.get("camera_model", frame)
    fisheye = bool(document.get("is_fisheye", frame))
    if model is None:
        model = "OPENCV_FISHEYE" if fisheye else "OPENCV"
    elif fisheye and "FISHEYE" not in str(model):
        raise DataError(f"`is_fisheye` contradicts `camera_model` {model!r}")
    return lens_of(str(model), values)


def _is_set(value: Any) -> bool:
    return bool(value) and (not isinstance(value, list) or any(value))


def _is_number_other_than_zero(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_number_other_than_zero, value.values()))
    if isinstance(value, list):
        return any(map(_is_number_other_than_zero, value))
    return isinstance(value, int | float) and not isinstance(value, bool) and value != 0
