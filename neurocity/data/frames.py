"""Frames of a `transforms.json` document: image, mask, camera; and its sparse points."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.data.images import probe
from neurocity.data.photographs import find_images, make_frame
from neurocity.data.points import read_ply
from neurocity.data.reading import Reading
from neurocity.data.scene import Frame, naming
from neurocity.errors import DataError
from neurocity.pose_files.documents import TransformsDocument
from neurocity.pose_files.intrinsics import read_camera


def read_frames(
    document: TransformsDocument, reading: Reading, *, optional: bool = False
) -> dict[str, Frame]:
    """The frames by their `file_path`, in the file's order, without those whose images `reading` skips.

    Where `optional`, a document of which no image is there has no frames.
    Raises DataError, naming file and frame, on a frame without image, pose or intrinsics, and on images of
    different sizes where no size is stated that the intrinsics are for.
    """
    folder = document.path.parent
    names = [entry["file_path"] for entry in document.frames]
    found = find_images(
        reading, names, (folder, folder / "images"), label=f"{document.path}: frame", optional=optional
    )
    frames: dict[str, Frame] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for entry in document.frames:
        name = entry["file_path"]
        if name not in found:
            continue
        with naming(document.label(entry)):
            image = probe(found[name].path)
            # The full size, of which `images_N/` has an Nth, if no other is stated.
            sizes[name] = (image.width * found[name].reduction, image.height * found[name].reduction)
            first = next(iter(sizes))
            stated = any(document.get(key, entry) is not None for key in ("w", "h"))
            if sizes[name] != sizes[first] and not stated:
                raise DataError(
                    f"image is {image.width}x{image.height} pixels, that of frame {first!r} is "
                    f"{sizes[first][0]}x{sizes[first][1]}; images of different sizes need w, h in every frame"
                )
            frames[name] = make_frame(
                reading,
                found[name],
                read_camera(document, entry, sizes[name], reading.count),
                image,
                stated_by="`w` and `h` say",
                mask_path=_mask(document, entry, reading),
            )
    _remark_on_masks(document, list(frames.values()), reading)
    _remark_on_depth(document, reading)
    return frames


def sparse_points(document: TransformsDocument, reading: Reading) -> npt.NDArray[np.float64] | None:
    """The points [N, 3] of `ply_file_path`; None without it, and, with a remark, when its file is not there.

    Raises DataError when the file cannot be read.
    """
    name = document.data.get("ply_file_path")
    if not name:
        return None
    found = reading.files.find((document.path.parent,), str(name))
    if found is None:
        reading.remark(f"{document.path.parent / str(name)}: sparse points are missing, and are done without")
        return None
    return read_ply(found.path, reading)


def up_of(document: TransformsDocument) -> tuple[float, float, float]:
    """`up` of a document, +z where it has none."""
    up = document.numbers("up", (3,))
    return (0.0, 0.0, 1.0) if up is None else (float(up[0]), float(up[1]), float(up[2]))


def _mask(document: TransformsDocument, entry: dict[str, Any], reading: Reading) -> Path | None:
    name = document.get("mask_path", entry)
    if not name:
        return None
    bases = (document.path.parent, document.path.parent / "masks")
    found = reading.files.find(bases, str(name), downscale=reading.downscale)
    if found is None:
        raise DataError(
            f"`mask_path` {bases[0] / str(name)} is missing; {reading.files.neighbours(bases, str(name))}; "
            "without `mask_path` the whole image is trained on"
        )
    return found.path


def _remark_on_depth(document: TransformsDocument, reading: Reading) -> None:
    keys = sorted({key for entry in document.frames for key in entry if key.startswith("depth")})
    if keys:
        reading.remark(f"{document.path}: depth is not read ({', '.join(f'`{key}`' for key in keys)})")


def _remark_on_masks(document: TransformsDocument, frames: list[Frame], reading: Reading) -> None:
    masked = sum(bool(frame.mask_paths) for frame in frames)
    if 0 < masked < len(frames):
        reading.remark(f"{document.path}: {masked} of {len(frames)} frames have a mask, the others are whole")
    if not masked and "masks" in reading.files.folders(document.path.parent):
        reading.remark(f"{document.path.parent / 'masks'} is not used: no frame has a `mask_path`")
