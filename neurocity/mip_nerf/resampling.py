"""Where the second pass samples a ray: by the weights of the first (Barron et al. 2021, section 3.1).

Notation
    R rays, N intervals a ray between N + 1 fence posts, M positions to find a ray
    w [R, N]  compositing weights; cdf [R, N + 1]  their normalised running sums

Nothing here is differentiated: positions carry no gradient.
"""

import torch
from torch import Tensor


def blurred(weights: Tensor, padding: float) -> Tensor:
    """Weights [R, N] after a maximum and then a mean over neighbours, plus `padding` (equation 18).

    The result is an upper envelope of the weights and their neighbours: a surface that the first pass hit
    near the edge of an interval is sampled from both sides.
    """
    padded = torch.cat([weights[:, :1], weights, weights[:, -1:]], dim=1)
    highest = torch.maximum(padded[:, :-1], padded[:, 1:])
    return (highest[:, :-1] + highest[:, 1:]) * 0.5 + padding


def positions_by_weight(fences: Tensor, weights: Tensor, quantiles: Tensor) -> Tensor:
    """Where the running sum of weights reaches quantiles [R, M] in [0, 1]: [R, M], ascending if these are.

    fences [R, N + 1] ascending, weights [R, N] > 0, taken as spread evenly over their intervals. The interval
    of a quantile is found by counting, not by search: exporters have no symbol for `searchsorted`.
    """
    cdf = torch.cumsum(weights / weights.sum(1, keepdim=True), dim=1)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf[:, :-1], torch.ones_like(cdf[:, :1])], dim=1)
    index = (quantiles[:, None, :] >= cdf[:, 1:-1, None]).sum(1)
    low, high = cdf.gather(1, index), cdf.gather(1, index + 1)
    share = ((quantiles - low) / (high - low).clamp_min(1e-12)).clamp(0.0, 1.0)
    begin, end = fences.gather(1, index), fences.gather(1, index + 1)
    return begin + share * (end - begin)


def even_quantiles(posts: int, like: Tensor) -> Tensor:
    """Quantiles [R, posts] that divide [0, 1] evenly, both ends among them; `like` [R] gives R."""
    even = torch.linspace(0.0, 1.0, posts, dtype=like.dtype, device=like.device)
    return even.expand(like.shape[0], posts)


def stratified_quantiles(noise: Tensor) -> Tensor:
    """Quantiles [R, M], one at random in each of M equal parts of [0, 1): noise [R, M] uniform in [0, 1)."""
    posts = noise.shape[1]
    return (torch.arange(posts, dtype=noise.dtype, device=noise.device) + noise) / posts


def jittered(fences: Tensor, noise: Tensor) -> Tensor:
    """Fence posts [R, N + 1], each moved to a random place between the middles of its two intervals.

    noise [R, N + 1] uniform in [0, 1). The first and last move inwards only.
    """
    middles = (fences[:, 1:] + fences[:, :-1]) * 0.5
    low = torch.cat([fences[:, :1], middles], dim=1)
    high = torch.cat([middles, fences[:, -1:]], dim=1)
    return low + (high - low) * noise
