"""Reader of `transforms.json` as nerfstudio and instant-ngp write it.

Coordinates are the file's own: nerfstudio's `applied_transform` and `applied_scale` say how they came from
COLMAP's and are not undone, and neither is centred or scaled as these programs do when they train.
"""

from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from neurocity.data.bounds import declared_boxes
from neurocity.data.documents import TransformsDocument
from neurocity.data.frames import read_frames
from neurocity.data.reading import Reading
from neurocity.data.scene import Capture, Frame, Splits, hold_out
from neurocity.errors import DataError

FILE = "transforms.json"
LOOKS_FOR = f"{FILE} (nerfstudio, instant-ngp)"


def detect(root: Path) -> bool:
    """Whether `root` has a file of this layout."""
    return (root / FILE).is_file()


def read(reading: Reading) -> Capture:
    """Raises DataError, naming file and frame, when a file is missing or not as expected."""
    document = TransformsDocument.read(reading.root / FILE)
    frames = read_frames(document, reading)
    bounds, inner_bounds = declared_boxes(document)
    ply = document.data.get("ply_file_path")
    up = document.numbers("up", (3,))
    return Capture(
        splits=_listed_splits(document, frames) or hold_out(frames.values()),
        up=(0.0, 0.0, 1.0) if up is None else (float(up[0]), float(up[1]), float(up[2])),
        bounds=bounds,
        inner_bounds=inner_bounds,
        points=None if ply is None else _sparse_points(reading.root / ply),
    )


def _listed_splits(document: TransformsDocument, frames: dict[str, Frame]) -> Splits:
    """The splits of `train_filenames`, `val_filenames`, `test_filenames`; empty when none is there."""
    by_path = {PurePosixPath(name): frame for name, frame in sorted(frames.items())}
    splits: dict[str, tuple[Frame, ...]] = {}
    for split in ("train", "val", "test"):
        names = document.data.get(f"{split}_filenames")
        if names is None:
            continue
        if not isinstance(names, list) or not names:
            raise DataError(f"{document.path}: `{split}_filenames` is {names!r}, expected a list of names")
        listed = {PurePosixPath(str(name)) for name in names}
        if unknown := sorted(str(name) for name in listed - by_path.keys()):
            raise DataError(
                f"{document.path}: `{split}_filenames` names {unknown[0]!r}, which is not among `frames`"
            )
        splits[split] = tuple(frame for path, frame in by_path.items() if path in listed)
    if splits and "train" not in splits:
        raise DataError(f"{document.path}: `train_filenames` is missing beside {', '.join(splits)}")
    return splits


def _sparse_points(path: Path) -> npt.NDArray[np.float64]:
    """Vertices [N, 3] of an ascii or binary PLY. Raises DataError when missing, corrupt or not finite."""
    from trimesh.exchange.ply import load_ply  # noqa: PLC0415, a fifth of a second that few datasets need

    try:
        with path.open("rb") as file:
            points = np.array(load_ply(file)["vertices"], dtype=np.float64)
    except FileNotFoundError:
        raise DataError(f"{path}: sparse points are missing") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: sparse points cannot be read ({error!r})") from error
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise DataError(f"{path}: expected vertices with finite x, y, z, got shape {points.shape}")
    return points
