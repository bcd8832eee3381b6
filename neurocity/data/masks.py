"""Mask images: which pixels may be trained on, whatever kind of picture says it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from neurocity.data.images import blocks, opened
from neurocity.data.sizes import one_ratio

Mask = npt.NDArray[np.bool_]

_LOSSY = ("JPEG", "WEBP")


def read_mask(path: Path) -> Mask:
    """True where the mask image is not zero, bool [H, W].

    Gray, 1-bit, 16-bit, palette and colour pictures count by their colours: a pixel is zero when it is black.
    Where some pixels are transparent, these are zero, and colours count only where the others are black and
    one brighter value. Lossy files, in which black is not quite black, are cut at half of their maximum.
    Raises DataError as `read_rgba` does.
    """
    with opened(path) as image:
        image.load()
        lossy = image.format in _LOSSY
        if image.mode.startswith("I") or image.mode == "F":
            values = np.asarray(image)
        elif image.has_transparency_data:
            rgba = np.asarray(image.convert("RGBA"))
            values = _of_alpha_and_colors(rgba[..., 3], rgba[..., :3].max(-1))
        else:
            values = np.asarray(image.convert("RGB")).max(-1)
    threshold = values.max(initial=0) / 2 if lossy else 0
    return np.asarray(values > threshold)


def fit_mask(mask: Mask, width: int, height: int, downscale: int) -> Mask | None:
    """`mask` in the size of a camera whose images are divided by `downscale`, [height, width].

    A mask may be larger or smaller than the images. A pixel is True if all of the mask that it covers is.
    None when the mask has another shape than the camera.
    """
    rows, columns = mask.shape
    if (columns // downscale, rows // downscale) == (width, height):
        return np.asarray(blocks(mask, downscale).all((1, 3)))
    if not (one_ratio((width, height), (columns, rows)) or one_ratio((columns, rows), (width, height))):
        return None
    resized = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    return np.asarray(np.asarray(resized) > 1.0 - 1e-6)


def _of_alpha_and_colors(
    alpha: npt.NDArray[np.uint8], colors: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Values of a mask with an alpha channel: a stencil or a cut-out photograph says it by alpha alone."""
    shown = colors[alpha > 0]
    brightest = shown.max(initial=0)
    drawn = (shown == 0).any() and brightest > 0 and ((shown == 0) | (shown == brightest)).all()
    return np.minimum(alpha, colors) if drawn or (alpha == 255).all() else alpha
