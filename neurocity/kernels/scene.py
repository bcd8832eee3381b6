"""A scene as kernels render it: arrays and numbers alone, without the model that they come from."""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Protocol

import numpy as np

from neurocity.cameras import Rays
from neurocity.errors import ManifestError
from neurocity.kernels.rays import LightPointers, RayPointers
from neurocity.kernels.work import Work, call
from neurocity.light import Light
from neurocity.resources import available_processors


@dataclass(frozen=True)
class SceneData:
    """What a kernel renders.

    kind: in `KINDS`. tensors: arrays by name, as the module of that kind lists them. settings: numbers by
    name, likewise.
    """

    kind: str
    tensors: Mapping[str, np.ndarray]
    settings: Mapping[str, float]


class KernelScene(Protocol):
    """A scene that is ready to be rendered; it reads the arrays that it was made of and never writes them."""

    def render(self, rays: Rays, light: Light, *, threads: int, work: Work | None = None) -> bool:
        """Write the light of rays into `light`, see `neurocity.contract`; False if `work` stopped it.

        Raises EngineError when the rays are not contiguous float32 [R, 3], or the kernel reports a failure.
        """


class CompiledScene(ABC):
    """A `KernelScene` that the C function `nc_render_<kind>` of `cpp/<kind>.cpp` renders.

    arrays: all that its arguments point to besides rays and light.
    """

    kind: ClassVar[str]
    arrays: tuple[np.ndarray, ...]

    @abstractmethod
    def arguments(self, rays: RayPointers, light: LightPointers) -> ctypes.Structure:
        """The structure that the function takes."""

    def render(self, rays: Rays, light: Light, *, threads: int, work: Work | None = None) -> bool:
        """See `KernelScene`."""
        pointers = RayPointers.of(rays)
        arguments = self.arguments(pointers, LightPointers.of(light))
        return call(f"nc_render_{self.kind}", arguments, pointers.parts, threads=threads, work=work)


KINDS = {
    "voxels": "neurocity.kernels.voxels:VoxelScene",
    "hash_field": "neurocity.kernels.hash_field:HashFieldScene",
    "plane_field": "neurocity.kernels.plane_field:PlaneFieldScene",
}
"""Kind of a scene -> its `KernelScene`, whose constructor takes `SceneData`.

It raises ManifestError when an array or a number is missing, has another type or shape than it must, or holds
an index that is out of range: files are not trusted.
"""


def open_scene(data: SceneData) -> KernelScene:
    """The scene of that data. Raises ManifestError when it is not what a kernel can render."""
    if data.kind not in KINDS:
        raise ManifestError(f"kind of scene: got {data.kind!r}, known: {', '.join(sorted(KINDS))}")
    module, _, name = KINDS[data.kind].partition(":")
    scene: KernelScene = getattr(import_module(module), name)(data)
    return scene


def render_rays(
    scene: KernelScene, rays: Rays, *, threads: int = 0, work: Work | None = None
) -> Light | None:
    """The light of rays; None if `work` stopped it. threads: 0 for one a processor that may be used.

    Raises EngineError as `KernelScene.render`.
    """
    light = Light.empty(len(rays))
    whole = Rays(*map(np.ascontiguousarray, rays.arrays()), width=rays.width)
    done = scene.render(whole, light, threads=threads or available_processors(), work=work)
    return light if done else None
