"""Compiled CPU kernel of the traversal: one walk down the octree a ray, in the arithmetic of `descend`.

A kernel of its own follows a ray like this, and may stop whenever it likes:

    nodes, pieces = np.empty(STACK, np.int64), np.empty((STACK, 6), np.float32)   # once for many rays
    ray = (ox, oy, oz, ix, iy, iz)        # origin in the unit cube, inverse direction as `descend` takes it
    top = enter(ray, nearest, nodes, pieces)
    while top > 0:
        voxel, near, far, top = next_voxel(children, ray, nodes, pieces, top)
        if voxel < 0:
            break
        ...
"""

from typing import Final

import numba
import numpy as np

from neurocity.svraster.config import MAX_LEVELS
from neurocity.svraster.octree import EMPTY, FIRST_VOXEL

STACK: Final = 3 * MAX_LEVELS + 4
"""Room for the pieces of one ray: a node gives its place to at most four, and one of them is looked into."""


@numba.njit(nogil=True, error_model="numpy")
def enter(ray, nearest, nodes, pieces):  # type: ignore[no-untyped-def]
    """Put a ray's piece in the root on the empty stack; the stack's height, 0 if the ray misses or is NaN."""
    ox, oy, oz, ix, iy, iz = ray
    one, half = np.float32(1.0), np.float32(0.5)
    x0, y0, z0 = -ox * ix, -oy * iy, -oz * iz
    x1, y1, z1 = (one - ox) * ix, (one - oy) * iy, (one - oz) * iz
    # Infinite depths of one axis are those of a ray beside the cube; their difference is NaN as well.
    if np.isnan((x1 - x0) + (y1 - y0) + (z1 - z0)):
        return 0
    a = max(min(x0, x1), min(y0, y1), min(z0, z1), nearest)
    b = min(max(x0, x1), max(y0, y1), max(z0, z1))
    if not a < b:
        return 0
    nodes[0] = 0
    pieces[0, 0], pieces[0, 1] = a, b
    pieces[0, 2] = pieces[0, 3] = pieces[0, 4] = half
    pieces[0, 5] = np.float32(0.25)
    return 1


@numba.njit(nogil=True, error_model="numpy")
def next_voxel(children, ray, nodes, pieces, top):  # type: ignore[no-untyped-def]
    """The next voxel that the ray crosses: (voxel, near, far, height of the stack); voxel -1 at the end.

    children [nodes, 8]: the octree's table. nodes, pieces: the stack; a row of `pieces` holds the begin and
    end of a piece of the ray, the centre of the node that it is in, and a quarter of that node's side.
    """
    ox, oy, oz, ix, iy, iz = ray
    while top > 0:
        top -= 1
        node = nodes[top]
        a, b = pieces[top, 0], pieces[top, 1]
        if node < 0:
            return FIRST_VOXEL - node, a, b, top
        cx, cy, cz, quarter = pieces[top, 2], pieces[top, 3], pieces[top, 4], pieces[top, 5]
        x = min(max((cx - ox) * ix, a), b)
        y = min(max((cy - oy) * iy, a), b)
        z = min(max((cz - oz) * iz, a), b)
        less, more = min(x, y), max(x, y)
        first, last = min(less, z), max(more, z)
        middle = min(more, max(less, z))
        end = b
        # The last piece goes onto the stack first.
        for start in (last, middle, first, a):
            if start < end:
                right, back, up = (x <= start) == (ix > 0), (y <= start) == (iy > 0), (z <= start) == (iz > 0)
                child = children[node, 4 * right + 2 * back + up]
                if child != EMPTY:
                    nodes[top] = child
                    pieces[top, 0], pieces[top, 1] = start, end
                    pieces[top, 2] = cx + quarter if right else cx - quarter
                    pieces[top, 3] = cy + quarter if back else cy - quarter
                    pieces[top, 4] = cz + quarter if up else cz - quarter
                    pieces[top, 5] = quarter * np.float32(0.5)
                    top += 1
            end = start
    return -1, np.float32(0.0), np.float32(0.0), 0
