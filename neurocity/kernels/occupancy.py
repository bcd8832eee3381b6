"""The jump field of an occupancy grid, by the compiled kernels."""

import ctypes

import numpy as np
import numpy.typing as npt

from neurocity.kernels.rays import address
from neurocity.kernels.work import call


class JumpArguments(ctypes.Structure):
    """`JumpArguments` of cpp/occupancy.cpp."""

    _fields_ = (
        ("occupied", ctypes.c_void_p),
        ("jump", ctypes.c_void_p),
        ("grid", ctypes.c_int64),
        ("longest", ctypes.c_int64),
    )


def find_jumps(occupied: npt.NDArray[np.bool_], grid: int, longest: int) -> npt.NDArray[np.float32]:
    """Distance [G^3] of each cell to the nearest of `occupied` [G^3], in cells and maximum norm, less one.

    grid: G, cells along an axis. longest: the longest distance that is told from longer ones, below 255.
    """
    assert occupied.dtype == np.bool_
    assert len(occupied) == grid**3
    assert 0 < longest < 255
    jump = np.empty(grid**3, np.float32)
    arguments = JumpArguments(address(occupied), address(jump), grid, longest)
    call("nc_find_jumps", arguments, parts=1, threads=1)
    return jump
