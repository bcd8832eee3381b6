"""`transforms.json` as a path: its frames in the order of the file, each with its own intrinsics and lens.

Values are read as those of a dataset are (`neurocity.pose_files`), without looking at images: the size is
`w` and `h`, or, where the file has none, the one that is asked for.
"""

from pathlib import Path
from typing import Any

import numpy as np

from neurocity.camera_path.fields import MAX_COORDINATE, naming
from neurocity.camera_path.path import CameraPath, Request
from neurocity.cameras import Camera
from neurocity.errors import DataError
from neurocity.pose_files.documents import TransformsDocument
from neurocity.pose_files.intrinsics import read_camera

_NAME = Path("transforms.json")


def detect(data: dict[str, Any]) -> bool:
    """Whether an object is of this format."""
    return "frames" in data


def read(data: dict[str, Any], request: Request) -> CameraPath:
    """Raises DataError and CameraError, which name the frame."""
    document = TransformsDocument.parse(data, _NAME)
    request.check_frames(len(document.frames))
    cameras = []
    for i, frame in enumerate(document.frames):
        with naming(f"frames[{i}]"):
            cameras.append(_camera(document, frame, request))
    sizes = [(camera.width, camera.height) for camera in cameras]
    if other := next((i for i, size in enumerate(sizes) if size != sizes[0]), None):
        raise DataError(
            f"frames[{other}]: has {_pixels(sizes[other])} pixels, the first frame "
            f"{_pixels(sizes[0])}; a film has one size: give width and height in the proportion of all frames"
        )
    return CameraPath(tuple(cameras), request.rate_of_frames(len(cameras), None))


def _camera(document: TransformsDocument, frame: dict[str, Any], request: Request) -> Camera:
    stated = any(document.get(key, frame) is not None for key in ("w", "h"))
    if not stated and (request.width is None or request.height is None):
        raise DataError("has no `w` and `h`: give width and height")
    camera = read_camera(document, frame, request.size((1, 1)), _refuse)
    if np.abs(camera.position).max() > MAX_COORDINATE:
        raise DataError(
            f"stands at {camera.position.tolist()}, expected at most {MAX_COORDINATE:g} from zero"
        )
    width, height = request.size((camera.width, camera.height))
    if abs(width * camera.height - height * camera.width) > max(camera.width, camera.height):
        raise DataError(
            f"has {_pixels((camera.width, camera.height))} pixels, asked for are {_pixels((width, height))}, "
            "of another proportion; give one of width and height"
        )
    return camera.resized(width, height)


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _refuse(what: str, example: str) -> None:
    raise DataError(f"{what}: {example}")
