"""Pictures of sparse voxels, and lists of the voxels that rays cross: SVRaster's kernels.

A scene of kind "voxels" holds, by name:

    children [nodes, 8] int32       of the octree's nodes, by octant 4 x + 2 y + z: a node, -1 for nothing, or
                                    -2 - v for voxel v; node 0 is the root
    records [N, stride]             float32 or float16, one row a voxel: 3 coefficients (red, green, blue) for
                                    each spherical harmonic, 8 raw densities of corners by octant, zeros
    root_low [3] float32            the low corner of the octree's cube, world units
    sky [608] float32               weights of the sky's network, [32, 16] and then [3, 32]; only with a sky

and the numbers of `SETTINGS` and `WHOLE_SETTINGS`.
"""

import ctypes
from typing import Final

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Rays
from neurocity.errors import EngineError, ManifestError
from neurocity.kernels.checks import (
    Bounds,
    check_names,
    check_settings,
    places,
    sky_weights,
    tensor,
)
from neurocity.kernels.rays import LightPointers, RayPointers, address
from neurocity.kernels.scene import CompiledScene, SceneData
from neurocity.kernels.work import Work, call
from neurocity.light import Light

MAX_LEVELS: Final = 16
CORNERS: Final = 8
RECORD_BYTES: Final = 16
"""Records begin at multiples of this many bytes."""

WHOLE_SETTINGS: Final[Bounds] = {"sh_degree": (0, 3), "samples_per_voxel": (1, 3)}
SETTINGS: Final[Bounds] = {
    "root_side": (1e-18, 1e18),
    "near": (0.0, 1e18),
    "far": (0.0, 1e18),
    "density_scale": (0.0, 1e18),
    "brightest": (0.0, 1e18),
    "least_light": (0.0, 0.5),
    "faintest": (0.0, 0.5),
}
"""Numbers of a scene, whole ones above, as attributes of `SVRaster` are called."""

_TENSORS, _FLOAT_RECORDS, _HALF_RECORDS = 0, 1, 2


class VoxelArguments(ctypes.Structure):
    """`VoxelArguments` of cpp/voxels.cpp."""

    _fields_ = (
        ("rays", RayPointers),
        ("light", LightPointers),
        ("left", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("records", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("density", ctypes.c_void_p),
        ("voxel_points", ctypes.c_void_p),
        ("sh0", ctypes.c_void_p),
        ("shs", ctypes.c_void_p),
        ("sky", ctypes.c_void_p),
        ("root_low", ctypes.c_float * 3),
        ("root_side", ctypes.c_float),
        ("near", ctypes.c_float),
        ("far", ctypes.c_float),
        ("density_scale", ctypes.c_float),
        ("brightest", ctypes.c_float),
        ("least_light", ctypes.c_float),
        ("faintest", ctypes.c_float),
        ("storage", ctypes.c_int32),
        ("sh_degree", ctypes.c_int32),
        ("samples_per_voxel", ctypes.c_int32),
        ("ends", ctypes.c_int32),
    )


class VoxelScene(CompiledScene):
    """Voxels that are ready to be rendered. Raises ManifestError, see `scene.open_scene`."""

    kind = "voxels"

    def __init__(self, data: SceneData) -> None:
        check_voxels(data)
        self._data = data
        self.least_light = data.settings["least_light"]
        self.arrays = tuple(array for name, array in data.tensors.items() if name != "root_low")

    def arguments(self, rays: RayPointers, light: LightPointers) -> VoxelArguments:
        """See `scene.CompiledScene`."""
        return _arguments(self._data, rays, light)

    def add(
        self,
        rays: Rays,
        light: Light,
        left: npt.NDArray[np.float32],
        *,
        ends: bool,
        threads: int,
        work: Work | None = None,
    ) -> bool:
        """Add the light of rays that have the share `left` [R] of theirs to sums over what lies before.

        light: the sums, 0 at first; depth is weighted and not divided. left: 1 at first. Both are written.
        ends: nothing lies behind this scene, and its sky does: sums become light, see `neurocity.contract`.
        False if `work` stopped it. Raises EngineError as `scene.KernelScene.render`.
        """
        if left.dtype != np.float32 or left.shape != (len(rays),):
            raise EngineError(
                f"rays: got left {left.dtype} {list(left.shape)}, expected float32 [{len(rays)}]"
            )
        arguments = _arguments(self._data, RayPointers.of(rays), LightPointers.of(light))
        arguments.left, arguments.ends = address(left), ends
        return call("nc_render_voxels", arguments, arguments.rays.parts, threads=threads, work=work)


def render_voxels(data: SceneData, rays: Rays, light: Light, *, threads: int) -> None:
    """Write the light of rays into `light`.

    data: of a scene, which is trusted. A model gives its own density [M], voxel_points [N, 8] int32,
    sh0 [N, 3] and shs [N, B, 3] in place of records.
    """
    arguments = _arguments(data, RayPointers.of(rays), LightPointers.of(light))
    call("nc_render_voxels", arguments, arguments.rays.parts, threads=threads)


def _arguments(data: SceneData, rays: RayPointers, light: LightPointers) -> VoxelArguments:
    records = data.tensors.get("records")
    storage, stride = _TENSORS, 0
    if records is not None:
        storage = _HALF_RECORDS if records.dtype == np.float16 else _FLOAT_RECORDS
        stride = records.shape[1]
    whole = {name: int(data.settings[name]) for name in WHOLE_SETTINGS}
    return VoxelArguments(
        rays=rays,
        light=light,
        root_low=tuple(data.tensors["root_low"].tolist()),
        storage=storage,
        stride=stride,
        ends=True,
        **{name: address(array) for name, array in data.tensors.items() if name != "root_low"},
        **{**data.settings, **whole},
    )


def record_width(sh_degree: int, dtype: npt.DTypeLike) -> int:
    """Numbers of a record, the zeros at its end included."""
    step = RECORD_BYTES // np.dtype(dtype).itemsize
    return -(-(3 * (sh_degree + 1) ** 2 + CORNERS) // step) * step


def check_voxels(data: SceneData) -> None:
    """Raise ManifestError unless the data is as this module lists it, so that the kernel stays within it."""
    check_settings(data, SETTINGS, WHOLE_SETTINGS)
    children = tensor(data, "children", (np.int32,), (-1, 8))
    records = tensor(data, "records", (np.float32, np.float16), (-1, -1))
    width = record_width(int(data.settings["sh_degree"]), records.dtype)
    tensor(data, "records", (records.dtype.type,), (-1, width))
    places(data, "root_low", (3,))
    sky_weights(data)
    check_names(data, {"children", "records", "root_low", "sky"})
    check_octree(children, len(records))


def check_octree(children: np.ndarray, voxels: int) -> None:
    """Raise ManifestError unless children [nodes, 8] is a tree of `MAX_LEVELS` at most over the voxels."""
    if not len(children):
        raise ManifestError("voxels: got no nodes, expected a root at least")
    if int(children.min()) < -1 - voxels or int(children.max()) >= len(children):
        raise ManifestError(
            f"voxels: got children from {children.min()} to {children.max()}, expected {-1 - voxels} to "
            f"{len(children) - 1}"
        )
    below = children[children >= 0]
    is_child = np.zeros(len(children), bool)
    is_child[below] = True
    if len(below) != len(children) - 1 or is_child[0] or not is_child[1:].all():
        raise ManifestError("voxels: a node has two parents or none, expected a tree from node 0")
    level = children[:1]
    for _ in range(MAX_LEVELS):
        level = children[level[level >= 0]]
    if len(level):
        raise ManifestError(f"voxels: the octree has more than {MAX_LEVELS} levels")
