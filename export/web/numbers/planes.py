"""Numbers of cells as planes of bytes that compress well, and back, as docs/web.md says.

Channels stand as green, red, blue. Quantised colours are what remains after the parent's, and red and blue
after green.
"""

import numpy as np

from export.web.octree.cells import Cells

_GREEN_FIRST = [1, 0, 2]
"""Red, green, blue to green, red, blue, and back."""


def constants_to_planes(q: np.ndarray, cells: Cells) -> np.ndarray:
    """Constants [C, 3] uint16 as zigzag residuals [C, 3] uint16; floats as they are, green first."""
    if q.dtype != np.uint16:
        return q[:, _GREEN_FIRST]
    residual = _residuals(q, cells).astype(np.int16)
    return (residual << 1 ^ residual >> 15).astype(np.uint16)


def constants_of_planes(planes: np.ndarray, cells: Cells) -> np.ndarray:
    """Inverse of `constants_to_planes`."""
    if planes.dtype != np.uint16:
        return planes[:, _GREEN_FIRST]
    residual = (planes >> 1) ^ -(planes & 1)
    return _restored(residual, cells)


def harmonics_to_planes(q: np.ndarray, cells: Cells) -> np.ndarray:
    """Harmonics [C, B, 3] int8 as residuals [C, B, 3] uint8; floats as they are, green first."""
    if q.dtype != np.int8:
        return q[..., _GREEN_FIRST]
    return _residuals(q.view(np.uint8), cells)


def harmonics_of_planes(planes: np.ndarray, cells: Cells) -> np.ndarray:
    """Inverse of `harmonics_to_planes`."""
    if planes.dtype != np.uint8:
        return planes[..., _GREEN_FIRST]
    return _restored(planes, cells).view(np.int8)


def deltas(points: np.ndarray) -> np.ndarray:
    """Bytes less the one before; floats as they are."""
    if points.dtype != np.uint8:
        return points
    return np.diff(points, prepend=np.uint8(0))


def sums(planes: np.ndarray) -> np.ndarray:
    """Inverse of `deltas`."""
    if planes.dtype != np.uint8:
        return planes
    return np.cumsum(planes, dtype=np.uint8)


def _residuals(q: np.ndarray, cells: Cells) -> np.ndarray:
    """Of unsigned numbers [C, ..., 3], which wrap around."""
    before = q[cells.parent]
    before[0] = 0  # the root has no parent
    away = (q - before)[..., _GREEN_FIRST]
    away[..., 1:] -= away[..., :1]
    return away


def _restored(planes: np.ndarray, cells: Cells) -> np.ndarray:
    """Inverse of `_residuals`, level by level."""
    away = planes.copy()
    away[..., 1:] += away[..., :1]
    q = away[..., _GREEN_FIRST]
    for here in cells.slices()[1:]:
        q[here] += q[cells.parent[here]]
    return q
