"""Light along packed voxel intervals: density, colour, compositing (Sun et al. 2024, section 3.1).

Notation
    R rays, K intervals of all rays together, S samples in an interval, N voxels, M grid points
    raw      density before activation, at grid points; trilinear inside a voxel
    tau [K]  optical depth of an interval
    w [K]    compositing weight of an interval

These functions are differentiable and define both training and the render graph.
"""

from typing import Final

import torch
from torch import Tensor

from neurocity.rendering.compositing import segment_sum, transmittance
from neurocity.rendering.graph_target import materialize, recorded_for
from neurocity.rendering.render import RayRender
from neurocity.rendering.spherical_harmonics import harmonic_planes, spherical_harmonics

END_LIGHT: Final = 1e-4
"""A ray ends where this share of its light is left: training and eval alike, so that what is trained is what
is rendered (the paper's limit)."""
FAINTEST: Final = 1e-6
"""Intervals of less weight get no colour in eval."""


def explin(raw: Tensor) -> Tensor:
    """Activation of raw densities: an exponential that continues as x from 1.1 on, value and slope alike."""
    return torch.where(raw > 1.1, raw, torch.exp(raw.clamp_max(1.1) / 1.1 - 0.904689820196))


def interpolate(corners: Tensor, points: Tensor) -> Tensor:
    """Trilinear values [K] at points [3, K] in [0, 1] of voxels with corner values [K, 8]."""
    x, y, z = points[0], points[1], points[2]
    faces = corners[:, :4] + x[:, None] * (corners[:, 4:] - corners[:, :4])
    edges = faces[:, :2] + y[:, None] * (faces[:, 2:] - faces[:, :2])
    return edges[:, 0] + z * (edges[:, 1] - edges[:, 0])


def optical_depth(
    raw: Tensor, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, samples: int
) -> Tensor:
    """Integral of density over intervals, by the midpoint rule with `samples` points -> [K].

    raw [K, 8]: of the voxels' corners. origins, directions [3, K]: of the rays, in units and axes of their
    voxel, whose low corner is 0 and whose high corner is 1. near, far [K]. Density is per unit of depth.
    """
    width = (far - near) / samples
    total = torch.zeros_like(width)
    for index in range(samples):
        t = near + (index + 0.5) * width
        total = total + explin(interpolate(raw, (origins + directions * t).clamp(0.0, 1.0)))
    return total * width


def visible_weights(
    tau: Tensor,
    offsets: Tensor,
    ray_index: Tensor,
    least: float = END_LIGHT,
    arriving: Tensor | None = None,
) -> Tensor:
    """Weights [K] of intervals with optical depths [K], packed as in `rendering.compositing`.

    arriving [R]: the share of light that reaches a ray's first interval, where others are before it.
    A ray ends where the share `least` of its light is left. That share is spread over its intervals in
    proportion, so that weights end without a step: kernels may stop there and agree to the last digits.
    """
    left = transmittance(tau, offsets, ray_index)
    if arriving is not None:
        left = left * arriving.index_select(0, ray_index)
    return terminated_weights(left, tau, least)


def terminated_weights(left: Tensor, tau: Tensor, least: float = END_LIGHT) -> Tensor:
    """`visible_weights` of intervals with optical depths tau that the share `left` of light reaches."""
    taken = torch.minimum(left * -torch.expm1(-tau), (left - least).clamp_min(0.0))
    return taken / (1.0 - least)


def voxel_colors(sh0: Tensor, shs: Tensor, views: Tensor) -> Tensor:
    """Colours [K, 3] of voxels seen along unit `views` [3, K], before they are clamped to [0, 1].

    sh0 [K, 3], shs [K, B, 3]: coefficients of the constant and of the first B further basis functions.
    """
    if recorded_for("compiler"):
        return voxel_colors_by_plane(sh0, shs, views)
    basis = spherical_harmonics(views)
    color = 0.5 + sh0 * basis[:, :1]
    return color + (shs * basis[:, 1 : 1 + shs.shape[1], None]).sum(1)


@torch.jit.unused
def voxel_colors_by_plane(sh0: Tensor, shs: Tensor, views: Tensor) -> Tensor:
    """`voxel_colors` without sums over an axis, around each of which a compiler puts a loop of threads."""
    basis = harmonic_planes(views)
    channels = []
    for channel in range(3):
        color = 0.5 + sh0[:, channel] * basis[0]
        for index in range(shs.shape[1]):
            color = color + shs[:, index, channel] * basis[index + 1]
        channels.append(materialize(color))
    return torch.stack(channels, dim=1)


def clamp_straight(values: Tensor) -> Tensor:
    """Clamp to [0, 1] whose gradient passes straight through: in training, colours outside find back."""
    constant = values.detach()
    return constant.clamp(0.0, 1.0) + (values - constant)


def summed_light(weights: Tensor, light: Tensor, depths: Tensor, offsets: Tensor) -> Tensor:
    """Sums [5, R] along rays of light [3, K], weights [K] times depths [K], and weights."""
    return segment_sum(torch.cat([light, (weights * depths)[None], weights[None]]), offsets)


def split_render(summed: Tensor) -> RayRender:
    """The render of rays with such sums [5, R]."""
    opacity = summed[4].clamp(0.0, 1.0)
    return RayRender(summed[:3].t(), summed[3] / opacity.clamp_min(1e-6), opacity)
