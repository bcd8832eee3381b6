"""Compiled CPU kernel of the occupancy grid's distance field."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def chebyshev_distance(occupied, grid, longest):  # type: ignore[no-untyped-def]
    """`occupancy.dilation_distance`; two raster scans are exact in maximum norm (Rosenfeld, Pfaltz 1966)."""
    distance = np.full((grid + 2, grid + 2, grid + 2), longest, np.int32)
    for z in range(grid):
        for y in range(grid):
            for x in range(grid):
                if occupied[x + grid * (y + grid * z)]:
                    distance[z + 1, y + 1, x + 1] = 0
    for z in range(1, grid + 1):
        for y in range(1, grid + 1):
            for x in range(1, grid + 1):
                # The nine neighbours of the slice before, three of the row before, and one in the row.
                nearest = distance[z, y, x - 1]
                for dx in range(-1, 2):
                    nearest = min(nearest, distance[z, y - 1, x + dx])
                    for dy in range(-1, 2):
                        nearest = min(nearest, distance[z - 1, y + dy, x + dx])
                distance[z, y, x] = min(distance[z, y, x], nearest + 1)
    result = np.empty(grid**3, np.float32)
    for z in range(grid, 0, -1):
        for y in range(grid, 0, -1):
            for x in range(grid, 0, -1):
                nearest = distance[z, y, x + 1]
                for dx in range(-1, 2):
                    nearest = min(nearest, distance[z, y + 1, x + dx])
                    for dy in range(-1, 2):
                        nearest = min(nearest, distance[z + 1, y + dy, x + dx])
                distance[z, y, x] = min(distance[z, y, x], nearest + 1)
                result[(x - 1) + grid * ((y - 1) + grid * (z - 1))] = distance[z, y, x]
    return result
