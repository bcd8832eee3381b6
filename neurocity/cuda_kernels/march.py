"""The march of `rendering.marching`, a thread a ray: along its lattice, and over what is surely empty.

A ray marches twice: first its samples are counted, so that all of them together have their places, and then
they are written. A ray ends where it is at no place any more.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurocity.cuda_kernels.block import any_of, block, filled


def march(
    rays: Sequence[Tensor],
    space: Sequence[Tensor],
    sizes: Sequence[int],
    numbers: Sequence[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The fields of `rendering.marching.PackedSamples` of rays; arguments as for `count_samples`."""
    counts = count_samples(rays, space, sizes, numbers)
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    total = offsets[-1].item()
    torch._check(total >= 0)  # what a recorded graph cannot know
    points, t, delta, ray_index = place_samples(rays, space, sizes, numbers, offsets, total)
    return points, t, delta, ray_index, offsets


@torch.library.triton_op("neurocity_cuda::count_samples", mutates_args=())
def count_samples(
    rays: Sequence[Tensor], space: Sequence[Tensor], sizes: Sequence[int], numbers: Sequence[float]
) -> Tensor:
    """How many samples rays have: [R] int64.

    rays: origins and directions [R, 3], jitter [R]. space: jump [G^3], edges [points + 1], and the box's low,
    high and center [3], as in `RayMarcher`. sizes: G, the lattice's points, and 1 where it is unbounded, else
    0. numbers: `step, side, near, growth`.
    """
    origins, directions, jitter = rays
    grid, points, unbounded = sizes
    count = jitter.shape[0]
    counts = empty_counts(rays)
    size = block()
    torch.library.wrap_triton(follow)[(triton.cdiv(count, size),)](
        origins.contiguous(),
        directions.contiguous(),
        jitter.contiguous(),
        *space,
        counts,
        counts,  # nothing is written to the others
        counts,
        counts,
        counts,
        count,
        0,
        *numbers,
        points,
        GRID=grid,
        UNBOUNDED=unbounded,
        IS_COUNT=True,
        BLOCK=size,
        num_warps=1,
    )
    return counts


@count_samples.register_fake
def empty_counts(rays: Sequence[Tensor], *_: object) -> Tensor:
    """What `count_samples` gives, not yet written."""
    return rays[2].new_empty(rays[2].shape, dtype=torch.int64)


@torch.library.triton_op("neurocity_cuda::place_samples", mutates_args=())
def place_samples(
    rays: Sequence[Tensor],
    space: Sequence[Tensor],
    sizes: Sequence[int],
    numbers: Sequence[float],
    offsets: Tensor,
    total: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points [3, N], depths [N], widths [N] and rays [N] int64 of samples.

    offsets [R + 1]: of each ray's first sample; the last is N, `total`. The others as for `count_samples`.
    """
    origins, directions, jitter = rays
    grid, points, unbounded = sizes
    count = jitter.shape[0]
    samples = empty_samples(rays, space, sizes, numbers, offsets, total)
    size = block()
    torch.library.wrap_triton(follow)[(triton.cdiv(count, size),)](
        origins.contiguous(),
        directions.contiguous(),
        jitter.contiguous(),
        *space,
        offsets,
        *samples,
        count,
        total,
        *numbers,
        points,
        GRID=grid,
        UNBOUNDED=unbounded,
        IS_COUNT=False,
        BLOCK=size,
        num_warps=1,
    )
    return samples


@place_samples.register_fake
def empty_samples(
    rays: Sequence[Tensor],
    _space: Sequence[Tensor],
    _sizes: Sequence[int],
    _numbers: Sequence[float],
    offsets: Tensor,
    total: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `place_samples` gives, not yet written."""
    points, t, delta = (rays[2].new_empty(shape) for shape in ((3, total), total, total))
    return points, t, delta, offsets.new_empty(total)


@triton.jit
def follow(
    origins,
    directions,
    jitters,
    jump,
    edges,
    low,
    high,
    center,
    offsets,
    places,
    depths,
    deltas,
    ray_index,
    count,
    total,
    step,
    side,
    near,
    growth,
    points,
    GRID: tl.constexpr,
    UNBOUNDED: tl.constexpr,
    IS_COUNT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Counts the samples of BLOCK rays, into `offsets`, or writes them to their places."""
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = ray < count
    jitter = tl.load(jitters + ray, mask=inside, other=0.0)
    x, speed_x = along_axis(origins, directions, ray, inside, 0)
    y, speed_y = along_axis(origins, directions, ray, inside, 1)
    z, speed_z = along_axis(origins, directions, ray, inside, 2)
    start = filled(near, jitter)
    last = filled(points, jitter)
    if not UNBOUNDED:
        end = filled(float("inf"), jitter)
        start, end = cross_slab(x, speed_x, low, high, 0, start, end)
        start, end = cross_slab(y, speed_y, low, high, 1, start, end)
        start, end = cross_slab(z, speed_z, low, high, 2, start, end)
        last = tl.minimum(tl.floor(tl.div_rn(end - start, filled(step, start))), 1e6)
        last = tl.where(start < end, last, 0.0)
    last = tl.where(inside, last, 0.0)
    speed = tl.maximum(tl.maximum(tl.abs(speed_x), tl.abs(speed_y)), tl.abs(speed_z))
    leap = side / (GRID * tl.maximum(speed, 1e-30))  # for each empty cell
    place = tl.full([BLOCK], 0, tl.int64)
    if not IS_COUNT:
        place = tl.load(offsets + ray, mask=inside, other=0)
    index = filled(0.0, start)  # of lattice points
    while any_of(index < last):
        alive = index < last
        if UNBOUNDED:
            edge = edges + tl.where(alive, index, 0.0).to(tl.int32)
            begin = tl.load(edge, mask=alive, other=0.0)
            delta = tl.load(edge + 1, mask=alive, other=0.0) - begin
            t = begin + jitter * delta
            u = from_corner(x, speed_x, t, center, 0, side / 2.0)
            v = from_corner(y, speed_y, t, center, 1, side / 2.0)
            w = from_corner(z, speed_z, t, center, 2, side / 2.0)
            alive = alive & (tl.abs(u) + tl.abs(v) + tl.abs(w) < float("inf"))
            norm = tl.maximum(tl.maximum(tl.abs(u), tl.abs(v)), tl.abs(w))
            outer = tl.maximum(norm, 1.0)
            factor = tl.div_rn(2.0 - tl.div_rn(filled(1.0, outer), outer), outer)
            delta *= factor
            u, v, w = u * factor * 0.25 + 0.5, v * factor * 0.25 + 0.5, w * factor * 0.25 + 0.5
            free = jump_at(jump, u, v, w, alive, GRID)
            # As `RayMarcher.leap` and `lattice_index`; one point less for what the logarithm rounds.
            reach = t + tl.maximum(free, 0.0) * leap * tl.maximum(norm / 4.0, 1.5)
            ahead = tl.floor(tl.log(1.0 + (reach - near) * (growth / step)) / growth - jitter) - 1.0
        else:
            t = start + (index + jitter) * step
            delta = filled(step, start)
            u = from_corner(x, speed_x, t, low, 0, side)
            v = from_corner(y, speed_y, t, low, 1, side)
            w = from_corner(z, speed_z, t, low, 2, side)
            free = jump_at(jump, u, v, w, alive, GRID)
            ahead = index + tl.floor(free * leap / step)
        is_hit = alive & (free < 0.0)
        if not IS_COUNT:
            tl.store(places + place, u, mask=is_hit)
            tl.store(places + total + place, v, mask=is_hit)
            tl.store(places + 2 * total + place, w, mask=is_hit)
            tl.store(depths + place, t, mask=is_hit)
            tl.store(deltas + place, delta, mask=is_hit)
            tl.store(ray_index + place, ray.to(tl.int64), mask=is_hit)
        place += is_hit.to(tl.int64)
        index = tl.where(is_hit, index + 1.0, tl.maximum(index + 1.0, ahead))
        index = tl.where(alive, index, last)
    if IS_COUNT:
        tl.store(offsets + ray, place, mask=inside)


@triton.jit
def along_axis(origins, directions, ray, mask, AXIS: tl.constexpr):
    """Where rays begin along an axis, and their speed there."""
    origin = tl.load(origins + ray * 3 + AXIS, mask=mask, other=0.0)
    return origin, tl.load(directions + ray * 3 + AXIS, mask=mask, other=1.0)


@triton.jit
def cross_slab(origin, speed, low, high, AXIS: tl.constexpr, start, end):
    """The depths between which rays are in the box along one axis more; none for what is not finite."""
    speed = tl.where(tl.abs(speed) < 1e-9, tl.where(speed < 0.0, -1e-9, 1e-9), speed)
    inverse = tl.div_rn(filled(1.0, speed), speed)  # as `slabs.finite_inverse`
    to_low, to_high = (tl.load(low + AXIS) - origin) * inverse, (tl.load(high + AXIS) - origin) * inverse
    is_finite = tl.abs(to_low) + tl.abs(to_high) < float("inf")
    end = tl.where(is_finite, tl.minimum(end, tl.maximum(to_low, to_high)), -1.0)
    return tl.maximum(start, tl.minimum(to_low, to_high)), end


@triton.jit
def from_corner(origin, speed, t, corner, AXIS: tl.constexpr, unit):
    """Coordinates at depth t along an axis, from a corner or the middle of the box."""
    place = origin + speed * t - tl.load(corner + AXIS)
    return tl.div_rn(place, filled(unit, place))


@triton.jit
def jump_at(jump, u, v, w, mask, GRID: tl.constexpr):
    """The jump field at places in the unit cube; those outside get a border cell."""
    cell = cell_of(u, GRID) + GRID * (cell_of(v, GRID) + GRID * cell_of(w, GRID))
    return tl.load(jump + cell, mask=mask, other=0.0)


@triton.jit
def cell_of(place, GRID: tl.constexpr):
    """The cell along an axis; that of what is no number is the first."""
    place = place * GRID
    return tl.where(place > 0.0, tl.minimum(place, GRID - 1.0), 0.0).to(tl.int32)
