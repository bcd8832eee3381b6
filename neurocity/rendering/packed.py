"""Items of many rays in one row, ray after ray and front to back.

Notation
    R rays, N items; ray_index [N] int64 is the ray of each; offsets [R + 1] int64 is the first of each ray
"""

import torch
from torch import Tensor

from neurocity.rendering.graph_target import gather_rows


def compact(mask: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The items where mask [N] is true: their indices [K], and their offsets [R + 1]."""
    return mask.nonzero().flatten(), torch.nn.functional.pad(mask.cumsum(0), (1, 0)).index_select(0, offsets)


def rank_within_ray(ray_index: Tensor, offsets: Tensor) -> Tensor:
    """How many items of its ray are before each [N]."""
    count = torch.arange(ray_index.shape[0], device=ray_index.device)
    return count - offsets.index_select(0, ray_index)


def in_round(lit: Tensor, ray_index: Tensor, rank: Tensor, first: int, last: int) -> Tensor:
    """Which items [N] have ranks [N] from `first` to before `last`, on rays that are still `lit` [R] bool."""
    return gather_rows(lit, ray_index) & (rank >= first) & (rank < last)


def first_true(mask: Tensor, count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The columns [R, K] of the first `count` true entries of each row of mask [R, W], and which of them are.

    It is one TopK, which every runtime has: true entries come before all others, and both kinds in the order
    of the row. dtype: of the keys, which are whole numbers up to W.
    """
    width = mask.shape[1]
    column = torch.arange(width, device=mask.device).to(dtype)
    key, index = torch.topk(torch.where(mask, width - column, -column), count, dim=1)
    return index, key > 0.0
