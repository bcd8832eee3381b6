"""`load_scene`: the one way in, whatever the layout of the dataset."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurocity.data import blender, colmap, llff, matrixcity, metashape, opensfm, transforms
from neurocity.data.bounds import checked_bounds, estimate_bounds
from neurocity.data.reading import Reading
from neurocity.data.scene import Capture, Scene
from neurocity.errors import DataError

_READERS = (matrixcity, blender, transforms, colmap, llff, opensfm, metashape)
"""Layouts in the order in which they are looked for."""


def load_scene(
    path: str | Path,
    *,
    downscale: int = 1,
    bounds: Sequence[float] | None = None,
    unbounded: bool | None = None,
) -> Scene:
    """Read the dataset in folder `path`, in one of the layouts of `_READERS`.

    Images are not decoded, but for the first where an alpha channel leaves open whether the scene is bounded.

    downscale: whole number by which image sizes are divided.
    bounds: (x0, y0, z0, x1, y1, z1) in world units, instead of the dataset's own or an estimate.
    unbounded: whether the images show more than the bounds hold, instead of the rule in docs/conventions.md.
    Raises DataError, naming file and frame, on anything missing, corrupt or inconsistent.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder, expected the folder of a dataset")
    if downscale < 1:
        raise DataError(f"downscale is {downscale}, expected a whole number of at least 1")
    reader = next((reader for reader in _READERS if reader.detect(root)), None)
    if reader is None:
        looked_for = "; ".join(reader.LOOKS_FOR for reader in _READERS)
        raise DataError(f"{root}: no dataset found; looked for {looked_for}")
    reading = Reading(root=root, downscale=downscale)
    capture = reader.read(reading)
    if unbounded is None:
        unbounded = not (capture.synthetic or _has_transparency(capture))
    length = float(np.linalg.norm(capture.up))
    if not 0.0 < length < np.inf:
        raise DataError(f"{root}: up is {capture.up}, expected a direction")
    return Scene(
        root=root,
        splits=capture.splits,
        bounds=checked_bounds(bounds) if bounds is not None else estimate_bounds(capture, unbounded, root),
        up=(capture.up[0] / length, capture.up[1] / length, capture.up[2] / length),
        points=capture.points,
        unbounded=unbounded,
        remarks=tuple(reading.remarks),
    )


def _has_transparency(capture: Capture) -> bool:
    """An alpha channel alone says little: many programs write one that is opaque everywhere."""
    train = capture.splits["train"]
    return all(frame.has_alpha for frame in train) and bool((train[0].load_image()[..., 3] < 255).any())
