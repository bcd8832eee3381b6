"""A field of Grid-NeRF that was never trained but is like one: dense and thin parts, empty cells."""

from typing import Any

import torch
from instant_ngp_field import BOUNDS

from neurocity.grid_nerf.core import GridNeRF, GridNeRFConfig

TINY: dict[str, Any] = {
    "scene_bounds": BOUNDS,
    "initial_resolution": 6,
    "final_resolution": 12,
    "resolution_divisors": (1, 3),
    "density_components": 3,
    "appearance_components": 4,
    "hidden_dim": 16,
    "density_layers": 1,
    "color_layers": 1,
    "nerf_frequencies": 3,
    "nerf_width": 12,
    "nerf_layers": 3,
    "occupancy_resolution": 8,
    "march_steps": 40,
    "step_growth": 0.1,
    "initial_density": 20.0,
}


def grid_nerf_field(seed: int = 0, **changes: Any) -> GridNeRF:
    """A field of random weights of order one, in eval mode; half of its cells are occupied."""
    model = GridNeRF(GridNeRFConfig(**{**TINY, **changes}))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        fan_in = 1 if "features" in name else parameter.shape[-1]
        parameter.data = torch.randn(parameter.shape, generator=generator) * (2.0 / fan_in) ** 0.5
    cells = model.config.occupancy_resolution**3
    model.occupancy.set_occupied(torch.rand(cells, generator=generator) < 0.5)
    return model.eval().requires_grad_(False)
