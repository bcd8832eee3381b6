"""COLMAP's binary files. What is not one raises `struct.error` or ValueError."""

import struct
from collections.abc import Iterator
from typing import Any

from neurocity.data.colmap_records import MODELS, PARAMETERS, ColmapCamera, ColmapImage, camera_of


class Buffer:
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
        """Up to a zero byte; what is not UTF-8 stays as in names of files on Linux."""
        end = self.data.index(b"\0", self.offset)
        text = self.data[self.offset : end].decode("utf-8", "surrogateescape")
        self.offset = end + 1
        return text


def read_cameras(buffer: Buffer) -> Iterator[tuple[int, ColmapCamera]]:
    """Cameras of `cameras.bin` with their ids."""
    for _ in range(buffer.take("Q")[0]):
        camera_id, model_id, width, height = buffer.take("iiQQ")
        if model_id not in MODELS:
            raise ValueError(f"camera {camera_id} has the unknown model id {model_id}")
        model = MODELS[model_id][0]
        values = buffer.take(f"{len(PARAMETERS[model])}d")
        yield camera_id, camera_of(model, width, height, values)


def read_images(buffer: Buffer) -> Iterator[ColmapImage]:
    """Images of `images.bin`; keypoints are skipped."""
    for _ in range(buffer.take("Q")[0]):
        _, qw, qx, qy, qz, tx, ty, tz, camera_id = buffer.take("i7di")
        name = buffer.text()
        buffer.skip(24 * buffer.take("Q")[0])
        yield ColmapImage(name, camera_id, (qw, qx, qy, qz), (tx, ty, tz))


def read_points(buffer: Buffer) -> Iterator[tuple[float, float, float]]:
    """Positions of `points3D.bin`; colours and tracks are skipped."""
    for _ in range(buffer.take("Q")[0]):
        _, x, y, z, _, _, _, _, track = buffer.take("Q3d3BdQ")
        buffer.skip(8 * track)
        yield x, y, z
