"""Training of sparse voxels: along rays to light, and back to gradients of densities and colours.

Notation
    R rays; N voxels, M grid points, as in `voxels`
"""

import ctypes
import weakref
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neurocity.cameras import Rays
from neurocity.errors import EngineError
from neurocity.kernels.library import library
from neurocity.kernels.rays import RayPointers, address
from neurocity.kernels.scene import SceneData
from neurocity.kernels.work import call

_TENSORS = ("children", "voxel_points", "density", "sh0", "shs")
_INPUTS = ("photograph", "pixel_widths")
_LIGHT = ("rgb", "opacity", "concentration", "distortion")
_GRADIENTS = ("density_gradient", "sh0_gradient", "shs_gradient")
_STATISTICS = ("priority", "weight", "footprint")
_NUMBERS = ("root_side", "near", "density_scale", "distance_unit", "least_light", "near_distance")
_WHOLE_NUMBERS = ("harmonics", "harmonics_in_use", "samples", "distorting")


class VoxelTrainingArguments(ctypes.Structure):
    """`VoxelTrainingArguments` of cpp/voxel_training.hpp."""

    _fields_ = (
        ("rays", RayPointers),
        *((name, ctypes.c_void_p) for name in (*_INPUTS, *_TENSORS, "tape", *_LIGHT, "evaluated")),
        *((f"{name}_slopes", ctypes.c_void_p) for name in _LIGHT),
        *((name, ctypes.c_void_p) for name in (*_GRADIENTS, *_STATISTICS)),
        ("voxels", ctypes.c_int64),
        ("points", ctypes.c_int64),
        ("root_low", ctypes.c_float * 3),
        *((name, ctypes.c_float) for name in _NUMBERS),
        *((name, ctypes.c_int32) for name in _WHOLE_NUMBERS),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingInputs:
    """What one pass is made of.

    model: as `voxels.render_voxels` takes it, with the model's own tensors. rays: squares of pixels one below
    the other are an image as wide as they are. photograph [R, 3]: colours of pixels. pixel_widths [R]: at
    unit distance. sh_degree: bands of spherical harmonics in use. distance_unit: where the contraction of
    distances begins. near_distance: within which views count less, as
    `svraster.training.near_field` says. distorting: whether distortion is computed, else it is 0.
    """

    model: SceneData
    rays: Rays
    photograph: np.ndarray
    pixel_widths: np.ndarray
    sh_degree: int
    distance_unit: float
    near_distance: float
    distorting: bool


class TracedLight(NamedTuple):
    """rgb [R, 3], opacity, concentration and distortion [R] of rays, or gradients by them; float32."""

    rgb: np.ndarray
    opacity: np.ndarray
    concentration: np.ndarray
    distortion: np.ndarray


class VoxelSums(NamedTuple):
    """What the way back gives, float32 in C order.

    Gradients by density [M], sh0 [N, 3] and shs [N, B, 3] are written, statistics of voxels [N] added to.
    """

    density: np.ndarray
    sh0: np.ndarray
    shs: np.ndarray
    priority: np.ndarray
    weight: np.ndarray
    footprint: np.ndarray


class VoxelTape:
    """Memory for what one pass notes on its way along rays; another pass may use it after the way back."""

    def __init__(self, parts: int) -> None:
        """parts: of the rays, as `RayPointers.parts` counts them. Raises EngineError without memory."""
        create, delete = library().nc_new_voxel_tape, library().nc_delete_voxel_tape
        create.restype, create.argtypes = ctypes.c_void_p, (ctypes.c_int64,)
        delete.restype, delete.argtypes = None, (ctypes.c_void_p,)
        self.parts = parts
        self.handle = create(parts)
        if not self.handle:
            raise EngineError(f"nc_new_voxel_tape: no memory for {parts} parts")
        weakref.finalize(self, delete, self.handle)


def trace_voxels(inputs: TrainingInputs, tape: VoxelTape, light: TracedLight, *, threads: int) -> int:
    """Write the light of rays into `light`, and notes into `tape`; how many intervals were shaded."""
    evaluated = np.zeros(tape.parts, np.int64)
    planes = {name: address(plane) for name, plane in zip(_LIGHT, light, strict=True)}
    arguments = _arguments(inputs, tape, **planes, evaluated=address(evaluated))
    call("nc_trace_voxels", arguments, tape.parts, threads=threads)
    return int(evaluated.sum())


def voxel_gradients(
    inputs: TrainingInputs, tape: VoxelTape, slopes: TracedLight, sums: VoxelSums, *, threads: int
) -> None:
    """Go back from gradients by light to `sums`. tape: of `trace_voxels` with equal inputs.

    The sums do not depend on the number of threads.
    """
    places = {f"{name}_slopes": address(plane) for name, plane in zip(_LIGHT, slopes, strict=True)}
    names = (*_GRADIENTS, *_STATISTICS)
    places |= {name: address(array) for name, array in zip(names, sums, strict=True)}
    arguments = _arguments(inputs, tape, **places)
    call("nc_go_back_along_rays", arguments, tape.parts, threads=threads)
    call("nc_sum_voxel_gradients", arguments, library().nc_voxel_gradient_owners(), threads=threads)


def ray_parts(rays: Rays) -> int:
    """How many parts a tape for these rays has."""
    return RayPointers.of(rays).parts


def _arguments(inputs: TrainingInputs, tape: VoxelTape, **places: int) -> VoxelTrainingArguments:
    model = inputs.model
    settings = model.settings
    arguments = VoxelTrainingArguments(
        rays=RayPointers.of(inputs.rays),
        photograph=address(inputs.photograph),
        pixel_widths=address(inputs.pixel_widths),
        tape=tape.handle,
        voxels=len(model.tensors["sh0"]),
        points=len(model.tensors["density"]),
        root_low=tuple(model.tensors["root_low"].tolist()),
        distance_unit=inputs.distance_unit,
        near_distance=inputs.near_distance,
        harmonics=(int(settings["sh_degree"]) + 1) ** 2,
        harmonics_in_use=(min(inputs.sh_degree, int(settings["sh_degree"])) + 1) ** 2,
        samples=int(settings["samples_per_voxel"]),
        distorting=inputs.distorting,
        **{name: address(model.tensors[name]) for name in _TENSORS},
        **{name: settings[name] for name in _NUMBERS if name in settings},
        **places,
    )
    assert arguments.rays.parts == tape.parts, "the tape is for other rays"
    return arguments
