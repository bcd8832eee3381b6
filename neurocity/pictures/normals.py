"""Normals of the surface that a depth describes.

Notation
    d(i, j)    unit direction of the ray of pixel (i, j).
    t(i, j)    its depth, the distance along the ray.
    P = t d    the point that is seen, from the camera's centre.

    n = (D_i P) x (D_j P) / |...|

D_i and D_j are differences over rows and columns: of both neighbours, so central; or of the nearer neighbour
alone where the steps to the two differ in length by more than `LIKE_STEPS` (one of them leads over an edge),
or where the other one has no depth. Normals look towards the camera: with t, t', t'' > 0 the determinant of
three neighbouring points has the sign of that of their directions.

Planes come out exactly. Otherwise the error grows with the angle that a surface turns by from pixel to pixel.
Where a picture mixes surfaces, at soft silhouettes, the depth is a mean that no surface has, and so is the
normal. A depth in float32 allows errors of about 1e-7 t / |D P| radians.
"""

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.light import Float32, Light
from neurocity.pictures.depth import has_depth

LIKE_STEPS = 2.0
"""Steps to both neighbours count if neither is longer than the other by this factor."""

_BLOCK = 2**16
"""Pixels that are worked on at once, which bounds the memory that it takes."""

_Array = npt.NDArray[np.float64]


def normals_from_depth(light: Light, camera: Camera, axes: str, part: slice = slice(None)) -> Float32:
    """Unit normals [H, W, 3] that look towards the camera, in the world's axes, or the camera's OpenGL axes.

    Zero where there is no depth, nor one in a neighbouring row and column. camera: of the light [H, W].
    part: the rows that are wanted.
    """
    height, width = light.depth.shape
    begin, end, _ = part.indices(height)
    normals = np.empty((end - begin, width, 3), np.float32)
    rows = max(_BLOCK // width, 1)
    for first in range(begin, end, rows):
        last = min(first + rows, end)
        top, bottom = max(first - 1, 0), min(last + 1, height)
        directions = camera.cropped(0, top, width, bottom - top).rays().directions
        points = directions.T.astype(np.float64).reshape(3, bottom - top, width) * light.depth[top:bottom]
        seen = has_depth(Light(*(array[top:bottom] for array in light)))
        found = _normals(points, seen)[:, first - top : last - top]
        if axes == "camera":
            found = np.tensordot(camera.camera_to_world[:3, :3].T, found, 1)
        normals[first - begin : last - begin] = np.moveaxis(found, 0, -1)
    return normals


def _normals(points: _Array, seen: npt.NDArray[np.bool_]) -> _Array:
    """Unit normals [3, H, W] of points [3, H, W] in the same axes, or zero."""
    right = _steps(points, seen)
    down = _steps(points.swapaxes(1, 2), seen.T).swapaxes(1, 2)
    normals = np.cross(down, right, axis=0)
    lengths = np.sqrt(np.square(normals).sum(0))
    return normals / np.where(lengths > 0.0, lengths, 1.0)


def _steps(points: _Array, seen: npt.NDArray[np.bool_]) -> _Array:
    """The change [3, H, W] of the points along the last axis, over one step or two; zero where unknown."""
    steps = np.diff(points)
    known = seen[:, 1:] & seen[:, :-1]
    lengths = np.square(steps).sum(0)
    lengths[~known] = np.inf
    longest = LIKE_STEPS**2 * lengths
    forward, backward = known.copy(), known
    forward[:, 1:] &= lengths[:, 1:] <= longest[:, :-1]
    backward[:, :-1] &= lengths[:, :-1] <= longest[:, 1:]
    total = np.zeros_like(points)
    total[..., :-1] += steps * forward
    total[..., 1:] += steps * backward
    return total
