"""Sparse points from PLY files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from trimesh.exchange.ply import load_ply

from neurocity.errors import DataError


def read_ply(path: Path) -> npt.NDArray[np.float64]:
    """Vertices [N, 3] of an ascii or binary PLY. Raises DataError when missing, corrupt or not finite."""
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
