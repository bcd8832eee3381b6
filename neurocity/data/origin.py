"""The origin of a scene: what is taken off world coordinates, so that float32 holds what is left.

float32 has 24 bits. At a northing of 5,400,000 m its steps are half a metre; rays, models and kernels are in
float32. So a capture that stands far from zero, compared with its size, is moved next to zero.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.scene import Capture
from neurocity.errors import DataError
from neurocity.world import Origin, box_to_scene, camera_to_scene

FAR = 100.0
"""An axis is moved where the cameras are further from zero than so many of their spreads, and units.

There a step of float32 is a hundred-thousandth of the spread, a hundredth of a pixel in most cameras.
"""


def choose_origin(cameras: Sequence[Camera]) -> Origin:
    """Zero for usual captures, and the middle of the cameras, rounded, for those far from zero.

    The middle is the median of the positions, and their spread is the median distance from it, so that a few
    wrong poses count for nothing. Each axis is judged alone. The rounding is to the power of ten that is not
    smaller than the spread, and to whole units at least, so that people recognise the number.
    """
    positions = np.stack([camera.position for camera in cameras])
    middle = np.median(positions, axis=0)
    spread = max(float(np.median(np.linalg.norm(positions - middle, axis=1))), 1.0)
    unit = 10.0 ** math.ceil(math.log10(spread))
    x, y, z = (round(value / unit) * unit if abs(value) > FAR * spread else 0.0 for value in middle.tolist())
    return (x, y, z)


def checked_origin(origin: Sequence[float] | npt.NDArray[np.float64]) -> Origin:
    """Three finite numbers. Raises DataError otherwise."""
    values = np.array(origin, dtype=np.float64)
    if values.shape != (3,) or not np.isfinite(values).all():
        raise DataError(f"origin is {values.tolist()}, expected three finite numbers")
    x, y, z = values.tolist()
    return (x, y, z)


def relative_to(capture: Capture, origin: Origin) -> Capture:
    """A capture in world coordinates as one in scene coordinates; itself where the origin is zero."""
    if not any(origin):
        return capture
    moved = {
        frame: replace(frame, camera=camera_to_scene(frame.camera, origin))
        for frames in capture.splits.values()
        for frame in frames
    }  # once each, since "val" and "test" may be the same frames
    splits = {split: tuple(map(moved.__getitem__, frames)) for split, frames in capture.splits.items()}
    return replace(
        capture,
        splits=splits,
        bounds=None if capture.bounds is None else box_to_scene(capture.bounds, origin),
        inner_bounds=None if capture.inner_bounds is None else box_to_scene(capture.inner_bounds, origin),
        points=None if capture.points is None else capture.points - origin,
        origin=origin,
    )
