"""Volume rendering of samples, packed or in rows (Max 1995; Mildenhall et al. 2020, eq. 3).

Notation
    R rays, N samples of all rays together, ray after ray and front to back ("packed")
    tau [N]      optical depth of a sample, density * step
    T [N]        transmittance in front of a sample, exp(-sum of the tau before it on its ray)
    w [N]        compositing weight, T (1 - exp(-tau))
    offsets [R+1] index of the first sample of each ray; offsets[R] = N

    K samples of a ray, where all have as many: rows [R, K]

Sums over a packed ray are differences of one running sum over all samples. It runs in float64, so that what
other rays contribute (up to 1e5) cancels to 1e-11, far below the float32 result: a ray's value does not
depend on its neighbours. CumSum and Gather are all that this needs of an export target.
"""

import torch
from torch import Tensor


def running_sum(values: Tensor) -> Tensor:
    """Inclusive running sums over the last axis with a leading zero: [..., N] -> [..., N + 1] float64."""
    return torch.nn.functional.pad(torch.cumsum(values.double(), dim=-1), (1, 0))


def segment_sum(values: Tensor, offsets: Tensor) -> Tensor:
    """Sum of packed values over each ray: values [..., N], offsets [R + 1] int64 -> [..., R] float32."""
    at_offsets = running_sum(values).index_select(-1, offsets)
    return (at_offsets[..., 1:] - at_offsets[..., :-1]).float()


def transmittance(tau: Tensor, offsets: Tensor, ray_index: Tensor) -> Tensor:
    """Share of light that reaches each packed sample.

    tau [N] >= 0, offsets [R + 1] int64, ray_index [N] int64 (the ray of each sample) -> T [N] float32.
    """
    before = running_sum(tau)
    at_ray_start = before.index_select(0, offsets[:-1]).index_select(0, ray_index)
    return torch.exp(-(before[:-1] - at_ray_start)).float()


def compositing_weights(tau: Tensor, offsets: Tensor, ray_index: Tensor) -> Tensor:
    """Weights of packed samples; arguments as for `transmittance` -> w [N] float32."""
    return transmittance(tau, offsets, ray_index) * -torch.expm1(-tau)


def row_transmittance(tau: Tensor) -> Tensor:
    """Share of light that reaches each sample of rows with optical depths tau [R, K] >= 0 -> [R, K]."""
    return torch.exp(-torch.nn.functional.pad(torch.cumsum(tau, dim=1)[:, :-1], (1, 0)))


def row_weights(tau: Tensor) -> Tensor:
    """Compositing weights of rows; arguments as for `row_transmittance` -> [R, K]."""
    return row_transmittance(tau) * -torch.expm1(-tau)


def distortion(weights: Tensor, begin: Tensor, end: Tensor, offsets: Tensor) -> Tensor:
    """sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (e_i - b_i) of each ray, with m = (b + e) / 2.

    Small where a ray's weights are at one place (Barron et al. 2022, eq. 15). weights [N]; begin, end [N]:
    where on its ray a sample's interval is, in any measure that rises along it; offsets [R + 1] -> [R].
    """
    middle = 0.5 * (begin + end)
    starts = torch.repeat_interleave(offsets[:-1], offsets.diff())
    # Front to back the middles rise, so that the double sum is one of differences to what is in front.
    in_front = [
        sums[:-1] - sums.index_select(0, starts)
        for sums in (running_sum(weights), running_sum(weights * middle))
    ]
    pairs = 2.0 * weights * (middle * in_front[0] - in_front[1])
    return segment_sum(pairs + weights.square() * (end - begin) / 3.0, offsets)
