"""Sparse points of a dataset: PLY files, and what is left of points that are not finite."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.data.reading import Reading
from neurocity.errors import DataError

Points = npt.NDArray[np.float64]


def read_ply(path: Path, reading: Reading) -> Points:
    """Vertices [N, 3] of an ascii or binary PLY. Raises DataError when it cannot be read."""
    from trimesh.exchange.ply import load_ply  # noqa: PLC0415, a fifth of a second that few datasets need

    try:
        with path.open("rb") as file:
            points = np.array(load_ply(file)["vertices"], dtype=np.float64)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: sparse points cannot be read ({error!r})") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{path}: expected vertices with x, y, z, got shape {points.shape}")
    return finite_points(points, path, reading)


def finite_points(points: Points, path: Path, reading: Reading) -> Points:
    """The points [N, 3] without those that are not finite; that some are is remarked."""
    finite = np.isfinite(points).all(1)
    if not finite.all():
        reading.remark(
            f"{path}: {int((~finite).sum())} of {len(points)} sparse points are not finite and are left out"
        )
    return points[finite]
