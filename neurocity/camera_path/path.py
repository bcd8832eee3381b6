"""What is read of a camera path, and what a caller asks of it."""

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from neurocity.camera_path.fields import naming
from neurocity.camera_path.quaternions import matrices
from neurocity.cameras import Camera
from neurocity.errors import CameraError, DataError

Array = npt.NDArray[np.float64]

FRAMES_PER_SECOND = 30.0
"""Where neither file nor caller says."""
FASTEST = 1000.0
"""Frames per second."""
LONGEST = 86400.0
"""Seconds of a film, and so of a stretch of it."""
MAX_FRAMES = 100_000
"""Frames of a path, unless the caller says otherwise: an hour at 24 frames per second is 86,400."""

_ROUNDING = 1e-6
"""Frames that a product of seconds and frames per second may lack."""


@dataclass(frozen=True)
class CameraPath:
    """A film's cameras, one a frame and in its order, in world coordinates and all of one size."""

    cameras: tuple[Camera, ...]
    frames_per_second: float


@dataclass(frozen=True, kw_only=True)
class InstantNGPSpace:
    """How instant-ngp placed a capture in its unit cube, `position * scale + offset`: `scale` and `offset` of
    its transforms.json, or what stands for them there."""

    scale: float = 0.33
    offset: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        """Raises DataError on numbers that place nothing."""
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise DataError(f"scale of instant-ngp: got {self.scale!r}, expected a positive number")
        if not all(map(math.isfinite, self.offset)):
            raise DataError(f"offset of instant-ngp: got {self.offset!r}, expected three finite numbers")


class Wanted(TypedDict, total=False):
    """What `Request` is made of, as arguments."""

    width: int | None
    height: int | None
    frames_per_second: float | None
    seconds: float | None
    up: tuple[float, float, float]
    max_frames: int
    instant_ngp: InstantNGPSpace | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a caller asks of a path; what is None is the file's.

    width, height: pixels. frames_per_second, seconds: of a path through keyframes, how many frames there are;
    frames that a file lists are shown one by one, and either says how fast. up: of cameras that look at
    something, unless the file says it. max_frames: a longer path is an error. instant_ngp: of
    base_cam.json, None for the usual space; an error for other files.
    """

    width: int | None = None
    height: int | None = None
    frames_per_second: float | None = None
    seconds: float | None = None
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    max_frames: int = MAX_FRAMES
    instant_ngp: InstantNGPSpace | None = None

    def __post_init__(self) -> None:
        """Raises DataError on sizes, rates and durations that no film has."""
        for name in ("width", "height"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise DataError(f"{name}: got {size!r}, expected a whole number of pixels of at least 1")
        for name, most in (("frames_per_second", FASTEST), ("seconds", LONGEST)):
            value = getattr(self, name)
            if value is not None:
                check_positive(name, value, most)

    def size(self, stated: tuple[int, int] | None) -> tuple[int, int]:
        """Width and height of a film of which the file states these; one alone is in their proportion.

        Raises DataError when neither states a size.
        """
        width, height = self.width, self.height
        if width is not None and height is not None:
            return width, height
        if stated is None:
            raise DataError("the file states no size: give width and height")
        if width is not None:
            return width, max(round(width * stated[1] / stated[0]), 1)
        if height is not None:
            return max(round(height * stated[0] / stated[1]), 1), height
        return stated

    def rate(self, stated: float | None) -> float:
        """Frames per second of a film of which the file states these."""
        return self.frames_per_second or stated or FRAMES_PER_SECOND

    def rate_of_frames(self, count: int, stated: float | None) -> float:
        """The same where the file lists its frames, so that their number is known.

        Raises DataError when more than `FASTEST` would be shown, and when rate and duration are asked for.
        """
        if self.seconds is None:
            return self.rate(stated)
        if self.frames_per_second is not None:
            raise DataError("seconds: the file lists its frames; give frames_per_second or seconds, not both")
        check_positive(f"{count} frames in {self.seconds:g} seconds", count / self.seconds, FASTEST)
        return count / self.seconds

    def check_frames(self, count: int) -> int:
        """`count` itself. Raises DataError on none, and on more than `max_frames`."""
        if count < 1:
            raise DataError("the path has no frame: it is shorter than a frame takes")
        if count > self.max_frames:
            raise DataError(f"the path has {count} frames, expected at most {self.max_frames}")
        return count

    def frames_in(self, seconds: float, rate: float) -> int:
        """The whole frames of that many seconds. Raises DataError as `check_frames`."""
        return self.check_frames(math.floor(seconds * rate + _ROUNDING))


def check_positive(name: str, value: float, most: float) -> None:
    """Raises DataError unless 0 < value <= most."""
    if not 0.0 < value <= most:
        raise DataError(f"{name}: got {value!r}, expected a number greater than 0 and at most {most:g}")


def checked_pose(matrix: Array, place: str) -> Array:
    """A 4x4 pose without rounding. Raises CameraError, which names the place, on one that is none."""
    with naming(place):
        return Camera.from_fov_y(matrix, 1, 1, fov_y_degrees=90.0).camera_to_world


def pinhole_cameras(
    positions: Array, rotations: Array, fovs_y_degrees: Array, size: tuple[int, int]
) -> tuple[Camera, ...]:
    """Cameras of N frames.

    positions [N, 3]. rotations [N, 4]: quaternions of cameras with OpenGL axes. fovs_y_degrees [N].
    Raises CameraError, which names the frame, on what is no camera.
    """
    poses = np.zeros((len(positions), 4, 4))
    poses[:, :3, :3] = matrices(rotations)
    poses[:, :3, 3] = positions
    poses[:, 3, 3] = 1.0
    cameras = []
    for frame, (pose, fov) in enumerate(zip(poses, fovs_y_degrees.tolist(), strict=True)):
        try:
            cameras.append(Camera.from_fov_y(pose, *size, fov))
        except CameraError as error:
            raise CameraError(f"frame {frame} of the path: {error}", error.field) from None
    return tuple(cameras)
