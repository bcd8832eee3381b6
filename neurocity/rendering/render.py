"""What a model returns for a bundle of rays."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class RayRender(NamedTuple):
    """Rendered rays, float32, in the order of the rays that were asked for.

    rgb [R, 3]: accumulated radiance without background, sRGB-encoded.
    depth [R]: expected distance along the unit ray, sum(w t) / max(opacity, 1e-6), world units.
    opacity [R]: sum of the compositing weights w, in [0, 1].
    """

    rgb: Tensor
    depth: Tensor
    opacity: Tensor


class TrainingRender(NamedTuple):
    """A differentiable render of training rays.

    rgb [R, 3]: accumulated radiance without background. opacity [R]. evaluated: how many samples it took.
    terms: what a family's own losses ask for beside these, [R] each, by the names of the losses.
    """

    rgb: Tensor
    opacity: Tensor
    evaluated: int
    terms: Mapping[str, Tensor] = MappingProxyType({})


class RaysToLight(Protocol):
    """What renders rays; every `neurocity.family.RenderModel` does. See there for the radii."""

    needs_ray_radii: bool

    def __call__(self, *rays: Tensor) -> RayRender:
        """Origins [R, 3], directions [R, 3] and, where they are needed, radii [R, 1] -> their render."""


@runtime_checkable
class RenderedByKernel(Protocol):
    """A model that one call of a kernel renders, where kernels apply."""

    def render_compiled(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """The light of rays [R, 3], [R, 3]."""
