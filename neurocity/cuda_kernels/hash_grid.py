"""The hash grid of `rendering.hash_grid`: a thread a point, a program a level of some points.

Programs that run at the same time read the same level, whose table so stays in the cache.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurocity.cuda_kernels.block import block


@torch.library.triton_op("neurocity_cuda::encode_hash_grid", mutates_args=())
def encode_hash_grid(
    points: Tensor, table: Tensor, scales: Tensor, factors: Tensor, dense_levels: int, is_xor: bool
) -> Tensor:
    """Features [N, L F] of points [3, N] in [0, 1].

    table [L, T, F] of float32 or float16, T a power of two; scales [L]; factors [3, L] of int32 or int64: by
    how much a level's row grows along x, y and z. In the first `dense_levels` every vertex has a row.
    """
    count = points.shape[1]
    levels, rows, features = table.shape
    encoded = empty_features(points, table)
    size = block(128)
    torch.library.wrap_triton(encode)[(triton.cdiv(count, size), levels)](
        points.contiguous(),
        table,
        scales,
        factors,
        encoded,
        count,
        levels,
        rows,
        dense_levels,
        IS_XOR=is_xor,
        FEATURES=features,
        BLOCK=size,
        num_warps=4,
    )
    return encoded


@encode_hash_grid.register_fake
def empty_features(points: Tensor, table: Tensor, *_: object) -> Tensor:
    """What `encode_hash_grid` gives, not yet written."""
    return points.new_empty(points.shape[1], table.shape[0] * table.shape[2])


@triton.jit
def encode(
    points,
    table,
    scales,
    factors,
    encoded,
    count,
    levels,
    rows,
    dense_levels,
    IS_XOR: tl.constexpr,
    FEATURES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Encodes BLOCK points by one level; arguments as of `encode_hash_grid`."""
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1)
    inside = point < count
    scale = tl.load(scales + level)
    x, share_x = vertex_of(points, point, inside, scale)
    y, share_y = vertex_of(points + count, point, inside, scale)
    z, share_z = vertex_of(points + 2 * count, point, inside, scale)
    # Rows count modulo a power of two, so that what does not fit into 32 bits may be lost.
    along_x = tl.load(factors + level).to(tl.int32)
    along_y = tl.load(factors + levels + level).to(tl.int32)
    along_z = tl.load(factors + 2 * levels + level).to(tl.int32)
    is_xor = IS_XOR & (level >= dense_levels)
    feature = tl.arange(0, FEATURES)
    own = table + level.to(tl.int64) * rows * FEATURES
    total = tl.full([BLOCK, FEATURES], 0.0, tl.float32)
    for corner in tl.static_range(8):
        term_x = (x + (corner & 1)) * along_x
        term_y = (y + (corner >> 1 & 1)) * along_y
        term_z = (z + (corner >> 2)) * along_z
        row = tl.where(is_xor, term_x ^ term_y ^ term_z, term_x + term_y + term_z) & (rows - 1)
        weight = share_x if corner & 1 else 1.0 - share_x
        weight *= share_y if corner >> 1 & 1 else 1.0 - share_y
        weight *= share_z if corner >> 2 else 1.0 - share_z
        places = own + row[:, None] * FEATURES + feature[None, :]
        total += tl.load(places, mask=inside[:, None], other=0.0).to(tl.float32) * weight[:, None]
    first = encoded + point.to(tl.int64)[:, None] * levels * FEATURES + level * FEATURES
    tl.store(first + feature[None, :], total, mask=inside[:, None])


@triton.jit
def vertex_of(coordinates, point, mask, scale):
    """Of points along an axis: the vertex below them, and how far they are from it, 0 to 1."""
    place = tl.load(coordinates + point, mask=mask, other=0.0) * scale + 0.5
    vertex = tl.floor(place)
    return vertex.to(tl.int32), place - vertex
