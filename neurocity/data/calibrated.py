"""What readers of calibrated cameras share: frames of cameras and images, masks, and the cameras' up."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neurocity.cameras import Camera
from neurocity.data.files import Found
from neurocity.data.images import probe
from neurocity.data.photographs import find_images, make_frame
from neurocity.data.reading import Reading
from neurocity.data.scene import Frame, naming
from neurocity.errors import DataError
from neurocity.pose_files.text import printable


def calibrated_frames(
    reading: Reading, source: Path, folders: Sequence[Path], cameras: Mapping[str, Camera]
) -> list[Frame]:
    """The frames of `cameras`, each of its calibration's size, by the names that `source` has for images.

    Images are looked for in `folders`, masks in `masks` in the reading's folder.
    Raises DataError as `find_images` and `make_frame` do.
    """
    frames = []
    for name, found in find_images(reading, list(cameras), folders, label=f"{source}: image").items():
        with naming(f"{source}: image {printable(name)!r}"):
            frames.append(
                make_frame(
                    reading,
                    found,
                    cameras[name],
                    probe(found.path),
                    stated_by="its camera was calibrated for",
                    mask_path=find_mask(found, (reading.root / "masks",), reading),
                )
            )
    masked = sum(frame.mask_path is not None for frame in frames)
    if 0 < masked < len(frames):
        reading.remark(f"{masked} of {len(frames)} images have a mask in masks/, the others are whole")
    return frames


def find_mask(image: Found, folders: Sequence[Path], reading: Reading) -> Path | None:
    """The mask of an image: `NAME.png` (COLMAP, OpenSfM) or `NAME_mask.png` (Metashape).

    COLMAP's and OpenSfM's have NAME's own extension before.
    """
    stem = Path(image.name).with_suffix("").as_posix()
    for name in (f"{image.name}.png", image.name, f"{stem}_mask.png"):
        found = reading.files.find(folders, name, downscale=reading.downscale)
        # An absolute name, or ../images/NAME, leads to the image itself.
        if found and found.path.resolve() != image.path.resolve():
            return found.path
    return None


def mean_up(frames: Sequence[Frame], label: Path) -> tuple[float, float, float]:
    """The mean up axis; where up axes cancel because cameras look down, the mean of where they look from.

    Raises DataError, which starts with `label`, where these cancel too.
    """
    axes = np.stack([frame.camera.camera_to_world[:3, :3] for frame in frames]).mean(0)
    up = axes[:, 1] if np.linalg.norm(axes[:, 1]) >= 0.1 else axes[:, 2]
    if np.linalg.norm(up) < 1e-6:
        raise DataError(f"{label}: up cannot be estimated, the cameras' axes cancel each other")
    return (float(up[0]), float(up[1]), float(up[2]))
