"""COLMAP sparse models, read from binary or text files.

Where both forms of a file are there the binary one is read, as COLMAP does.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from neurocity.data import colmap_binary, colmap_text
from neurocity.data.colmap_binary import Buffer
from neurocity.data.colmap_records import ColmapCamera, ColmapImage
from neurocity.data.colmap_text import Lines
from neurocity.data.points import finite_points, read_ply
from neurocity.data.reading import Reading
from neurocity.errors import DataError

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class ColmapModel:
    """Cameras by id, images sorted by name, points [N, 3] in world units, or None where there is no file."""

    cameras: dict[int, ColmapCamera]
    images: tuple[ColmapImage, ...]
    points: npt.NDArray[np.float64] | None


def has_file(folder: Path, *stems: str) -> bool:
    """Whether a folder has a binary or text file of each of `stems`."""
    return all(_file_of(folder, stem) is not None for stem in stems)


def count_images(folder: Path) -> int:
    """How many images a model has, of a binary file by its head. Raises DataError as `read_model` does."""
    path = folder / "images.bin"
    if not path.is_file():
        return len(read_images(folder)) if has_file(folder, "images") else 0
    with path.open("rb") as file:
        head = file.read(8)
    return int(struct.unpack("<Q", head)[0]) if len(head) == 8 else 0


def read_images(folder: Path) -> tuple[ColmapImage, ...]:
    """The registered images of a model, sorted by name. Raises DataError as `read_model` does."""
    images = _read(folder, "images", colmap_binary.read_images, colmap_text.read_images)
    return tuple(sorted(images, key=lambda image: image.name))


def read_model(folder: Path, reading: Reading) -> ColmapModel:
    """Raises DataError, naming the file (and line, in text), when one is truncated or malformed.

    Points may be absent, or stand in `points3D.ply`.
    """
    cameras = _read(folder, "cameras", colmap_binary.read_cameras, colmap_text.read_cameras)
    _remark_on_newer_text(folder, reading)
    return ColmapModel(dict(cameras), read_images(folder), _read_points(folder, reading))


def _read_points(folder: Path, reading: Reading) -> npt.NDArray[np.float64] | None:
    path = _file_of(folder, "points3D")
    if path is None:
        ply = next(
            (folder / name for name in ("points3D.ply", "points3d.ply") if (folder / name).is_file()), None
        )
        if ply is None:
            reading.remark(f"{folder} has no sparse points (points3D.bin, .txt or .ply), and is read without")
            return None
        return read_ply(ply, reading)
    points = _read(folder, "points3D", colmap_binary.read_points, colmap_text.read_points)
    return finite_points(np.array(points, dtype=np.float64).reshape(-1, 3), path, reading)


def _file_of(folder: Path, stem: str) -> Path | None:
    paths = (folder / f"{stem}{extension}" for extension in (".bin", ".txt"))
    return next((path for path in paths if path.is_file()), None)


def _read(
    folder: Path,
    stem: str,
    binary: Callable[[Buffer], Iterator[Item]],
    text: Callable[[Lines], Iterator[Item]],
) -> list[Item]:
    path = _file_of(folder, stem)
    if path is None:
        raise DataError(f"{folder}: {stem}.bin and {stem}.txt are missing")
    if path.suffix == ".bin":
        try:
            return list(binary(Buffer(path.read_bytes())))
        except (struct.error, ValueError) as error:
            raise DataError(f"{path}: truncated or not a COLMAP file ({error})") from None
    try:
        lines = Lines(path)
    except ValueError as error:
        raise DataError(f"{path}: is not text ({error})") from None
    try:
        return list(text(lines))
    except ValueError as error:
        raise DataError(f"{path}: line {lines.number}: malformed ({error})") from None


def _remark_on_newer_text(folder: Path, reading: Reading) -> None:
    for stem in ("cameras", "images"):
        binary, text = folder / f"{stem}.bin", folder / f"{stem}.txt"
        if binary.is_file() and text.is_file() and text.stat().st_mtime > binary.stat().st_mtime + 1.0:
            reading.remark(
                f"{text} is newer than {binary.name}, which is read; remove the one that is outdated"
            )
