"""Pictures of Grid-NeRF: planes and lines of features, and the networks of the branch that is rendered.

A scene of kind "plane_field" holds what `marched_field` lists, and

    extents [3] float32                     of the box in its cube, see `grid_nerf.core`
    axes [P, 3] int32                       of each part's plane, and of its line
    density.planes, density.lines           [rows, C] float32 or float16, see `grid_nerf.planes`
    density.sizes [P, 3], density.starts [P, 2] int32
    appearance.planes, ...                  the same of the other set
    density_net.0, ...                      density features -> log-density
    color_net.0, ...                        appearance features, a direction's harmonics -> colour; where
                                            the NeRF branch is rendered, its hidden layer comes before them
    trunk.0, ...                            of the NeRF branch: encoded positions, density features ->
                                            log-factor, hidden layer before ReLU

with the numbers of `SETTINGS`; frequencies is 0 where the grid branch is rendered.
"""

import ctypes
from typing import Final, Self

import numpy as np

from neurocity.errors import ManifestError
from neurocity.kernels import marched_field
from neurocity.kernels.checks import HARMONICS, Bounds, check_names, check_settings, places, tensor
from neurocity.kernels.marched_field import MarchedData, NetworkData
from neurocity.kernels.rays import LightPointers, RayPointers, address
from neurocity.kernels.scene import CompiledScene, SceneData

SETTINGS: Final[Bounds] = {**marched_field.SETTINGS, "guide_weight": (1e-9, 1.0)}
WHOLE_SETTINGS: Final[Bounds] = {**marched_field.WHOLE_SETTINGS, "frequencies": (0, 24)}
SETS: Final = ("density", "appearance")
MOST_PARTS, MOST_COMPONENTS = 256, 256
MOST_VERTICES = 2**22
"""Along an axis: what float32 counts exactly, with places between them."""


class PlaneData(ctypes.Structure):
    """`PlaneData` of cpp/plane_field.hpp. It points to `arrays`, which must live as long."""

    _fields_ = (
        ("planes", ctypes.c_void_p),
        ("lines", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("starts", ctypes.c_void_p),
        ("components", ctypes.c_int64),
    )
    arrays: tuple[np.ndarray, ...]
    names: set[str]

    @classmethod
    def of(cls, data: SceneData, name: str, parts: int, dtype: type[np.floating]) -> Self:
        """The set of that name, in tables of one type. Raises ManifestError."""
        planes, lines = (tensor(data, f"{name}.{table}", (dtype,), (-1, -1)) for table in ("planes", "lines"))
        sizes = tensor(data, f"{name}.sizes", (np.int32,), (parts, 3))
        starts = tensor(data, f"{name}.starts", (np.int32,), (parts, 2))
        components = planes.shape[1]
        if components != lines.shape[1] or not 1 <= components <= MOST_COMPONENTS:
            raise ManifestError(
                f"{data.kind}: {name} has {components} components of planes, {lines.shape[1]} of lines; "
                f"expected as many of both, 1 to {MOST_COMPONENTS}"
            )
        u, v, w = sizes.astype(np.int64).T
        plane, line = starts.astype(np.int64).T
        within = (plane >= 0) & (plane + u * v <= len(planes)) & (line >= 0) & (line + w <= len(lines))
        fits = sizes.min() >= 2 and sizes.max() <= MOST_VERTICES and len(planes) < 2**31
        if not fits or len(lines) >= 2**31 or not within.all():
            raise ManifestError(
                f"{data.kind}: got {name}.sizes {sizes.tolist()} from {starts.tolist()}, expected parts of "
                f"2 to {MOST_VERTICES} vertices within {len(planes)} and {len(lines)} rows"
            )
        found = cls(address(planes), address(lines), address(sizes), address(starts), components)
        found.arrays = planes, lines, sizes, starts
        found.names = {f"{name}.{part}" for part in ("planes", "lines", "sizes", "starts")}
        return found


class PlaneFieldData(ctypes.Structure):
    """`PlaneFieldData` of cpp/plane_field.hpp."""

    _fields_ = (
        ("marched", MarchedData),
        ("density", PlaneData),
        ("appearance", PlaneData),
        ("axes", ctypes.c_void_p),
        ("parts", ctypes.c_int64),
        ("frequencies", ctypes.c_int64),
        ("is_half", ctypes.c_int32),
        ("extents", ctypes.c_float * 3),
        ("guide_weight", ctypes.c_float),
        ("density_net", NetworkData),
        ("trunk", NetworkData),
        ("color_net", NetworkData),
    )


class PlaneFieldCall(ctypes.Structure):
    """`PlaneFieldCall` of cpp/plane_field.hpp."""

    _fields_ = (("field", PlaneFieldData), ("rays", RayPointers), ("light", LightPointers))


class PlaneFieldScene(CompiledScene):
    """A field of Grid-NeRF that is ready to be rendered. Raises ManifestError, see `scene.open_scene`."""

    kind = "plane_field"

    def __init__(self, data: SceneData) -> None:
        check_settings(data, SETTINGS, WHOLE_SETTINGS)
        marched = MarchedData.of(data)
        extents = places(data, "extents", (3,))
        axes = tensor(data, "axes", (np.int32,), (-1, 3))
        parts = len(axes)
        if not 1 <= parts <= MOST_PARTS or axes.min() < 0 or axes.max() > 2:
            raise ManifestError(
                f"{data.kind}: got {parts} parts with axes {axes.tolist()[:9]}, expected 1 to {MOST_PARTS} "
                "with axes from 0 to 2"
            )
        halves = tensor(data, "density.planes", (np.float32, np.float16), (-1, -1)).dtype == np.float16
        tables = [PlaneData.of(data, name, parts, np.float16 if halves else np.float32) for name in SETS]
        density, appearance = (parts * each.components for each in tables)
        density_net = NetworkData.of(data, "density_net", density)
        frequencies, hidden = int(data.settings["frequencies"]), 0
        networks = [density_net]
        trunk = NetworkData()
        if frequencies:
            trunk = NetworkData.of(data, "trunk", 6 * frequencies + density)
            hidden = trunk.outputs - 1
            networks.append(trunk)
        color_net = NetworkData.of(data, "color_net", hidden + appearance + HARMONICS)
        networks.append(color_net)
        if (density_net.outputs, color_net.outputs) != (1, 3):
            raise ManifestError(
                f"{data.kind}: density_net has {density_net.outputs} outputs and color_net "
                f"{color_net.outputs}, expected 1 and 3"
            )
        records = (marched, *tables, *networks)
        check_names(data, {"extents", "axes"}.union(*(record.names for record in records)))
        self._field = PlaneFieldData(
            marched=marched,
            density=tables[0],
            appearance=tables[1],
            axes=address(axes),
            parts=parts,
            frequencies=frequencies,
            is_half=halves,
            extents=tuple(extents.tolist()),
            guide_weight=data.settings["guide_weight"],
            density_net=density_net,
            trunk=trunk,
            color_net=color_net,
        )
        self.arrays = axes, *(array for record in records for array in record.arrays)

    def arguments(self, rays: RayPointers, light: LightPointers) -> PlaneFieldCall:
        """See `scene.CompiledScene`."""
        return PlaneFieldCall(self._field, rays, light)
