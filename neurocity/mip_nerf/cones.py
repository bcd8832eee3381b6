"""Conical frustums along rays as Gaussians (Barron et al. 2021, section 3.1; 2022, section 3).

Notation
    R rays, N frustums a ray between N + 1 fence posts t_0 < t_1 < ...
    r        radius of the cone at unit distance along the unit ray
    m, h     middle and half length of a frustum
    mean_t, var_t   mean and variance of the distance along the ray, var_r variance across it
    J        Jacobian of the contraction, symmetric

Lengths are in half sides of the scene's cube. Only the diagonals of covariances are kept: that is all that
an axis-aligned encoding asks for (equation 16).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Cones(NamedTuple):
    """R cones: apexes [R, 3], unit axes [R, 3], radii [R, 1] at unit distance, and the distances [R] between
    which they count."""

    origins: Tensor
    directions: Tensor
    radii: Tensor
    begin: Tensor
    end: Tensor


class Gaussians(NamedTuple):
    """Means [R, N, 3] and the diagonals of the covariances [R, N, 3]."""

    mean: Tensor
    variance: Tensor


def frustum_moments(begin: Tensor, end: Tensor, radii: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """mean_t, var_t and var_r of frustums from `begin` to `end`, 0 <= begin < end (equation 7, which is
    stable where a frustum is short)."""
    m, h = (begin + end) * 0.5, (end - begin) * 0.5
    mm, hh = m * m, h * h
    share = hh / (3.0 * mm + hh).clamp_min(1e-30)
    mean_t = m + 2.0 * m * share
    var_t = hh / 3.0 - (4.0 / 15.0) * share * share * (12.0 * mm - hh)
    var_r = radii * radii * (mm * 0.25 + (5.0 / 12.0) * hh - (4.0 / 15.0) * hh * share)
    return mean_t, var_t, var_r


def frustum_gaussians(cones: Cones, fences: Tensor, contracted: bool) -> Gaussians:
    """The frustums between the fence posts [R, N + 1] of each cone, in contracted space if so asked."""
    mean_t, var_t, var_r = frustum_moments(fences[:, :-1], fences[:, 1:], cones.radii)
    mean = cones.origins[:, None] + cones.directions[:, None] * mean_t[..., None]
    if contracted:
        return contracted_gaussians(mean, cones.directions[:, None], var_t[..., None], var_r[..., None])
    squares = (cones.directions * cones.directions)[:, None]
    variance = var_t[..., None] * squares + var_r[..., None] * (1.0 - squares).clamp_min(0.0)
    return Gaussians(mean, variance)


def contracted_gaussians(mean: Tensor, directions: Tensor, var_t: Tensor, var_r: Tensor) -> Gaussians:
    """Gaussians with the covariance var_t d d^T + var_r (1 - d d^T), moved into the ball of radius 2.

    mean [..., 3], unit directions d [..., 3], variances [..., 1]. f(x) = x inside the unit ball and
    (2 - 1/|x|) x/|x| outside; the covariance becomes J (...) J (Barron et al. 2022, equations 9 and 10).
    """
    norm = torch.sqrt((mean * mean).sum(-1, keepdim=True)).clamp_min(1.0)
    # J = scale + bend x x^T; in the unit ball scale = 1 and bend = 0.
    scale = (2.0 - 1.0 / norm) / norm
    bend = 2.0 * (1.0 - norm) / (norm * norm * norm * norm)
    along = scale * directions + bend * mean * (mean * directions).sum(-1, keepdim=True)
    squares = along * along
    # The diagonal of J J; its part along J d is the frustum's length, the rest its thickness.
    whole = scale * scale + (2.0 * scale * bend + bend * bend * norm * norm) * mean * mean
    return Gaussians(scale * mean, var_t * squares + var_r * (whole - squares).clamp_min(0.0))
