"""What readers of calibrated cameras share: the frame of a camera and an image, and the cameras' up."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from neurocity.cameras import Camera
from neurocity.data.images import find_image, probe
from neurocity.data.reading import Reading
from neurocity.data.scene import Frame, naming
from neurocity.errors import DataError

_SHOWN = 3


def calibrated_frame(name: str, image_path: Path, camera: Camera, downscale: int) -> Frame:
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
    )


def calibrated_frames(
    reading: Reading, source: Path, folders: Sequence[Path], cameras: Mapping[str, Camera]
) -> list[Frame]:
    """The frames of `cameras`, by the names of their images as `source` has them.

    An image is looked for in each of `folders`, with and without the folders and the extension of its name.
    Raises DataError, which counts and names them, when images are missing, and as `calibrated_frame` does.
    """
    found = {name: path for name in cameras if (path := _find(folders, name))}
    if missing := [name for name in cameras if name not in found]:
        named = ", ".join(map(repr, missing[:_SHOWN])) + ", ..." * (len(missing) > _SHOWN)
        places = " and ".join(map(str, folders))
        raise DataError(
            f"{source}: {len(missing)} of {len(cameras)} images are missing ({named}), looked for in {places}"
        )
    frames = []
    for name, path in found.items():
        with naming(f"{source}: image {name!r}"):
            frames.append(calibrated_frame(name, path, cameras[name], reading.downscale))
    return frames


def _find(folders: Sequence[Path], name: str) -> Path | None:
    spelt = name.replace("\\", "/")
    for folder in folders:
        for candidate in (spelt, PurePosixPath(spelt).name):
            try:
                return find_image(folder / candidate)
            except DataError:
                continue
    return None


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
