"""Compiled CPU kernels of training: one pass from rays to light, and back to gradients of voxels and points.

Forward, a thread descends the octree for a share of the rays and shades each interval on the way; a ray ends
where too little light is left. Backward walks the recorded intervals from the last to the first, then adds up
colour gradients with each thread owning a share of the voxels, so that equal inputs give equal sums, whatever
the timing. The arithmetic is that of `traversal`, `shading` and `losses`.

numba's cache knows this file's text alone. When `traversal_kernels` or `shading_kernels` change, change this
number, or processes go on with what they compiled before: 3.
"""

import numba
import numpy as np

from neurocity.svraster.shading import END_LIGHT
from neurocity.svraster.shading_kernels import explin, fill_basis, interpolate
from neurocity.svraster.traversal_kernels import STACK, enter, next_voxel

NEAR, FAR, LEFT, RED, PRIORITY, CENTER, QUARTER, RAW = 0, 1, 2, 3, 6, 7, 10, 11
"""Columns of a recorded interval: depths, transmittance behind it, colour (3), priority, its voxel's centre
(3) and a quarter of its side in the unit cube, raw densities.

Going back, weights take the place of LEFT, and gradients that of colours.
"""

_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def _clamp(value):  # type: ignore[no-untyped-def]
    return min(max(value, np.float32(0.0)), np.float32(1.0))


@_compiled
def _contracted(x):  # type: ignore[no-untyped-def]
    return x if x < np.float32(1.0) else np.float32(2.0) - np.float32(1.0) / x


@_compiled
def trace_rays(rays, tree, fields, constants, count, terms, out, begin, end):  # type: ignore[no-untyped-def]
    """Render rays [begin, end) into `out`; returns what `voxel_gradients` and `accumulate_sh` go back by.

    rays: origins, speeds (directions in the unit cube), inverses [3, R], photograph [R, 3]. tree: children
    [nodes, 8], voxel_points [N, 8]. fields: density [M], sh0 [N, 3], shs [N, B, 3]. constants: near,
    density_scale, distance_unit. count: basis functions in use. terms: samples a voxel, whether to compute
    distortion. out: rgb [R, 3], opacity, concentration, distortion [R].
    Returns voxels [K], records [K, columns] and the offsets [end - begin + 1] of rays in them.
    """
    origins, speeds, inverses, photograph = rays
    children, voxel_points = tree
    density, sh0, shs = fields
    nearest, density_scale, unit = constants
    samples, distorting = terms
    rgb, opacity, concentration, distortion = out
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    least, constant = np.float32(END_LIGHT), np.float32(0.28209479177387814)
    room = 16 * (end - begin) + 64  # about what a ray of a trained scene meets; it doubles when it is full
    voxels = np.empty(room, np.int32)
    records = np.empty((room, RAW + samples), np.float32)
    offsets = np.empty(end - begin + 1, np.int64)
    nodes, pieces = np.empty(STACK, np.int64), np.empty((STACK, 6), np.float32)
    basis = np.empty(15, np.float32)
    n = 0
    for r in range(begin, end):
        offsets[r - begin] = n
        ox, oy, oz = origins[0, r], origins[1, r], origins[2, r]
        sx, sy, sz = speeds[0, r], speeds[1, r], speeds[2, r]
        ray = (ox, oy, oz, inverses[0, r], inverses[1, r], inverses[2, r])
        top = enter(ray, nearest, nodes, pieces)
        depth = np.float64(0.0)
        left = one
        red = green = blue = spread = apart = zero
        weight_in_front = moment_in_front = zero
        while top > 0:
            voxel, a, b, top = next_voxel(children, ray, nodes, pieces, top)
            if voxel < 0:
                break
            if n == room:
                room *= 2
                more_voxels, more_records = (
                    np.empty(room, np.int32),
                    np.empty((room, RAW + samples), np.float32),
                )
                more_voxels[:n] = voxels
                more_records[:n] = records
                voxels, records = more_voxels, more_records
            # What is left on the stack where the voxel was: its centre, and a quarter of its side.
            cx, cy, cz, quarter = pieces[top, 2], pieces[top, 3], pieces[top, 4], pieces[top, 5]
            low, scale = quarter + quarter, np.float32(0.25) / quarter
            lx, ly, lz = (ox - (cx - low)) * scale, (oy - (cy - low)) * scale, (oz - (cz - low)) * scale
            width = (b - a) / np.float32(samples)
            total = zero
            for sample in range(samples):
                t = a + (np.float32(sample) + half) * width
                x, y, z = lx + sx * scale * t, ly + sy * scale * t, lz + sz * scale * t
                raw = interpolate(density, voxel_points[voxel], x, y, z)
                records[n, RAW + sample] = raw
                total += explin(raw)
            depth += total * width * density_scale
            behind = np.float32(np.exp(-depth))
            weight = (max(left - least, zero) - max(behind - least, zero)) / (one - least)
            left = behind
            voxels[n] = voxel
            records[n, NEAR], records[n, FAR], records[n, LEFT] = a, b, left
            records[n, CENTER], records[n, CENTER + 1], records[n, CENTER + 2] = cx, cy, cz
            records[n, QUARTER] = quarter
            fill_basis(cx - ox, cy - oy, cz - oz, count, basis)
            c0, c1, c2 = (
                half + constant * sh0[voxel, 0],
                half + constant * sh0[voxel, 1],
                half + constant * sh0[voxel, 2],
            )
            for k in range(count):
                c0 += basis[k] * shs[voxel, k, 0]
                c1 += basis[k] * shs[voxel, k, 1]
                c2 += basis[k] * shs[voxel, k, 2]
            c0, c1, c2 = _clamp(c0), _clamp(c1), _clamp(c2)
            records[n, RED], records[n, RED + 1], records[n, RED + 2] = c0, c1, c2
            n += 1
            red, green, blue = red + weight * c0, green + weight * c1, blue + weight * c2
            f0, f1, f2 = c0 - photograph[r, 0], c1 - photograph[r, 1], c2 - photograph[r, 2]
            spread += weight * (f0 * f0 + f1 * f1 + f2 * f2)
            if distorting:
                first, last = _contracted(a / unit), _contracted(b / unit)
                middle = half * (first + last)
                apart += np.float32(2.0) * weight * (middle * weight_in_front - moment_in_front)
                apart += weight * weight * (last - first) / np.float32(3.0)
                weight_in_front += weight
                moment_in_front += weight * middle
            if left <= least:
                break
        rgb[r, 0], rgb[r, 1], rgb[r, 2] = red, green, blue
        opacity[r] = one - max(left - least, zero) / (one - least)
        concentration[r], distortion[r] = spread, apart
    offsets[end - begin] = n
    return voxels[:n], records[:n], offsets


@_compiled
def voxel_gradients(rays, tree, constants, terms, grads, tape, out, begin, end):  # type: ignore[no-untyped-def]
    """Go back along rays [begin, end): gradients of intervals into the tape, of densities into `out` [M].

    rays, tree, constants, terms as in `trace_rays`. grads: of rgb [R, 3], opacity, concentration and
    distortion [R].
    tape: what `trace_rays` returned.
    """
    origins, speeds, _, photograph = rays
    _, voxel_points = tree
    _, density_scale, unit = constants
    samples, distorting = terms
    grad_rgb, grad_opacity, grad_concentration, grad_distortion = grads
    voxels, records, offsets = tape
    zero, half, one, two = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
    least = np.float32(END_LIGHT)
    for r in range(begin, end):
        g0, g1, g2, go = grad_rgb[r, 0], grad_rgb[r, 1], grad_rgb[r, 2], grad_opacity[r]
        gc, gd = grad_concentration[r], grad_distortion[r]
        first, stop = offsets[r - begin], offsets[r - begin + 1]
        weight_in_front = moment_in_front = zero
        if distorting:
            left = one
            for n in range(first, stop):
                weight = (max(left - least, zero) - max(records[n, LEFT] - least, zero)) / (one - least)
                left = records[n, LEFT]
                middle = half * (_contracted(records[n, NEAR] / unit) + _contracted(records[n, FAR] / unit))
                weight_in_front += weight
                moment_in_front += weight * middle
        weight_behind = moment_behind = zero
        grad_behind = value_behind = zero
        for n in range(stop - 1, first - 1, -1):
            voxel = voxels[n]
            before = records[n - 1, LEFT] if n > first else one
            behind = records[n, LEFT]
            visible, remaining = (
                max(before - least, zero) / (one - least),
                max(behind - least, zero) / (one - least),
            )
            weight = visible - remaining
            c0, c1, c2 = records[n, RED], records[n, RED + 1], records[n, RED + 2]
            a, b = records[n, NEAR], records[n, FAR]
            cotangent = g0 * c0 + g1 * c1 + g2 * c2 + go
            if distorting:
                begin_s, end_s = _contracted(a / unit), _contracted(b / unit)
                middle = half * (begin_s + end_s)
                weight_in_front -= weight
                moment_in_front -= weight * middle
                pull = middle * (weight_in_front - weight_behind) + moment_behind - moment_in_front
                cotangent += gd * (two * pull + two / np.float32(3.0) * weight * (end_s - begin_s))
                weight_behind += weight
                moment_behind += weight * middle
            # A ray's weights are differences of its visible light; light that is cut off has no gradient.
            passing_before = before / (one - least) if before > least else zero
            passing_behind = behind / (one - least) if behind > least else zero
            grad_depth = cotangent * passing_behind - grad_behind
            grad_behind += cotangent * (passing_before - passing_behind)
            ratio = value_behind / remaining if remaining > np.float32(1e-6) else zero
            value_behind += cotangent * weight
            records[n, LEFT] = weight
            records[n, PRIORITY] = abs(weight * (cotangent - ratio))
            pulled = two * gc * weight
            records[n, RED] = g0 * weight + pulled * (c0 - photograph[r, 0])
            records[n, RED + 1] = g1 * weight + pulled * (c1 - photograph[r, 1])
            records[n, RED + 2] = g2 * weight + pulled * (c2 - photograph[r, 2])
            width = (b - a) / np.float32(samples)
            quarter = records[n, QUARTER]
            low, scale = quarter + quarter, np.float32(0.25) / quarter
            lx = (origins[0, r] - (records[n, CENTER] - low)) * scale
            ly = (origins[1, r] - (records[n, CENTER + 1] - low)) * scale
            lz = (origins[2, r] - (records[n, CENTER + 2] - low)) * scale
            for sample in range(samples):
                t = a + (np.float32(sample) + half) * width
                x = _clamp(lx + speeds[0, r] * scale * t)
                y = _clamp(ly + speeds[1, r] * scale * t)
                z = _clamp(lz + speeds[2, r] * scale * t)
                raw = records[n, RAW + sample]
                limit = np.float32(1.1)
                slope = one if raw > limit else explin(raw) / limit
                grad = grad_depth * slope * width * density_scale
                high, low = grad * x, grad * (one - x)
                low_low, low_high, high_low, high_high = low * (one - y), low * y, high * (one - y), high * y
                out[voxel_points[voxel, 0]] += low_low * (one - z)
                out[voxel_points[voxel, 1]] += low_low * z
                out[voxel_points[voxel, 2]] += low_high * (one - z)
                out[voxel_points[voxel, 3]] += low_high * z
                out[voxel_points[voxel, 4]] += high_low * (one - z)
                out[voxel_points[voxel, 5]] += high_low * z
                out[voxel_points[voxel, 6]] += high_high * (one - z)
                out[voxel_points[voxel, 7]] += high_high * z


@_compiled
def accumulate_sh(rays, count, tape, ray_begin, statistics, out, owner, owners):  # type: ignore[no-untyped-def]
    """Add up gradients of colours, and statistics, for the voxels that `owner` of `owners` has.

    rays: origins [3, R] in the unit cube, widths of pixels at distance 1 [R]. tape: as `voxel_gradients` left
    it, its rays from `ray_begin` on. statistics: priority, weight, footprint [N]. out: gradients of sh0, shs.
    """
    origins, widths = rays
    voxels, records, offsets = tape
    priority, largest, footprint = statistics
    grad_sh0, grad_shs = out
    basis = np.empty(15, np.float32)
    half, constant = np.float32(0.5), np.float32(0.28209479177387814)
    for index in range(len(offsets) - 1):
        r = ray_begin + index
        for n in range(offsets[index], offsets[index + 1]):
            voxel = voxels[n]
            # Blocks of neighbouring voxels alternate between owners: even shares, few shared cache lines.
            if (voxel >> 6) % owners != owner:
                continue
            g0, g1, g2 = records[n, RED], records[n, RED + 1], records[n, RED + 2]
            grad_sh0[voxel, 0] += constant * g0
            grad_sh0[voxel, 1] += constant * g1
            grad_sh0[voxel, 2] += constant * g2
            if count:
                fill_basis(
                    records[n, CENTER] - origins[0, r],
                    records[n, CENTER + 1] - origins[1, r],
                    records[n, CENTER + 2] - origins[2, r],
                    count,
                    basis,
                )
                for k in range(count):
                    grad_shs[voxel, k, 0] += basis[k] * g0
                    grad_shs[voxel, k, 1] += basis[k] * g1
                    grad_shs[voxel, k, 2] += basis[k] * g2
            priority[voxel] += records[n, PRIORITY]
            largest[voxel] = max(largest[voxel], records[n, LEFT])
            footprint[voxel] = min(footprint[voxel], half * (records[n, NEAR] + records[n, FAR]) * widths[r])
