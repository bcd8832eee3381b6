"""Whole images from a render model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from neurocity.rendering.cpu_kernels import kernels_apply
from neurocity.rendering.render import RayRender, RaysToLight, RenderedByKernel

RAYS_PER_CALL = 4096
"""Keeps a call's intermediate tensors small enough that the allocator reuses their memory."""

RAYS_PER_KERNEL_CALL = 2**16
"""A kernel has no intermediate tensors, and each call of one makes and checks its scene anew."""


def render_rays(
    model: RaysToLight, ray_origins: Tensor, ray_directions: Tensor, ray_radii: Tensor | None = None
) -> RayRender:
    """Render any number of rays [R, 3] in calls that suit the model, without gradients.

    ray_radii [R, 1]: for models that need them; without, these take the mean of their training cameras.
    """
    rays = [ray_origins, ray_directions]
    if ray_radii is not None and model.needs_ray_radii:
        rays.append(ray_radii)
    by_kernel = isinstance(model, RenderedByKernel) and kernels_apply(ray_origins)
    rays_per_call = RAYS_PER_KERNEL_CALL if by_kernel else RAYS_PER_CALL
    calls = zip(*(planes.split(rays_per_call) for planes in rays), strict=True)
    with torch.no_grad():
        parts = [model(*planes) for planes in calls]
    return RayRender(*(torch.cat(planes) for planes in zip(*parts, strict=True)))


def over_background(rgb: Tensor, opacity: Tensor, background: Sequence[float] | None) -> Tensor:
    """Accumulated radiance [R, 3] over a background colour, clamped to [0, 1].

    None stands for black, which is right for scenes that model their own surroundings.
    """
    if background is not None:
        rgb = rgb + (1.0 - opacity[:, None]) * torch.tensor(background, dtype=rgb.dtype, device=rgb.device)
    return rgb.clamp(0.0, 1.0)
