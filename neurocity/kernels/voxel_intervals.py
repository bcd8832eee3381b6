"""Lists of the voxels that rays cross: `svraster.traversal` by the compiled kernels."""

import ctypes
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Rays
from neurocity.kernels.rays import RayPointers, address
from neurocity.kernels.work import call


class IntervalArguments(ctypes.Structure):
    """`IntervalArguments` of cpp/voxels.cpp."""

    _fields_ = (
        ("rays", RayPointers),
        ("children", ctypes.c_void_p),
        ("root_low", ctypes.c_float * 3),
        ("root_side", ctypes.c_float),
        ("near", ctypes.c_float),
        ("voxel", ctypes.c_void_p),
        ("begin", ctypes.c_void_p),
        ("end", ctypes.c_void_p),
        ("ray_index", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
    )


class Intervals(NamedTuple):
    """Voxels that R rays cross, ray after ray, front to back; the fields are as in `svraster.traversal`."""

    voxel: npt.NDArray[np.int64]
    near: npt.NDArray[np.float32]
    far: npt.NDArray[np.float32]
    ray_index: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]


def list_voxels(
    children: npt.NDArray[np.int32],
    cube: tuple[npt.NDArray[np.float32], float],
    rays: Rays,
    nearest: float,
    *,
    threads: int,
) -> Intervals:
    """All voxels that rays cross over a positive length.

    children [nodes, 8]: of an octree, which is trusted; see `kernels.voxels`. cube: its low corner [3] and
    its side, world units. nearest: where rays begin.
    """
    offsets = np.zeros(len(rays) + 1, np.int64)
    low, side = cube
    arguments = IntervalArguments(
        rays=RayPointers.of(rays),
        children=address(children),
        root_low=tuple(low.tolist()),
        root_side=side,
        near=nearest,
        offsets=address(offsets),
    )
    parts = arguments.rays.parts
    call("nc_list_voxels", arguments, parts, threads=threads)
    np.cumsum(offsets, out=offsets)
    number = int(offsets[-1])
    voxel, ray_index = np.empty(number, np.int64), np.empty(number, np.int64)
    near, far = np.empty(number, np.float32), np.empty(number, np.float32)
    arguments.voxel, arguments.ray_index = address(voxel), address(ray_index)
    arguments.begin, arguments.end = address(near), address(far)
    if number:
        call("nc_list_voxels", arguments, parts, threads=threads)
    return Intervals(voxel, near, far, ray_index, offsets)
