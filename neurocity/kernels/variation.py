"""Total variation of densities along the edges of voxels."""

import ctypes
from typing import Final

import numpy as np

from neurocity.kernels.rays import address
from neurocity.kernels.work import call

CHUNKS: Final = 64
"""Ranges of voxels that threads share."""


class VariationArguments(ctypes.Structure):
    """`VariationArguments` of cpp/variation.cpp."""

    _fields_ = (
        ("density", ctypes.c_void_p),
        ("voxel_points", ctypes.c_void_p),
        ("voxels", ctypes.c_int64),
        ("points", ctypes.c_int64),
        ("chunks", ctypes.c_int64),
        ("sums", ctypes.c_void_p),
        ("slopes", ctypes.c_void_p),
    )


def total_variation(
    density: np.ndarray, voxel_points: np.ndarray, *, threads: int
) -> tuple[float, np.ndarray]:
    """Sum over voxels of |difference| along their 12 edges, and its slopes [M], whole numbers.

    density [M] float32; voxel_points [N, 8] int32: corners of voxels by octant. The result does not depend on
    the number of threads.
    """
    assert density.dtype == np.float32, "kernels take float32 densities"
    assert voxel_points.dtype == np.int32, "kernels take int32 indices"
    threads = min(threads, CHUNKS)
    sums = np.empty(CHUNKS)
    slopes = np.empty((threads, len(density)), np.int8)
    arguments = VariationArguments(
        density=address(density),
        voxel_points=address(voxel_points),
        voxels=len(voxel_points),
        points=len(density),
        chunks=CHUNKS,
        sums=address(sums),
        slopes=address(slopes),
    )
    call("nc_total_variation", arguments, threads, threads=threads)
    return float(sums.sum()), slopes.sum(0, dtype=np.int16)
