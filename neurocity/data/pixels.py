"""All pixels of some frames as flat arrays, from which any batch of training rays is a few gathers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from neurocity.data.scene import Frame, naming
from neurocity.errors import DataError

_WORKERS = 8


def load_pixels(
    frames: Sequence[Frame],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_] | None]:
    """Decode all images, P pixels of V frames, with a pool of threads.

    Returns rgba, uint8 [P, 4] with straight alpha; starts, int64 [V + 1], where frame v has the row-major
    pixels starts[v] to starts[v + 1]; and what is trainable, bool [P], False where a mask excludes the pixel,
    or None when no frame has a mask.
    Raises DataError, naming file and frame, on an image that is missing, corrupt or of another size, and when
    masks leave nothing to train on.
    """
    if not frames:
        raise DataError("no frames to load, expected at least one")
    sizes = [frame.camera.width * frame.camera.height for frame in frames]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rgba = np.empty((starts[-1], 4), dtype=np.uint8)
    masked = any(frame.mask_paths for frame in frames)
    trainable = np.ones(starts[-1], dtype=np.bool_) if masked else None

    def load_view(view: int) -> None:
        pixels = slice(starts[view], starts[view + 1])
        rgba[pixels] = frames[view].load_image().reshape(-1, 4)
        mask = frames[view].load_mask()
        if trainable is not None and mask is not None:
            trainable[pixels] = mask.reshape(-1)

    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(load_view, range(len(frames))))  # raises what a view raised
    if trainable is not None and not trainable.any():
        raise DataError(
            f"{frames[0].mask_paths[0]}: the masks of all frames exclude every pixel; black is what is not "
            "trained on, so they may be inverted"
        )
    return rgba, starts, trainable


def shared_directions(
    frames: Sequence[Frame],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Unit directions, float32 [D, 3], in OpenGL camera axes, which frames of equal cameras share.

    Besides, the radii [D] of their cones at unit distance, and int64 [V] where those of each frame begin.
    Raises DataError, naming file and frame, on a lens that has no ray for some pixel.
    """
    blocks: list[npt.NDArray[np.float32]] = []
    radii: list[npt.NDArray[np.float32]] = []
    begin_of: dict[tuple[object, ...], int] = {}
    begins, total = [], 0
    for frame in frames:
        camera = frame.camera
        key = (*camera.intrinsics.values(), camera.lens)
        if key not in begin_of:
            with naming(f"{frame.image_path}: frame {frame.name!r}"):
                blocks.append(camera.camera_directions().astype(np.float32))
                radii.append(camera.ray_radii())
            begin_of[key] = total
            total += len(blocks[-1])
        begins.append(begin_of[key])
    return np.concatenate(blocks), np.concatenate(radii), np.array(begins, dtype=np.int64)
