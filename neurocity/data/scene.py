"""A scene as the rest of NeuroCity sees it: posed frames in splits, bounds, up, sparse points."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.images import read_rgba
from neurocity.data.masks import fit_mask, read_mask
from neurocity.errors import CameraError, DataError

Bounds = tuple[float, float, float, float, float, float]
"""Axis-aligned box (x0, y0, z0, x1, y1, z1) in world units."""

Splits = Mapping[str, tuple["Frame", ...]]

HOLD_OUT_EVERY = 8
"""As in mip-NeRF 360 and LLFF: of the frames sorted by name, the first and every eighth after it."""


@contextmanager
def naming(label: str) -> Iterator[None]:
    """What is raised inside of data and cameras becomes a DataError that starts with `label`."""
    try:
        yield
    except (CameraError, DataError) as error:
        raise DataError(f"{label}: {error}") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One posed image; `camera` already has the size that `load_image` returns.

    name: the image's name in the dataset, unique in it.
    has_alpha: whether the image file has an alpha channel.
    downscale: the whole number by which the file's size is divided when it is loaded.
    mask_path: image whose zeros mark pixels that are not to be trained on (people, the own car); unlike
        alpha, which says that nothing is there.
    dynamic_mask_path: image whose non-zero pixels are not to be trained on (instant-ngp's `dynamic_mask_*`).
    """

    name: str
    image_path: Path
    camera: Camera
    has_alpha: bool
    downscale: int = 1
    mask_path: Path | None = None
    dynamic_mask_path: Path | None = None

    @property
    def mask_paths(self) -> tuple[Path, ...]:
        """The files of its masks."""
        return tuple(path for path in (self.mask_path, self.dynamic_mask_path) if path is not None)

    def load_image(self) -> npt.NDArray[np.uint8]:
        """The pixels, uint8 [height, width, 4], RGBA with straight alpha (255 where the file has none).

        Raises DataError, naming file and frame, when the image is missing, corrupt or of another size.
        """
        with naming(f"frame {self.name!r}"):
            pixels = read_rgba(self.image_path, self.downscale)
        height, width = pixels.shape[:2]
        if (height, width) != (self.camera.height, self.camera.width):
            raise DataError(self._of_another_size(self.image_path, width, height))
        return pixels

    def load_mask(self) -> npt.NDArray[np.bool_] | None:
        """True where a pixel may be trained on, bool [height, width]; None when the frame has no mask.

        Raises DataError as `load_image` does, but for masks that are larger or smaller than the image and of
        its shape.
        """
        trainable: npt.NDArray[np.bool_] | None = None
        for path in self.mask_paths:
            with naming(f"frame {self.name!r}"):
                stored = read_mask(path)
            if path is self.dynamic_mask_path:
                stored = ~stored
            mask = fit_mask(stored, self.camera.width, self.camera.height, self.downscale)
            if mask is None:
                raise DataError(self._of_another_size(path, stored.shape[1], stored.shape[0]))
            trainable = mask if trainable is None else trainable & mask
        return trainable

    def _of_another_size(self, path: Path, width: int, height: int) -> str:
        return (
            f"{path}: frame {self.name!r}: is {width}x{height} pixels (downscale {self.downscale}), "
            f"its camera has {self.camera.width}x{self.camera.height}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Capture:
    """What a reader finds in a dataset; `load_scene` makes a `Scene` of it.

    bounds: the box that the dataset declares; inner_bounds: the part of it that instant-ngp calls the unit
        cube, where the dataset says more lies around it.
    up: the dataset's declared or conventional up.
    synthetic: an object rendered in empty space (NeRF-synthetic), so that nothing lies outside of the bounds.
    """

    splits: Splits
    up: tuple[float, float, float]
    bounds: Bounds | None = None
    inner_bounds: Bounds | None = None
    points: npt.NDArray[np.float64] | None = None
    synthetic: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A dataset that is read and checked; images are loaded when a frame is asked for them.

    splits: frames by split name; "train" is always there, "val" and "test" where the dataset has them.
    bounds: box of the content, or of its near part when the scene is unbounded.
    up: unit vector that points to the sky.
    points: sparse points [N, 3] in world units, or None.
    unbounded: whether the images show more than what lies in `bounds`.
    remarks: what was ignored, guessed or left out while reading, in sentences for the user.
    """

    root: Path
    splits: Splits
    bounds: Bounds
    up: tuple[float, float, float]
    points: npt.NDArray[np.float64] | None
    unbounded: bool
    remarks: tuple[str, ...] = ()

    @property
    def held_out(self) -> tuple[Frame, ...]:
        """The frames to judge a model by: the test split, or else the val split, or else none."""
        return self.splits.get("test") or self.splits.get("val") or ()

    def fingerprint(self) -> str:
        """SHA-256 (hex) over names, poses, intrinsics and the bytes of images and masks of all splits.

        Raises DataError when a file cannot be read.
        """
        return fingerprint(self.splits)


def hold_out(frames: Iterable[Frame]) -> Splits:
    """ "train" and, equal to each other, "val" and "test"; a single frame is trained on."""
    ordered = sorted(frames, key=lambda frame: frame.name)
    if len(ordered) == 1:
        return {"train": tuple(ordered)}
    held = tuple(ordered[::HOLD_OUT_EVERY])
    train = tuple(frame for i, frame in enumerate(ordered) if i % HOLD_OUT_EVERY)
    return {"train": train, "val": held, "test": held}


def fingerprint(splits: Splits) -> str:
    """SHA-256 (hex) of frames by split; see `Scene.fingerprint`."""
    digest = hashlib.sha256()
    for split in sorted(splits):
        for frame in splits[split]:
            camera = frame.camera
            intrinsics = tuple(camera.intrinsics.values())
            digest.update(repr((split, frame.name, frame.downscale, intrinsics, camera.lens)).encode())
            digest.update(camera.camera_to_world.tobytes())
            for path in (frame.image_path, *frame.mask_paths):
                digest.update(_file_digest(path, frame.name))
    return digest.hexdigest()


def _file_digest(path: Path, frame: str) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path}: frame {frame!r}: cannot be read ({error.strerror})") from None
