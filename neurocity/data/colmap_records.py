"""What COLMAP's sparse models are made of (https://colmap.github.io/format.html), as plain records.

Poses stay as in the files: world to camera, OpenCV axes, quaternion (w, x, y, z).
"""

from collections.abc import Sequence
from dataclasses import dataclass

MODELS: dict[int, tuple[str, str]] = {
    0: ("SIMPLE_PINHOLE", "f cx cy"),
    1: ("PINHOLE", "fx fy cx cy"),
    2: ("SIMPLE_RADIAL", "f cx cy k1"),
    3: ("RADIAL", "f cx cy k1 k2"),
    4: ("OPENCV", "fx fy cx cy k1 k2 p1 p2"),
    5: ("OPENCV_FISHEYE", "fx fy cx cy k1 k2 k3 k4"),
    6: ("FULL_OPENCV", "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6"),
    7: ("FOV", "fx fy cx cy omega"),
    8: ("SIMPLE_RADIAL_FISHEYE", "f cx cy k1"),
    9: ("RADIAL_FISHEYE", "f cx cy k1 k2"),
    10: ("THIN_PRISM_FISHEYE", "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1"),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", "fx fy cx cy k0 k1 k2 k3 k4 k5 p0 p1 s0 s1 s2 s3"),
    12: ("SIMPLE_DIVISION", "f cx cy k"),
    13: ("DIVISION", "fx fy cx cy k"),
    14: ("SIMPLE_FISHEYE", "f cx cy"),
    15: ("FISHEYE", "fx fy cx cy"),
    16: ("EUCM", "fx fy cx cy alpha beta"),
    17: ("EQUIRECTANGULAR", "w h"),
}
"""Name and parameters of what COLMAP writes, by model id; `lens_of` says which are supported."""

PARAMETERS = {name: tuple(parameters.split()) for name, parameters in MODELS.values()}
"""Names of a model's parameters, in the files' order."""


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics: model name, image size in pixels, parameters by name."""

    model: str
    width: int
    height: int
    params: dict[str, float]


@dataclass(frozen=True)
class ColmapImage:
    """One registered image: name under the image folder, camera, world-to-camera pose."""

    name: str
    camera_id: int
    qvec: tuple[float, float, float, float]
    tvec: tuple[float, float, float]


def camera_of(model: str, width: int, height: int, values: Sequence[float]) -> ColmapCamera:
    """A camera from its parameters in the files' order. Raises ValueError on a wrong number of them."""
    names = PARAMETERS[model]
    if len(values) != len(names):
        raise ValueError(f"{model} takes {len(names)} parameters ({' '.join(names)}), got {len(values)}")
    return ColmapCamera(model, width, height, dict(zip(names, values, strict=True)))
