"""Real spherical harmonics of view directions, bands 0 to 3 (16 values; Instant-NGP's view encoding)."""

import torch
from torch import Tensor

COEFFICIENTS = 16


def spherical_harmonics(directions: Tensor) -> Tensor:
    """Unit directions [3, R] -> basis values [R, 16], as `harmonic_planes` orders them."""
    return torch.stack(harmonic_planes(directions), dim=1)


def harmonic_planes(directions: Tensor) -> list[Tensor]:
    """Unit directions [3, R] -> 16 planes of basis values [R], in order of band and then of m = -l ... l.

    Normalised so that the integral of a squared basis function over the sphere is one; signs include the
    Condon-Shortley phase, as usual in radiance fields.
    """
    x, y, z = directions[0], directions[1], directions[2]
    xx, yy, zz = x * x, y * y, z * z
    return [
        torch.full_like(x, 0.28209479177387814),
        -0.4886025119029199 * y,
        0.4886025119029199 * z,
        -0.4886025119029199 * x,
        1.0925484305920792 * x * y,
        -1.0925484305920792 * y * z,
        0.31539156525252005 * (3.0 * zz - 1.0),
        -1.0925484305920792 * x * z,
        0.5462742152960396 * (xx - yy),
        -0.5900435899266435 * y * (3.0 * xx - yy),
        2.890611442640554 * x * y * z,
        -0.4570457994644658 * y * (5.0 * zz - 1.0),
        0.3731763325901154 * z * (5.0 * zz - 3.0),
        -0.4570457994644658 * x * (5.0 * zz - 1.0),
        1.445305721320277 * z * (xx - yy),
        -0.5900435899266435 * x * (xx - 3.0 * yy),
    ]
