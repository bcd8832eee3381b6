"""SVRaster's walk: the light of sparse voxels along rays, a thread a ray.

A ray is followed from the front. From the root, it goes down to the leaf that begins at its depth, and notes
the nearest plane ahead that it passes on the way: there the leaf ends, and the next one begins. So nothing
has to be remembered of the way, and a ray that has lost its light ends. Depths of planes are those of
`svraster.traversal`, which depend on ray and plane alone: pieces of rays begin and end at the same numbers.
The arithmetic is that of `svraster.shading`. What is not a number shows in the rays that meet it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurocity.cuda_kernels.block import any_of, block, filled
from neurocity.cuda_kernels.harmonics import color_of


@torch.library.triton_op("neurocity_cuda::sum_voxels", mutates_args=())
def sum_voxels(
    rays: list[Tensor], octree: list[Tensor], voxels: list[Tensor], numbers: list[float], samples: int
) -> Tensor:
    """Sums [5, R] along rays of light, weight times depth, and weight, as of `SVRaster.render_in_rounds`.

    rays: origins and directions [R, 3]. octree: children [nodes, 8] int32 and root_low [3]. voxels: points
    [N, 8] int32, density [M], sh0 [N, 3] and shs [N, B, 3], the last two of float32 or float16. numbers:
    `root_side, near, density_scale, brightest, least_light, faintest`. samples: of an interval.
    """
    origins, directions = rays
    count = origins.shape[0]
    summed = empty_sums(rays)
    size = block()
    torch.library.wrap_triton(walk)[(triton.cdiv(count, size),)](
        origins.contiguous(),
        directions.contiguous(),
        *octree,
        *voxels,
        summed,
        count,
        *numbers,
        BASIS=voxels[3].shape[1],
        SAMPLES=samples,
        BLOCK=size,
        num_warps=1,
    )
    return summed


@sum_voxels.register_fake
def empty_sums(rays: list[Tensor], *_: object) -> Tensor:
    """What `sum_voxels` gives, not yet written."""
    return rays[0].new_empty(5, rays[0].shape[0])


@triton.jit
def walk(
    origins,
    directions,
    children,
    root_low,
    points,
    density,
    sh0,
    shs,
    summed,
    count,
    root_side,
    near,
    density_scale,
    brightest,
    least_light,
    faintest,
    BASIS: tl.constexpr,
    SAMPLES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Follows BLOCK rays; arguments as of `sum_voxels`."""
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    alive = ray < count
    eye_x, speed_x, inverse_x = along_axis(origins, directions, root_low, root_side, ray, alive, 0)
    eye_y, speed_y, inverse_y = along_axis(origins, directions, root_low, root_side, ray, alive, 1)
    eye_z, speed_z, inverse_z = along_axis(origins, directions, root_low, root_side, ray, alive, 2)
    t = filled(near, eye_x)  # how far the rays have come
    end = tl.full([BLOCK], float("inf"), tl.float32)
    alive, t, end = cross_slab(eye_x, inverse_x, alive, t, end)
    alive, t, end = cross_slab(eye_y, inverse_y, alive, t, end)
    alive, t, end = cross_slab(eye_z, inverse_z, alive, t, end)
    alive = alive & (t < end)
    red = tl.full([BLOCK], 0.0, tl.float32)
    green = tl.full([BLOCK], 0.0, tl.float32)
    blue = tl.full([BLOCK], 0.0, tl.float32)
    distance = tl.full([BLOCK], 0.0, tl.float32)
    opacity = tl.full([BLOCK], 0.0, tl.float32)
    passed = tl.full([BLOCK], 0.0, tl.float32)  # optical depth in front of t
    while any_of(alive):
        # Down from the root to what begins at t. Its middle is (x, y, z), and it ends at `far`.
        node = tl.full([BLOCK], 0, tl.int32)
        half = tl.full([BLOCK], 0.5, tl.float32)  # of its side
        x = tl.full([BLOCK], 0.5, tl.float32)
        y = tl.full([BLOCK], 0.5, tl.float32)
        z = tl.full([BLOCK], 0.5, tl.float32)
        far = end
        is_node = alive
        while any_of(is_node):
            is_high_x, far = meet_plane(x, eye_x, inverse_x, is_node, t, far)
            is_high_y, far = meet_plane(y, eye_y, inverse_y, is_node, t, far)
            is_high_z, far = meet_plane(z, eye_z, inverse_z, is_node, t, far)
            octant = is_high_x.to(tl.int32) * 4 + is_high_y.to(tl.int32) * 2 + is_high_z.to(tl.int32)
            child = tl.load(children + node * 8 + octant, mask=is_node, other=0)
            node = tl.where(is_node, child, node)
            half = tl.where(is_node, half * 0.5, half)
            x = tl.where(is_node, x + tl.where(is_high_x, half, -half), x)
            y = tl.where(is_node, y + tl.where(is_high_y, half, -half), y)
            z = tl.where(is_node, z + tl.where(is_high_z, half, -half), z)
            is_node = is_node & (node >= 0)

        is_voxel = alive & (node <= -2)  # as `octree.FIRST_VOXEL`
        if any_of(is_voxel):
            voxel = tl.where(is_voxel, -2 - node, 0).to(tl.int64)
            depth = optical_depth(
                points + voxel * 8,
                density,
                is_voxel,
                (eye_x - (x - half)) * (0.5 / half),
                (eye_y - (y - half)) * (0.5 / half),
                (eye_z - (z - half)) * (0.5 / half),
                speed_x * (0.5 / half),
                speed_y * (0.5 / half),
                speed_z * (0.5 / half),
                t,
                far,
                SAMPLES,
            )
            tau = tl.where(is_voxel, depth * density_scale, 0.0)
            # Comparisons are such that what is not a number stays.
            left = tl.exp(-passed)
            absorbed = left * one_minus_exponential(tau)
            weight = tl.where(absorbed > left - least_light, left - least_light, absorbed)
            weight = tl.where(weight < 0.0, 0.0, weight) / (1.0 - least_light)
            passed += tau
            distance += tl.where(is_voxel, weight * ((t + far) * 0.5), 0.0)
            opacity += tl.where(is_voxel, weight, 0.0)
            is_seen = is_voxel & ((weight > faintest) | (weight != weight))
            if any_of(is_seen):
                r, g, b = color_of(sh0, shs, voxel, is_seen, x - eye_x, y - eye_y, z - eye_z, BASIS)
                red += tl.where(is_seen, weight * within(r, brightest), 0.0)
                green += tl.where(is_seen, weight * within(g, brightest), 0.0)
                blue += tl.where(is_seen, weight * within(b, brightest), 0.0)
        t = tl.where(alive, far, t)
        alive = alive & (t < end) & (tl.exp(-passed) > least_light)
    inside = ray < count
    tl.store(summed + ray, red, mask=inside)
    tl.store(summed + count + ray, green, mask=inside)
    tl.store(summed + 2 * count + ray, blue, mask=inside)
    tl.store(summed + 3 * count + ray, distance, mask=inside)
    tl.store(summed + 4 * count + ray, opacity, mask=inside)


@triton.jit
def along_axis(origins, directions, root_low, root_side, ray, mask, AXIS: tl.constexpr):
    """Of rays along an axis: where they begin in the unit cube, and their speed there, and its inverse."""
    origin = tl.load(origins + ray * 3 + AXIS, mask=mask, other=0.0)
    direction = tl.load(directions + ray * 3 + AXIS, mask=mask, other=0.0)
    side = filled(root_side, origin)
    eye = tl.div_rn(origin - tl.load(root_low + AXIS), side)
    speed = tl.div_rn(direction, side)
    is_small = tl.abs(speed) * 1e30 < 1.0  # as `traversal.inverse_directions`
    return eye, speed, tl.where(is_small, 1e30, tl.div_rn(filled(1.0, speed), tl.where(is_small, 1.0, speed)))


@triton.jit
def cross_slab(eye, inverse, alive, t, end):
    """Which rays are still alive, and the depths between which they are in the cube along one axis more."""
    low, high = -eye * inverse, (1.0 - eye) * inverse
    alive = alive & (low == low) & (high == high)
    return alive, tl.maximum(t, tl.minimum(low, high)), tl.minimum(end, tl.maximum(low, high))


@triton.jit
def meet_plane(middle, eye, inverse, mask, t, far):
    """On which side of a node's plane rays are from t on, and where what they are in ends at the latest."""
    plane = (middle - eye) * inverse
    is_beyond = plane <= t
    return is_beyond == (inverse > 0.0), tl.where(mask & ~is_beyond, tl.minimum(far, plane), far)


@triton.jit
def optical_depth(
    points, density, mask, x, y, z, speed_x, speed_y, speed_z, begin, end, SAMPLES: tl.constexpr
):
    """As `shading.optical_depth`; places and speeds are in units of the voxel, points of its corners."""
    c000 = tl.load(density + tl.load(points, mask=mask, other=0), mask=mask, other=0.0)
    c001 = tl.load(density + tl.load(points + 1, mask=mask, other=0), mask=mask, other=0.0)
    c010 = tl.load(density + tl.load(points + 2, mask=mask, other=0), mask=mask, other=0.0)
    c011 = tl.load(density + tl.load(points + 3, mask=mask, other=0), mask=mask, other=0.0)
    c100 = tl.load(density + tl.load(points + 4, mask=mask, other=0), mask=mask, other=0.0)
    c101 = tl.load(density + tl.load(points + 5, mask=mask, other=0), mask=mask, other=0.0)
    c110 = tl.load(density + tl.load(points + 6, mask=mask, other=0), mask=mask, other=0.0)
    c111 = tl.load(density + tl.load(points + 7, mask=mask, other=0), mask=mask, other=0.0)
    width = (end - begin) / SAMPLES
    total = filled(0.0, width)
    for sample in tl.static_range(SAMPLES):
        t = begin + (sample + 0.5) * width
        place_x = tl.clamp(x + speed_x * t, 0.0, 1.0)
        place_y = tl.clamp(y + speed_y * t, 0.0, 1.0)
        place_z = tl.clamp(z + speed_z * t, 0.0, 1.0)
        low = lerp(lerp(c000, c100, place_x), lerp(c010, c110, place_x), place_y)
        high = lerp(lerp(c001, c101, place_x), lerp(c011, c111, place_x), place_y)
        raw = lerp(low, high, place_z)
        power = tl.exp(tl.minimum(raw, 1.1) / 1.1 - 0.904689820196)
        total += tl.where(raw <= 1.1, power, raw)  # as `shading.explin`
    return total * width


@triton.jit
def lerp(low, high, place):
    """Between low, at 0, and high, at 1."""
    return low + place * (high - low)


@triton.jit
def one_minus_exponential(tau):
    """1 - exp(-tau) of numbers from 0 on, to float32's precision; near 0 by its series."""
    series = 1.0 - tau / 5.0 * (1.0 - tau / 6.0 * (1.0 - tau / 7.0))
    series = tau * (1.0 - tau / 2.0 * (1.0 - tau / 3.0 * (1.0 - tau / 4.0 * series)))
    return tl.where(tau < 0.25, series, 1.0 - tl.exp(-tau))


@triton.jit
def within(color, brightest):
    """Numbers clamped to [0, brightest]; what is none stays."""
    color = tl.where(color > brightest, brightest, color)
    return tl.where(color < 0.0, 0.0, color)
