"""Planes and lines of `grid_nerf.planes` by the compiled kernels: features, and the tables' gradients."""

import ctypes
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.kernels.point_parts import point_parts
from neurocity.kernels.rays import address
from neurocity.kernels.work import call

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


class PlaneArguments(ctypes.Structure):
    """`PlaneArguments` of cpp/planes.cpp."""

    _fields_ = (
        ("points", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("planes", ctypes.c_void_p),
        ("lines", ctypes.c_void_p),
        ("axes", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("starts", ctypes.c_void_p),
        ("plane_rows", ctypes.c_int64),
        ("line_rows", ctypes.c_int64),
        ("parts", ctypes.c_int64),
        ("components", ctypes.c_int64),
        ("values", ctypes.c_void_p),
        ("plane_gradients", ctypes.c_void_p),
        ("line_gradients", ctypes.c_void_p),
    )


class PlaneTables(NamedTuple):
    """Tables planes [rows, C] and lines [rows, C] of P parts, and where those are.

    axes [P, 3]: u, v and w of a part. sizes [P, 3]: its vertices along them. starts [P, 2]: its first rows of
    planes and lines, rising; rows up to the next part's, or the table's end, are its own.
    """

    planes: Floats
    lines: Floats
    axes: Integers
    sizes: Integers
    starts: Integers


def encode(points: Floats, tables: PlaneTables, *, threads: int) -> Floats:
    """Features [N, P C] of points [3, N] in [0, 1]."""
    values = np.empty((points.shape[1], len(tables.axes) * tables.planes.shape[1]), np.float32)
    arguments = _arguments(points, tables, values)
    call("nc_encode_planes", arguments, point_parts(points), threads=threads)
    return values


def table_gradients(
    points: Floats, gradient: Floats, tables: PlaneTables, *, threads: int
) -> tuple[Floats, Floats]:
    """Gradients of both tables, from that of the features [N, P C] of points [3, N]."""
    planes, lines = np.empty_like(tables.planes), np.empty_like(tables.lines)
    arguments = _arguments(points, tables, gradient)
    arguments.plane_gradients, arguments.line_gradients = address(planes), address(lines)
    call("nc_plane_gradients", arguments, len(tables.axes), threads=threads)
    return planes, lines


def _arguments(points: Floats, tables: PlaneTables, values: Floats) -> PlaneArguments:
    planes, lines, *layout = tables
    assert points.dtype == planes.dtype == lines.dtype == values.dtype == np.float32
    assert all(array.dtype == np.int32 for array in layout)
    assert values.shape == (points.shape[1], len(tables.axes) * planes.shape[1])
    return PlaneArguments(
        points=address(points),
        count=points.shape[1],
        planes=address(planes),
        lines=address(lines),
        axes=address(tables.axes),
        sizes=address(tables.sizes),
        starts=address(tables.starts),
        plane_rows=len(planes),
        line_rows=len(lines),
        parts=len(tables.axes),
        components=planes.shape[1],
        values=address(values),
    )
