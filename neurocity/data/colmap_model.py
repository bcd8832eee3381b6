"""COLMAP sparse models, binary and text (https://colmap.github.io/format.html), as plain records.

Poses stay as in the files: world to camera, OpenCV axes, quaternion (w, x, y, z). Where both forms of a file
are there the binary one is read, as COLMAP does.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from neurocity.errors import DataError

Item = TypeVar("Item")

_MODELS: dict[int, tuple[str, str]] = {
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

_PARAMETERS = {name: tuple(parameters.split()) for name, parameters in _MODELS.values()}


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


@dataclass(frozen=True, eq=False)
class ColmapModel:
    """Cameras by id, images sorted by name, points [N, 3] in world units."""

    cameras: dict[int, ColmapCamera]
    images: tuple[ColmapImage, ...]
    points: npt.NDArray[np.float64]


def read_model(folder: Path) -> ColmapModel:
    """Raises DataError, naming the file (and line, in text), when one is missing, truncated or malformed."""
    cameras = _read(folder, "cameras", _cameras_bin, _cameras_txt)
    images = _read(folder, "images", _images_bin, _images_txt)
    points = _read(folder, "points3D", _points_bin, _points_txt)
    return ColmapModel(
        cameras=dict(cameras),
        images=tuple(sorted(images, key=lambda image: image.name)),
        points=np.array(points, dtype=np.float64).reshape(-1, 3),
    )


def _read(
    folder: Path,
    stem: str,
    binary: Callable[["_Buffer"], Iterator[Item]],
    text: Callable[["_Lines"], Iterator[Item]],
) -> list[Item]:
    path = folder / f"{stem}.bin"
    if path.is_file():
        try:
            return list(binary(_Buffer(path.read_bytes())))
        except (struct.error, ValueError) as error:
            raise DataError(f"{path}: truncated or not a COLMAP file ({error})") from None
    path = folder / f"{stem}.txt"
    if not path.is_file():
        raise DataError(f"{folder}: {stem}.bin and {stem}.txt are missing")
    lines = _Lines(path)
    try:
        return list(text(lines))
    except (ValueError, IndexError, KeyError) as error:
        raise DataError(f"{path}: line {lines.number}: malformed ({error})") from None


class _Buffer:
    """Little-endian values from bytes, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self.data, self.offset)
        self.offset += struct.calcsize(f"<{layout}")
        return values

    def skip(self, size: int) -> None:
        self.offset += size
        if self.offset > len(self.data):
            raise ValueError(f"ends {self.offset - len(self.data)} bytes too early")

    def text(self) -> str:
        end = self.data.index(b"\0", self.offset)
        text = self.data[self.offset : end].decode()
        self.offset = end + 1
        return text


class _Lines:
    """Lines of a text file that are neither empty nor comments, with the number of the last one read."""

    def __init__(self, path: Path) -> None:
        self.numbered = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in self.numbered:
            self.number = number
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()


def _camera(model: str, size: tuple[int, int], values: Iterable[str | float]) -> ColmapCamera:
    params = dict(zip(_PARAMETERS[model], map(float, values), strict=True))
    return ColmapCamera(model, size[0], size[1], params)


def _cameras_bin(buffer: _Buffer) -> Iterator[tuple[int, ColmapCamera]]:
    for _ in range(buffer.take("Q")[0]):
        camera_id, model_id, width, height = buffer.take("iiQQ")
        if model_id not in _MODELS:
            raise ValueError(f"camera {camera_id} has the unknown model id {model_id}")
        model = _MODELS[model_id][0]
        values = buffer.take(f"{len(_PARAMETERS[model])}d")
        yield camera_id, _camera(model, (width, height), values)


def _cameras_txt(lines: _Lines) -> Iterator[tuple[int, ColmapCamera]]:
    for line in lines:
        camera_id, model, width, height, *values = line.split()
        if model not in _PARAMETERS:
            raise ValueError(f"camera {camera_id} has the unknown model {model}")
        yield int(camera_id), _camera(model, (int(width), int(height)), values)


def _images_bin(buffer: _Buffer) -> Iterator[ColmapImage]:
    for _ in range(buffer.take("Q")[0]):
        _, qw, qx, qy, qz, tx, ty, tz, camera_id = buffer.take("i7di")
        name = buffer.text()
        buffer.skip(24 * buffer.take("Q")[0])
        yield ColmapImage(name, camera_id, (qw, qx, qy, qz), (tx, ty, tz))


def _images_txt(lines: _Lines) -> Iterator[ColmapImage]:
    for line in lines:
        _, qw, qx, qy, qz, tx, ty, tz, camera_id, name = line.split(maxsplit=9)
        qvec = (float(qw), float(qx), float(qy), float(qz))
        yield ColmapImage(name, int(camera_id), qvec, (float(tx), float(ty), float(tz)))
        next(lines.numbered, None)  # the image's keypoints, an empty line when there are none


def _points_bin(buffer: _Buffer) -> Iterator[tuple[float, float, float]]:
    for _ in range(buffer.take("Q")[0]):
        _, x, y, z, _, _, _, _, track = buffer.take("Q3d3BdQ")
        buffer.skip(8 * track)
        yield x, y, z


def _points_txt(lines: _Lines) -> Iterator[tuple[float, float, float]]:
    for line in lines:
        _, x, y, z, *_ = line.split(maxsplit=4)
        yield float(x), float(y), float(z)
