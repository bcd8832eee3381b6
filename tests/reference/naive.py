"""The render that a paper's pseudo-code gives: dense samples, every corner a tensor axis, nothing skipped.

It is the oracle of `InstantNGP.forward` in images, and what the benchmarks measure it against. Bounded scenes
only.
"""

import torch
from torch import Tensor

from neurocity.instant_ngp.core import InstantNGP
from neurocity.rendering.render import RayRender
from neurocity.rendering.spherical_harmonics import spherical_harmonics


def encode(model: InstantNGP, points: Tensor) -> Tensor:
    """points [N, 3] in [0, 1] -> features [N, L F], through tensors of [N, L, 8, F]."""
    grid = model.encoding
    levels, rows, features = grid.table.shape
    position = points[:, None, :] * grid.scales[:, None] + 0.5
    base = position.floor()
    corner = torch.tensor([[c & 1, c >> 1 & 1, c >> 2] for c in range(8)])
    vertex = base.long()[:, :, None, :] + corner
    fraction = (position - base)[:, :, None, :]
    weights = torch.where(corner.bool(), fraction, 1.0 - fraction).prod(-1)
    factors = grid.axis_factors[..., 0].t().long()[None, :, None, :]
    index = (vertex * factors).sum(-1) % rows + torch.arange(levels)[None, :, None] * rows
    return (grid.table.view(-1, features)[index] * weights[..., None]).sum(2).flatten(1)


def render(model: InstantNGP, ray_origins: Tensor, ray_directions: Tensor, samples: int = 256) -> RayRender:
    """Rays [R, 3] through `samples` equal intervals of the box's way along each ray."""
    marcher = model.marcher
    inverse = 1.0 / torch.where(ray_directions.abs() < 1e-9, 1e-9, ray_directions)
    to_low, to_high = (marcher.low - ray_origins) * inverse, (marcher.high - ray_origins) * inverse
    start = torch.minimum(to_low, to_high).amax(-1).clamp_min(marcher.near)
    end = torch.maximum(torch.maximum(to_low, to_high).amin(-1), start)
    delta = (end - start)[:, None] / samples
    t = start[:, None] + (torch.arange(samples) + 0.5) * delta
    points = ray_origins[:, None] + ray_directions[:, None] * t[..., None]
    unit = (points - marcher.low) / marcher.side
    geometry = model.density_net(encode(model, unit.view(-1, 3).clamp(0.0, 1.0)))
    density = torch.exp(geometry[:, 0].clamp(-15.0, 15.0)).view(t.shape) * model.density_scale
    cell = (unit * marcher.grid).long().clamp(0, marcher.grid - 1)
    occupied = model.occupancy.jump[
        cell[..., 0] + marcher.grid * (cell[..., 1] + marcher.grid * cell[..., 2])
    ]
    alpha = 1.0 - torch.exp(-density * (occupied < 0) * delta)
    transmittance = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1.0 - alpha], 1), 1)[:, :-1]
    weights = transmittance * alpha
    basis = spherical_harmonics(ray_directions.t()).repeat_interleave(samples, 0)
    color = model.color(unit.view(-1, 3).t(), geometry, basis).view(*t.shape, 3)
    opacity = weights.sum(1)
    depth = (weights * t).sum(1) / opacity.clamp_min(1e-6)
    return RayRender((weights[..., None] * color).sum(1), depth, opacity)
