"""The hash grid of `rendering.hash_grid` by the compiled kernels: features, and the table's gradient."""

import ctypes
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.kernels.point_parts import point_parts
from neurocity.kernels.rays import address
from neurocity.kernels.work import call

Floats = npt.NDArray[np.float32]


class HashGridArguments(ctypes.Structure):
    """`HashGridArguments` of cpp/hash_grid.cpp."""

    _fields_ = (
        ("points", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("table", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("factors", ctypes.c_void_p),
        ("levels", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("features", ctypes.c_int64),
        ("dense_levels", ctypes.c_int64),
        ("is_xor", ctypes.c_int64),
        ("values", ctypes.c_void_p),
    )


class HashLevels(NamedTuple):
    """Levels of a hash grid; scales [L], factors [3, L] int32: the row's growth along x, y and z."""

    scales: Floats
    factors: npt.NDArray[np.int32]
    dense_levels: int
    is_xor: bool


def encode(points: Floats, table: Floats, levels: HashLevels, *, threads: int) -> Floats:
    """Features [N, L F] of points [3, N] in [0, 1], by a table [L, T, F]."""
    values = np.empty((points.shape[1], table.shape[0] * table.shape[2]), np.float32)
    arguments = _arguments(points, table, levels, values)
    call("nc_encode_hash_grid", arguments, point_parts(points), threads=threads)
    return values


def table_gradient(
    points: Floats, gradient: Floats, shape: tuple[int, int, int], levels: HashLevels, *, threads: int
) -> Floats:
    """Gradient [L, T, F] = shape of the table, from that of the features [N, L F] of points [3, N]."""
    table = np.empty(shape, np.float32)
    arguments = _arguments(points, table, levels, gradient)
    call("nc_hash_grid_gradient", arguments, shape[0], threads=threads)
    return table


def _arguments(points: Floats, table: Floats, levels: HashLevels, values: Floats) -> HashGridArguments:
    assert points.dtype == table.dtype == values.dtype == levels.scales.dtype == np.float32
    assert levels.factors.dtype == np.int32
    assert values.shape == (points.shape[1], table.shape[0] * table.shape[2])
    return HashGridArguments(
        address(points),
        points.shape[1],
        address(table),
        address(levels.scales),
        address(levels.factors),
        *table.shape,
        levels.dense_levels,
        levels.is_xor,
        address(values),
    )
