"""Reader of LLFF captures (Mildenhall et al., Local Light Field Fusion, 2019): `poses_bounds.npy` and images.

Row i belongs to the i-th image in the order of names: a 3x5 matrix, row by row, then the nearest and the
farthest depth that the image shows. Columns of the matrix are the camera's down, right and backward axis, its
centre, and image height, width and focal length in pixels. The principal point is the image's centre.
"""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.bounds import checked_bounds
from neurocity.data.calibrated import mean_up
from neurocity.data.files import Found
from neurocity.data.images import probe
from neurocity.data.photographs import make_frame
from neurocity.data.reading import Reading
from neurocity.data.scene import Bounds, Capture, Frame, naming
from neurocity.errors import DataError, ReducedImagesError
from neurocity.pose_files.text import printable

FILE = "poses_bounds.npy"
LOOKS_FOR = f"{FILE} (LLFF)"

Array = npt.NDArray[np.float64]

_FOCUS = 0.75
"""Where NeRF focuses forward-facing captures: 3/4 of the way from the nearest to the farthest disparity."""


def detect(root: Path) -> bool:
    """Whether `root` has a file of this layout."""
    return (root / FILE).is_file()


def read(reading: Reading) -> Capture:
    """Raises DataError, naming file and image, when a file is missing or not as expected.

    The near and far depths say where the content is. Up is the mean of the cameras' up axes.
    """
    path = reading.root / FILE
    rows = _rows(path)
    folder, reduction = _image_folder(reading)
    pictures = reading.files.pictures(folder)
    images = [file for file in pictures if not file.name.startswith((".", "dynamic_mask_"))]
    if len(images) != len(rows):
        raise DataError(
            f"{path}: has {len(rows)} poses, {folder} has {len(images)} images; they belong together by "
            "order, so there must be one image for each pose"
        )
    reading.remark(f"{FILE} knows one focal length and no lens: principal points are the images' centres")
    frames = []
    for row, image in zip(rows, images, strict=True):
        with naming(f"{path}: image {printable(image.name)!r}"):
            found = Found(image, image.name, reduction)
            frames.append(
                make_frame(reading, found, _camera(row), probe(image), stated_by="its pose was made for")
            )
    bounds, inner_bounds = _boxes(frames, rows[:, 15:])
    if bounds is None:
        reading.remark(f"{FILE} has depths that are no depths; bounds come from the cameras alone")
    return Capture(
        splits={"train": tuple(frames)}, up=mean_up(frames, path), bounds=bounds, inner_bounds=inner_bounds
    )


def _rows(path: Path) -> Array:
    """The rows [V, 17] as float64."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a NumPy file of numbers, or truncated ({error})") from None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu":
        raise DataError(f"{path}: expected one array of numbers")
    if rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        raise DataError(
            f"{path}: has shape {rows.shape}, expected (images, 17): 3x5 numbers of a pose, then near and far"
        )
    return rows.astype(np.float64)


def _image_folder(reading: Reading) -> tuple[Path, int]:
    """The folder to read images from, and how many times smaller than the calibration they are.

    That is `images`, or, where it is absent, the `images_N` of the largest N that divides downscale.
    """
    folder = reading.root / "images"
    if folder.is_dir():
        return folder, 1
    names = [re.fullmatch(r"images_([1-9]\d*)", name) for name in reading.files.folders(reading.root)]
    numbers = sorted(int(match[1]) for match in names if match)
    if not numbers:
        raise DataError(f"{folder}: folder of images is missing")
    fitting = [number for number in numbers if reading.downscale % number == 0]
    if not fitting:
        raise ReducedImagesError(
            f"{folder}: folder of images is missing; with "
            f"{' or '.join(f'--downscale {number}' for number in numbers)} they are read from "
            f"{' or '.join(f'images_{number}' for number in numbers)}; got --downscale {reading.downscale}",
            downscale=numbers[0],
        )
    return reading.root / f"images_{fitting[-1]}", fitting[-1]


def _camera(row: Array) -> Camera:
    matrix = row[:15].reshape(3, 5)
    down, right, back, position, (height, width, focal) = matrix.T
    pose = np.eye(4)
    pose[:3] = np.stack([right, -down, back, position], 1)
    return Camera(
        camera_to_world=pose,
        width=width,
        height=height,
        fl_x=focal,
        fl_y=focal,
        cx=0.5 * width,
        cy=0.5 * height,
    )


def _boxes(frames: list[Frame], depths: Array) -> tuple[Bounds | None, Bounds | None]:
    """The box around all that images show between near and far, and the part of it up to NeRF's focus.

    The latter holds the cameras too. Both are None when a depth is not positive, or far is not beyond near.
    """
    near, far = depths.T
    if not (np.isfinite(depths).all() and (near > 0).all() and (far > near).all()):
        return None, None
    focus = 1.0 / ((1.0 - _FOCUS) / near + _FOCUS / far)
    shown = np.concatenate([_corners(frame, pair) for frame, pair in zip(frames, depths, strict=True)])
    pairs = zip(frames, np.stack([np.zeros_like(near), focus], 1), strict=True)
    nearby = np.concatenate([_corners(frame, pair) for frame, pair in pairs])
    return _box(shown), _box(nearby)


def _corners(frame: Frame, depths: Array) -> Array:
    """World points [2 * 4, 3] in the image's corners at two z-depths."""
    camera = frame.camera
    plane = np.array(
        [
            ((x - camera.cx) / camera.fl_x, (camera.cy - y) / camera.fl_y, -1.0)
            for x in (0, camera.width)
            for y in (0, camera.height)
        ]
    )
    points = (depths[:, None, None] * plane).reshape(-1, 3)
    return np.asarray(points @ camera.camera_to_world[:3, :3].T + camera.position)


def _box(points: Array) -> Bounds:
    return checked_bounds([*points.min(0), *points.max(0)])
