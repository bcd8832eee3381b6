"""All pixels of some frames as flat arrays, from which any batch of training rays is a few gathers."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurocity.data.scene import Frame
from neurocity.errors import CameraError, DataError

_WORKERS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelTable:
    """V views with P pixels in all, whatever their sizes; directions are shared by views of equal cameras.

    rgba: uint8 [P, 4], straight alpha; view v has the row-major pixels starts[v] to starts[v + 1].
    starts: int64 [V + 1].
    trainable: bool [P], False where a mask excludes the pixel; None when no view has a mask.
    rotations: float32 [V, 3, 3], camera to world. origins: float32 [V, 3], camera centres in world units.
    directions: float32 [D, 3], unit directions in OpenGL camera axes; view v's begin at direction_starts[v].
    radii: float32 [D], cone radii at unit distance that go with `directions`.
    direction_starts: int64 [V].
    """

    rgba: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    trainable: npt.NDArray[np.bool_] | None
    rotations: npt.NDArray[np.float32]
    origins: npt.NDArray[np.float32]
    directions: npt.NDArray[np.float32]
    radii: npt.NDArray[np.float32]
    direction_starts: npt.NDArray[np.int64]

    @classmethod
    def load(cls, frames: Sequence[Frame], *, on_frame: Callable[[], None] | None = None) -> "PixelTable":
        """Decode all images with a pool of threads; `on_frame` is called once per decoded frame.

        Raises DataError, naming file and frame, on an image that is missing, corrupt or of another size, and
        on a lens that has no ray for some pixel.
        """
        if not frames:
            raise DataError("no frames to load, expected at least one")
        sizes = [frame.camera.width * frame.camera.height for frame in frames]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        rgba = np.empty((starts[-1], 4), dtype=np.uint8)
        masked = any(frame.mask_path is not None for frame in frames)
        trainable = np.ones(starts[-1], dtype=np.bool_) if masked else None

        def load_view(view: int) -> None:
            pixels = slice(starts[view], starts[view + 1])
            rgba[pixels] = frames[view].load_image().reshape(-1, 4)
            mask = frames[view].load_mask()
            if trainable is not None and mask is not None:
                trainable[pixels] = mask.reshape(-1)

        with ThreadPoolExecutor(_WORKERS) as pool:
            for _ in pool.map(load_view, range(len(frames))):
                if on_frame is not None:
                    on_frame()
        directions, radii, direction_starts = _shared_directions(frames)
        poses = np.stack([frame.camera.camera_to_world for frame in frames]).astype(np.float32)
        return cls(
            rgba=rgba,
            starts=starts,
            trainable=trainable,
            rotations=np.ascontiguousarray(poses[:, :3, :3]),
            origins=np.ascontiguousarray(poses[:, :3, 3]),
            directions=directions,
            radii=radii,
            direction_starts=direction_starts,
        )


def _shared_directions(
    frames: Sequence[Frame],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    blocks: list[npt.NDArray[np.float32]] = []
    radii: list[npt.NDArray[np.float32]] = []
    begin_of: dict[tuple[object, ...], int] = {}
    begins, total = [], 0
    for frame in frames:
        camera = frame.camera
        key = (camera.width, camera.height, camera.fl_x, camera.fl_y, camera.cx, camera.cy, camera.lens)
        if key not in begin_of:
            try:
                blocks.append(camera.camera_directions().astype(np.float32))
                radii.append(camera.ray_radii())
            except CameraError as error:
                raise DataError(f"{frame.image_path}: frame {frame.name!r}: {error}") from error
            begin_of[key] = total
            total += len(blocks[-1])
        begins.append(begin_of[key])
    return np.concatenate(blocks), np.concatenate(radii), np.array(begins, dtype=np.int64)
