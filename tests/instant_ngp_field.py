"""A field of Instant-NGP that was never trained but is like one: dense and thin parts, empty cells."""

from typing import Any

import torch

from neurocity.instant_ngp.core import InstantNGP, InstantNGPConfig

BOUNDS = (-1.0, -1.2, -0.8, 1.0, 0.9, 1.1)
TINY: dict[str, Any] = {
    "scene_bounds": BOUNDS,
    "num_levels": 3,
    "log2_hashmap_size": 10,
    "base_resolution": 4,
    "finest_resolution": 24,
    "hidden_dim": 16,
    "geometry_dim": 8,
    "occupancy_resolution": 8,
    "march_steps": 40,
    "step_growth": 0.1,
    "initial_density": 20.0,
}


def instant_ngp_field(seed: int = 0, **changes: Any) -> InstantNGP:
    """A field of random weights of order one, in eval mode; half of its cells are occupied."""
    model = InstantNGP(InstantNGPConfig(**{**TINY, **changes}))
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        fan_in = parameter.shape[-1] if parameter.dim() == 2 else 1
        parameter.data = torch.randn(parameter.shape, generator=generator) * (2.0 / fan_in) ** 0.5
    cells = model.config.occupancy_resolution**3
    model.occupancy.set_occupied(torch.rand(cells, generator=generator) < 0.5)
    return model.eval().requires_grad_(False)


def rays_around(seed: int = 0, count: int = 101, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Origins and unit directions [R, 3]: at the scene, from inside of it, and away from it in turns."""
    generator = torch.Generator().manual_seed(seed)
    outside = 3.0 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    inside = torch.rand(count, 3, generator=generator) - 0.5
    kind = torch.arange(count)[:, None] % 3
    origins = torch.where(kind == 1, inside, outside)
    directions = torch.where(kind == 0, inside - outside, outside)
    return origins * scale, torch.nn.functional.normalize(directions, dim=1)
