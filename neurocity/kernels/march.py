"""The march of training by the compiled kernels: the occupied lattice points of many rays, packed."""

import ctypes
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.kernels.rays import address
from neurocity.kernels.work import call

Floats = npt.NDArray[np.float32]
PART_RAYS: Final = 64
"""Rays of a part, as in cpp/march.cpp."""


class MarchSpace(ctypes.Structure):
    """`MarchSpace` of cpp/march.hpp."""

    _fields_ = (
        ("jump", ctypes.c_void_p),
        ("edges", ctypes.c_void_p),
        ("grid", ctypes.c_int64),
        ("points", ctypes.c_int64),
        ("unbounded", ctypes.c_int32),
        ("low", ctypes.c_float * 3),
        ("high", ctypes.c_float * 3),
        ("center", ctypes.c_float * 3),
        ("step", ctypes.c_float),
        ("side", ctypes.c_float),
        ("near", ctypes.c_float),
        ("growth", ctypes.c_float),
    )


class MarchArguments(ctypes.Structure):
    """`MarchArguments` of cpp/march.cpp."""

    _fields_ = (
        ("origins", ctypes.c_void_p),
        ("directions", ctypes.c_void_p),
        ("jitters", ctypes.c_void_p),
        ("rays", ctypes.c_int64),
        ("space", MarchSpace),
        ("offsets", ctypes.c_void_p),
        ("points", ctypes.c_void_p),
        ("t", ctypes.c_void_p),
        ("delta", ctypes.c_void_p),
        ("ray_index", ctypes.c_void_p),
    )


class Samples(NamedTuple):
    """N samples of R rays, as `rendering.marching.PackedSamples`."""

    points: Floats
    t: Floats
    delta: Floats
    ray_index: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]


def march(
    origins: Floats, directions: Floats, jitters: Floats, space: MarchSpace, *, threads: int
) -> Samples:
    """The occupied lattice points of rays [R, 3] with one jitter [R] in [0, 1) a ray.

    space: points to arrays, which the caller keeps; jump [grid^3] and edges [points + 1] float32.
    """
    rays = len(jitters)
    assert origins.shape == directions.shape == (rays, 3)
    assert origins.dtype == directions.dtype == jitters.dtype == np.float32
    offsets = np.zeros(rays + 1, np.int64)
    arguments = MarchArguments(
        address(origins), address(directions), address(jitters), rays, space, address(offsets)
    )
    parts = -(-rays // PART_RAYS)
    call("nc_march", arguments, parts, threads=threads)
    np.cumsum(offsets, out=offsets)
    count = int(offsets[-1])
    points, t, delta = (np.empty(shape, np.float32) for shape in ((3, count), count, count))
    ray_index = np.empty(count, np.int64)
    if count:
        arguments.points, arguments.t, arguments.delta = address(points), address(t), address(delta)
        arguments.ray_index = address(ray_index)
        call("nc_march", arguments, parts, threads=threads)
    return Samples(points, t, delta, ray_index, offsets)
