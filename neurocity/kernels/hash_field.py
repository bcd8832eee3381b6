"""Pictures of Instant-NGP: a hash grid and two small networks.

A scene of kind "hash_field" holds what `marched_field` lists, and

    table [L, T, F] float32 or float16      of the hash grid, see `rendering.hash_grid`; F is 1, 2 or 4
    scales [L] float32, factors [3, L] int32
    density_net.0, ...                      L F inputs; of its outputs the first is the log-density
    color_net.0, ...                        those outputs and a direction's 16 harmonics -> 3

with the numbers of `WHOLE_SETTINGS` besides.
"""

import ctypes
from typing import Final

import numpy as np

from neurocity.errors import ManifestError
from neurocity.kernels import marched_field
from neurocity.kernels.checks import HARMONICS, Bounds, check_names, check_settings, tensor
from neurocity.kernels.marched_field import MarchedData, NetworkData
from neurocity.kernels.rays import LightPointers, RayPointers, address
from neurocity.kernels.scene import CompiledScene, SceneData

WHOLE_SETTINGS: Final[Bounds] = {**marched_field.WHOLE_SETTINGS, "dense_levels": (0, 32), "xor": (0, 1)}
FEATURES: Final = (1, 2, 4)


class HashFieldData(ctypes.Structure):
    """`HashFieldData` of cpp/hash_field.hpp."""

    _fields_ = (
        ("marched", MarchedData),
        ("table", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("factors", ctypes.c_void_p),
        ("levels", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("features", ctypes.c_int64),
        ("dense_levels", ctypes.c_int64),
        ("is_half", ctypes.c_int32),
        ("is_xor", ctypes.c_int32),
        ("density_net", NetworkData),
        ("color_net", NetworkData),
    )


class HashFieldCall(ctypes.Structure):
    """`HashFieldCall` of cpp/hash_field.hpp."""

    _fields_ = (("field", HashFieldData), ("rays", RayPointers), ("light", LightPointers))


class HashFieldScene(CompiledScene):
    """A field of Instant-NGP that is ready to be rendered. Raises ManifestError, see `scene.open_scene`."""

    kind = "hash_field"

    def __init__(self, data: SceneData) -> None:
        check_settings(data, marched_field.SETTINGS, WHOLE_SETTINGS)
        marched = MarchedData.of(data)
        table = tensor(data, "table", (np.float32, np.float16), (-1, -1, -1))
        levels, rows, features = table.shape
        if not 1 <= levels <= 32 or features not in FEATURES or rows not in (2**bits for bits in range(25)):
            raise ManifestError(
                f"{data.kind}: got table {list(table.shape)}, expected 1 to 32 levels of a power of two of "
                f"rows, at most 2^24, of {FEATURES} features"
            )
        scales = tensor(data, "scales", (np.float32,), (levels,))
        factors = tensor(data, "factors", (np.int32,), (3, levels))
        density_net = NetworkData.of(data, "density_net", levels * features)
        color_net = NetworkData.of(data, "color_net", density_net.outputs + HARMONICS)
        if color_net.outputs != 3:
            raise ManifestError(f"{data.kind}: color_net has {color_net.outputs} outputs, expected 3")
        check_names(
            data,
            {"table", "scales", "factors", *marched.names, *density_net.names, *color_net.names},
        )
        self._field = HashFieldData(
            marched,
            address(table),
            address(scales),
            address(factors),
            levels,
            rows,
            features,
            int(data.settings["dense_levels"]),
            table.dtype == np.float16,
            int(data.settings["xor"]),
            density_net,
            color_net,
        )
        self.arrays = table, scales, factors, *marched.arrays, *density_net.arrays, *color_net.arrays

    def arguments(self, rays: RayPointers, light: LightPointers) -> HashFieldCall:
        """See `scene.CompiledScene`."""
        return HashFieldCall(self._field, rays, light)
