"""A field of Mip-NeRF that was never trained but is like one: dense and thin parts, an irregular hull."""

from typing import Any

import torch

from neurocity.mip_nerf.core import MipNeRF, MipNeRFConfig

BOUNDS = (-1.0, -1.2, -0.8, 1.0, 0.9, 1.1)
TINY: dict[str, Any] = {
    "scene_bounds": BOUNDS,
    "position_degrees": 4,
    "direction_degrees": 2,
    "depth": 4,
    "width": 24,
    "skip_layer": 1,
    "bottleneck_width": 12,
    "color_width": 10,
    "density_bias": 1.0,
    "density_scale": 2.0,
    "coarse_samples": 9,
    "fine_samples": 11,
    "hull_resolution": 16,
}


def mip_nerf_field(seed: int = 0, **changes: Any) -> MipNeRF:
    """A field of random weights of order one, in eval mode; in a bounded scene matter is in few cells."""
    model = MipNeRF(MipNeRFConfig(**{**TINY, **changes}))
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        spread = (2.0 / parameter.shape[-1]) ** 0.5 if parameter.dim() == 2 else 0.3
        parameter.data = torch.randn(parameter.shape, generator=generator) * spread
    if not model.config.unbounded:
        model.space.restrict(torch.rand(model.config.hull_resolution**3, generator=generator) < 0.01)
    return model.eval().requires_grad_(False)


def cone_rays(
    seed: int = 0, count: int = 61, scale: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Origins, unit directions [R, 3] and radii [R, 1]: at the scene, from inside of it, and away from it."""
    generator = torch.Generator().manual_seed(seed)
    outside = 3.0 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    inside = torch.rand(count, 3, generator=generator) - 0.5
    kind = torch.arange(count)[:, None] % 3
    origins = torch.where(kind == 1, inside, outside)
    directions = torch.where(kind == 0, inside - outside, outside)
    radii = 0.002 + 0.02 * torch.rand(count, 1, generator=generator)
    return origins * scale, torch.nn.functional.normalize(directions, dim=1), radii
