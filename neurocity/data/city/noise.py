"""Deterministic hashes and value noise for procedural textures, and exact box filters for edges.

A filter width is the length that one sample covers on the surface: textures finer than it are replaced by
their mean instead of being sampled, so that distant facades do not shimmer from view to view.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
UInts = npt.NDArray[np.uint32]


def hash_unit(*keys: npt.NDArray[np.integer]) -> Floats:
    """Uniform values in [0, 1) from integer keys (the `lowbias32` mixer of Chris Wellons, chained)."""
    state: UInts = np.zeros(np.broadcast_shapes(*(key.shape for key in keys)), dtype=np.uint32)
    for key in keys:
        state = state * np.uint32(31) + key.astype(np.uint32) + np.uint32(0x9E3779B9)
        state ^= state >> np.uint32(16)
        state *= np.uint32(0x7FEB352D)
        state ^= state >> np.uint32(15)
        state *= np.uint32(0x846CA68B)
        state ^= state >> np.uint32(16)
    return (state >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def cell(x: Floats) -> npt.NDArray[np.int32]:
    """The integer cell that x lies in."""
    return np.floor(x).astype(np.int32)


def value_noise(*coordinates: Floats, salt: int = 0) -> Floats:
    """Smooth noise in [0, 1) with features of size 1; 2-D or 3-D by the number of coordinates, each [n]."""
    corners = [cell(x) for x in coordinates]
    fractions = [x - corner for x, corner in zip(coordinates, corners, strict=True)]
    weights = [f * f * (3 - 2 * f) for f in fractions]
    key = np.full(coordinates[0].shape, salt, dtype=np.int32)
    values = [
        hash_unit(key, *(corner + (index >> axis & 1) for axis, corner in enumerate(corners)))
        for index in range(2 ** len(coordinates))
    ]
    for weight in weights:
        values = [low + weight * (high - low) for low, high in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def fade(filter_width: Floats, feature: float) -> Floats:
    """1 where features of this size are resolved, 0 where the filter is wider than they are."""
    return np.clip(1.5 - filter_width * np.float32(1.5 / feature), 0, 1)


Span = tuple[Floats | float, Floats | float]


def stripe(x: Floats, span: Span, filter_width: Floats) -> Floats:
    """Share of the filter box around x that lies in the span."""
    low, high = span
    width = np.maximum(filter_width, np.float32(1e-4))
    return np.clip((x - low) / width + 0.5, 0, 1) - np.clip((x - high) / width + 0.5, 0, 1)


def pulse(x: Floats, span: Span, filter_width: Floats, *, period: Floats | float) -> Floats:
    """Share of the filter box around x that lies in the span modulo `period` (exact for any width)."""
    low, high = span
    width = np.maximum(filter_width, np.float32(1e-4))

    def covered(to: Floats) -> Floats:
        turns = np.floor(to / period)
        return turns * (high - low) + np.clip(to - turns * period - low, 0, high - low)

    return np.clip((covered(x + width / 2) - covered(x - width / 2)) / width, 0, 1)


def mix(a: Floats, b: Floats | npt.NDArray[np.floating], weight: Floats) -> Floats:
    """a where weight is 0, b where it is 1; a, b: [n, 3] (or [3]), weight: [n]."""
    return a + weight[:, None] * (b - a)
