"""The graph of a model that a compiled kernel renders: one operator, whose C++ goes into the package.

A compiler that fuses operators still stores what goes from one loop to the next, for all rays at once; a
kernel that follows each ray to its end stores nothing. The operator has no implementation in Python: the
model's own graph is the definition, which everything else runs.
"""

import ctypes
from functools import cache

import torch
from torch import Tensor, nn

from neurocity.family import NativeModel
from neurocity.kernels.rays import LightPointers, RayPointers, address
from neurocity.kernels.scene import CompiledScene, open_scene

LIBRARY = "neurocity"
_SCHEMA = (
    "(Tensor ray_origins, Tensor ray_directions, Tensor arguments, int[] places, Tensor[] arrays) -> "
    "(Tensor, Tensor, Tensor)"
)


class KernelGraph(nn.Module):
    """Rays [R, 3] -> rgb [R, 3], depth [R] and opacity [R] by the kernel of a kind of scene.

    The structure that the kernel takes is a buffer of bytes, and what it points to are buffers beside it.
    """

    arguments: Tensor

    def __init__(self, kind: str, scene: CompiledScene) -> None:
        super().__init__()
        self.operator = kernel_operator(kind)
        structure = scene.arguments(RayPointers(), LightPointers())
        found = {address(array): array for array in scene.arrays}
        content = bytearray(structure)
        self.places: list[int] = []
        for place, value in _pointers(structure):
            content[place : place + ctypes.sizeof(ctypes.c_void_p)] = bytes(ctypes.sizeof(ctypes.c_void_p))
            self.register_buffer(f"array_{len(self.places)}", torch.from_numpy(found[value]))
            self.places.append(place)
        self.register_buffer("arguments", torch.frombuffer(content, dtype=torch.uint8))

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        arrays = [self.get_buffer(f"array_{index}") for index in range(len(self.places))]
        rendered: tuple[Tensor, Tensor, Tensor] = self.operator(
            ray_origins, ray_directions, self.arguments, self.places, arrays
        )
        return rendered


def kernel_graph(model: nn.Module) -> nn.Module:
    """The graph of one operator for `model`, on the CPU; the model itself where no C kernel renders it."""
    if isinstance(model, NativeModel):
        data = model.scene_data()
        scene = open_scene(data)
        if isinstance(scene, CompiledScene):
            return KernelGraph(data.kind, scene)
    return model


@cache
def kernel_operator(kind: str) -> torch._ops.OpOverload:
    """The operator `neurocity::render_<kind>`, of which graphs may be recorded."""
    name = f"render_{kind}"

    def light(ray_origins: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
        rays = ray_origins.shape[0]
        return ray_origins.new_empty(rays, 3), ray_origins.new_empty(rays), ray_origins.new_empty(rays)

    torch.library.define(f"{LIBRARY}::{name}", _SCHEMA)
    torch.library.register_fake(f"{LIBRARY}::{name}", light)
    operator: torch._ops.OpOverload = getattr(getattr(torch.ops, LIBRARY), name).default
    return operator


def _pointers(structure: ctypes.Structure, start: int = 0) -> list[tuple[int, int]]:
    """Where in the bytes of a structure there are pointers that are not null, and their values."""
    found: list[tuple[int, int]] = []
    for name, kind in structure._fields_:  # type: ignore[misc]
        place = start + getattr(type(structure), name).offset
        value = getattr(structure, name)
        if issubclass(kind, ctypes.Structure):
            found += _pointers(value, place)
        elif kind is ctypes.c_void_p and value:
            found.append((place, value))
    return found
