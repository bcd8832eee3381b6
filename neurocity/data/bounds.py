"""Scene bounds: checked when given, otherwise estimated from the dataset, its sparse points or its cameras.

The rules are written for users in docs/conventions.md.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.scene import Bounds, Capture, naming
from neurocity.errors import DataError
from neurocity.pose_files.documents import TransformsDocument

Array = npt.NDArray[np.float64]

_SYNTHETIC_HALF = 1.5
"""Half the box of the NeRF-synthetic scenes, as nerfstudio and instant-ngp use it."""


def checked_bounds(bounds: Sequence[float] | Array) -> Bounds:
    """Six finite numbers with x0 < x1, y0 < y1, z0 < z1. Raises DataError otherwise."""
    box = np.array(bounds, dtype=np.float64)
    if box.shape != (6,) or not np.isfinite(box).all() or not (box[:3] < box[3:]).all():
        raise DataError(
            f"bounds are {box.tolist()}, expected x0 y0 z0 x1 y1 z1 with x0 < x1, y0 < y1 and z0 < z1"
        )
    x0, y0, z0, x1, y1, z1 = box.tolist()
    return (x0, y0, z0, x1, y1, z1)


def declared_boxes(document: TransformsDocument) -> tuple[Bounds | None, Bounds | None]:
    """instant-ngp's scene box and the unit cube inside it, in the file's coordinates; None when not declared.

    The unit cube is `aabb`, or else what `scale` and `offset` (0.33 and 0.5 by default) map to [0, 1]^3;
    `aabb_scale` is the side of the scene box in unit cubes.
    """
    aabb = document.numbers("aabb", (2, 3))
    factor = _positive(document, "aabb_scale")
    if aabb is None and factor is None:
        return None, None
    if aabb is not None:
        center, half = aabb.mean(0), 0.5 * (aabb[1] - aabb[0])
    else:
        scale = _positive(document, "scale") or 0.33
        offset = document.numbers("offset", (3,) if isinstance(document.data.get("offset"), list) else ())
        center = np.broadcast_to((0.5 - (0.5 if offset is None else offset)) / scale, 3)
        half = np.full(3, 0.5 / scale)
    boxes = [np.concatenate([center - half * size, center + half * size]) for size in (factor or 1.0, 1.0)]
    with naming(str(document.path)):
        outer, inner = map(checked_bounds, boxes)
    return outer, inner


def _positive(document: TransformsDocument, key: str) -> float | None:
    value = document.numbers(key, ())
    if value is not None and not 0 < value < np.inf:
        raise DataError(f"{document.path}: `{key}` is {value}, expected a positive number")
    return None if value is None else float(value)


def estimate_bounds(capture: Capture, unbounded: bool, root: Path) -> Bounds:
    """The dataset's declared box, or else NeRF-synthetic's, one around its points, or one from its cameras.

    Raises DataError when none of these gives a box with a volume.
    """
    if unbounded and capture.inner_bounds is not None:
        return capture.inner_bounds
    if capture.bounds is not None:
        return capture.bounds
    cameras = [frame.camera for frames in capture.splits.values() for frame in frames]
    if capture.synthetic:
        low, high = _of_synthetic(capture, cameras, root)
    elif capture.points is not None and len(capture.points) >= 8:
        low, high = _around_points(capture.points, cameras, unbounded)
    else:
        low, high = _from_cameras(cameras, unbounded, root)
    return checked_bounds([*low, *high])


def _of_synthetic(capture: Capture, cameras: list[Camera], root: Path) -> tuple[Array, Array]:
    """The box around zero; of a scene that was moved away, one as large at least around what is looked at."""
    middle, half = np.zeros(3), _SYNTHETIC_HALF
    if any(capture.origin):
        low, high = _from_cameras(cameras, False, root)
        middle, half = 0.5 * (low + high), max(half, 0.5 * float(high[0] - low[0]))
    return middle - half, middle + half


def _around_points(points: Array, cameras: list[Camera], unbounded: bool) -> tuple[Array, Array]:
    """Bounded: 1st to 99th percentile per axis, widened by 5 %. Unbounded: 10th to 90th, and all cameras."""
    tail = 10.0 if unbounded else 1.0
    low, high = np.percentile(points, [tail, 100.0 - tail], axis=0)
    if unbounded:
        positions = np.stack([camera.position for camera in cameras])
        low, high = np.minimum(low, positions.min(0)), np.maximum(high, positions.max(0))
    margin = 0.05 * (high - low).max()
    return low - margin, high + margin


def _from_cameras(cameras: list[Camera], unbounded: bool, root: Path) -> tuple[Array, Array]:
    """Unbounded: a cube around all cameras. Bounded: a cube around what all look at, as wide as they see."""
    positions = np.stack([camera.position for camera in cameras])
    if unbounded:
        low, high = positions.min(0), positions.max(0)
        half = 0.55 * (high - low).max()
        if half > 0:
            return 0.5 * (low + high) - half, 0.5 * (low + high) + half
        raise DataError(f"{root}: bounds cannot be estimated, all cameras stand at one place; give bounds")
    views = np.stack([-camera.camera_to_world[:3, 2] for camera in cameras])
    focus = _nearest_point_to_lines(positions, views)
    if focus is None or (((focus - positions) * views).sum(-1) <= 0).any():
        raise DataError(
            f"{root}: bounds cannot be estimated, the cameras look at no common point; give bounds"
        )
    half = np.median(
        [
            np.linalg.norm(focus - camera.position)
            * max(0.5 * camera.width / camera.fl_x, 0.5 * camera.height / camera.fl_y)
            for camera in cameras
        ]
    )
    return focus - half, focus + half


def _nearest_point_to_lines(origins: Array, directions: Array) -> Array | None:
    """Least-squares point of lines [N, 3], [N, 3]; None when they are (nearly) parallel."""
    projectors = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    matrix = projectors.sum(0)
    if np.linalg.cond(matrix) > 1e6:
        return None
    return np.asarray(np.linalg.solve(matrix, (projectors @ origins[:, :, None]).sum(0)[:, 0]))
