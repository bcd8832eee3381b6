"""What readers of calibrated cameras share: the frame of a camera and an image, and the cameras' up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurocity.cameras import Camera
from neurocity.data.images import probe
from neurocity.data.scene import Frame
from neurocity.errors import DataError


def calibrated_frame(
    name: str, image_path: Path, camera: Camera, downscale: int, mask_path: Path | None = None
) -> Frame:
    """The frame of `camera`, which has the image size of its calibration.

    An image of another size, but of the same shape up to rounding, scales the intrinsics per axis.
    Raises DataError when the image is missing, corrupt or of another shape.
    """
    image = probe(image_path)
    if not _same_shape((camera.width, camera.height), (image.width, image.height)):
        turned = _same_shape((camera.height, camera.width), (image.width, image.height))
        raise DataError(
            f"{image_path} is {image.width}x{image.height} pixels, its camera was calibrated for "
            f"{camera.width}x{camera.height}; use the images that were calibrated, or smaller ones of the "
            f"same shape{'; these look turned (EXIF orientation), turn them back' if turned else ''}"
        )
    return Frame(
        name=name,
        image_path=image_path,
        camera=camera.resized(image.width, image.height).downscaled(downscale),
        has_alpha=image.has_alpha,
        downscale=downscale,
        mask_path=mask_path,
    )


def _same_shape(calibrated: tuple[int, int], actual: tuple[int, int]) -> bool:
    """Whether one factor, with sides rounded by less than a pixel, makes `actual` of `calibrated`."""
    low = max((a - 1) / c for a, c in zip(actual, calibrated, strict=True))
    high = min((a + 1) / c for a, c in zip(actual, calibrated, strict=True))
    return actual == calibrated or low < high


def mean_up(frames: Sequence[Frame], label: Path) -> tuple[float, float, float]:
    """The mean up axis; where up axes cancel because cameras look down, the mean of where they look from.

    Raises DataError, which starts with `label`, where these cancel too.
    """
    axes = np.stack([frame.camera.camera_to_world[:3, :3] for frame in frames]).mean(0)
    up = axes[:, 1] if np.linalg.norm(axes[:, 1]) >= 0.1 else axes[:, 2]
    if np.linalg.norm(up) < 1e-6:
        raise DataError(f"{label}: up cannot be estimated, the cameras' axes cancel each other")
    return (float(up[0]), float(up[1]), float(up[2]))
