"""Rays as kernels of pictures take them, and the light that they bring back."""

import ctypes
from typing import Self

import numpy as np

from neurocity.cameras import Rays
from neurocity.errors import EngineError
from neurocity.kernels.library import library
from neurocity.light import Light


def address(array: np.ndarray) -> int:
    """Where a contiguous array's numbers are. The caller keeps the array until the kernel has returned."""
    assert array.flags.c_contiguous, "kernels take contiguous arrays"
    return array.ctypes.data


class RayPointers(ctypes.Structure):
    """`Rays` of cpp/rays.hpp."""

    _fields_ = (
        ("origins", ctypes.c_void_p),
        ("directions", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )

    @classmethod
    def of(cls, rays: Rays) -> Self:
        """Pointers to contiguous rays. Raises EngineError unless there are float32 [R, 3] of both."""
        shape = (*rays.origins.shape[:1], 3)
        for name, array in (("origins", rays.origins), ("directions", rays.directions)):
            if array.dtype != np.float32 or array.shape != shape:
                raise EngineError(
                    f"rays: got {name} {array.dtype} {list(array.shape)}, expected float32 {list(shape)}"
                )
        return cls(address(rays.origins), address(rays.directions), len(rays), rays.width)

    @property
    def parts(self) -> int:
        """How many parts the rays are shared out in."""
        count = library().nc_ray_parts
        count.restype = ctypes.c_int64
        parts: int = count(ctypes.byref(self))
        return parts


class LightPointers(ctypes.Structure):
    """`Light` of cpp/rays.hpp."""

    _fields_ = (("rgb", ctypes.c_void_p), ("depth", ctypes.c_void_p), ("opacity", ctypes.c_void_p))

    @classmethod
    def of(cls, light: Light) -> Self:
        """Pointers to where light is written."""
        return cls(*(address(plane) for plane in light))
