"""Rays as kernels of pictures take them, and the light that they bring back."""

import ctypes
from typing import Self

import numpy as np

from neurocity.cameras import Rays
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
        """Pointers to rays, which must be contiguous float32."""
        assert rays.origins.dtype == rays.directions.dtype == np.float32, "kernels take float32 rays"
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
