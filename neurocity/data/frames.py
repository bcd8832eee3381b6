"""Frames of a `transforms.json` document."""

from pathlib import Path
from typing import Any

from neurocity.data.documents import TransformsDocument
from neurocity.data.images import find_image, probe
from neurocity.data.intrinsics import read_camera
from neurocity.data.scene import Frame
from neurocity.errors import DataError


def read_frames(document: TransformsDocument, downscale: int) -> dict[str, Frame]:
    """The frames by their `file_path`, in the file's order.

    Raises DataError, naming file and frame, on a frame without image, pose or intrinsics, and on images of
    different sizes where the frames do not state their own.
    """
    frames: dict[str, Frame] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for entry in document.frames:
        name = entry["file_path"]
        label = document.label(entry)
        try:
            image_path = find_image(document.path.parent / name)
            image = probe(image_path)
        except DataError as error:
            raise DataError(f"{label}: {error}") from error
        sizes[name] = (image.width, image.height)
        first = next(iter(sizes))
        if sizes[name] != sizes[first] and not ("w" in entry and "h" in entry):
            raise DataError(
                f"{label}: image is {image.width}x{image.height} pixels, that of frame {first!r} is "
                f"{sizes[first][0]}x{sizes[first][1]}; images of different sizes need w, h in every frame"
            )
        frames[name] = Frame(
            name=name.removeprefix("./"),
            image_path=image_path,
            camera=read_camera(document, entry, image, downscale=downscale),
            has_alpha=image.has_alpha,
            downscale=downscale,
            mask_path=_mask_path(document, entry),
        )
    return frames


def _mask_path(document: TransformsDocument, entry: dict[str, Any]) -> Path | None:
    if entry.get("mask_path") is None:
        return None
    path = document.path.parent / str(entry["mask_path"])
    if not path.is_file():
        raise DataError(f"{document.label(entry)}: `mask_path` {path} is missing")
    return path
