"""Depth as counts of 16 bit, and as colours."""

import numpy as np
import numpy.typing as npt

from neurocity.contract import DEPTH_EPSILON
from neurocity.light import Bytes, Float32, Light
from neurocity.pictures.colormaps import colormap

Counts = npt.NDArray[np.uint16]

DEPTH_COUNTS = 65_535
DEPTH_KIND = "distance"
"""Depth is the distance along the ray, see `neurocity.contract`."""
OUTLIERS = 0.01
"""Share of the nearest and of the farthest pixels that the range of colours leaves out."""
NOTHING = (24, 27, 33)
"""Colour of pixels without depth: none of a colormap's, and the viewer's background."""


def has_depth(light: Light) -> npt.NDArray[np.bool_]:
    """Where there is something that a depth can be of."""
    return light.opacity > DEPTH_EPSILON


def depth_scale(depth: Float32, seen: npt.NDArray[np.bool_]) -> float:
    """Scene units of one 16-bit count: the largest depth / 65535, so that a picture uses the whole range."""
    farthest = float(depth.max(where=seen, initial=0.0))
    return farthest / DEPTH_COUNTS if farthest > 0 else 1.0


def quantise_depth(depth: Float32, seen: npt.NDArray[np.bool_], scale: float) -> Counts:
    """Depth as 16-bit counts of so many scene units; count 0 means that nothing is there.

    The error is half a count.
    """
    counts = np.clip(np.floor(depth.astype(np.float64) / scale + 0.5), 1, DEPTH_COUNTS)
    return np.where(seen, counts, 0).astype(np.uint16)


def depth_range(depth: Float32, seen: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The nearest and the farthest depth but for `OUTLIERS` on both sides; 0 and 0 where nothing is."""
    depths = depth[seen]
    if not len(depths):
        return 0.0, 0.0
    first = int(OUTLIERS * (len(depths) - 1))
    last = len(depths) - 1 - first
    ordered = np.partition(depths, (first, last))
    return float(ordered[first]), float(ordered[last])


def colour_depth(depth: Float32, seen: npt.NDArray[np.bool_], name: str, near: float, far: float) -> Bytes:
    """Depth [H, W] as colours [H, W, 3] from the last colour of a colormap at `near` to its first at `far`.

    Depths beyond these have the colours of the ends.
    """
    colours = colormap(name)
    span = max(far - near, 1e-6 * far) or 1.0
    place = np.clip((depth - np.float32(near)) * np.float32(255.0 / span), 0.0, 255.0)
    index = 255 - (place + np.float32(0.5)).astype(np.uint8)
    return np.where(seen[..., None], colours[index], np.array(NOTHING, np.uint8))
