"""Image files as arrays: uint8 RGBA with straight alpha, and boolean masks, downscaled on request."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from neurocity.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""What is tried, in this order and in both cases, for an image that is named without extension."""

_CORRUPT = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class ImageInfo:
    """What an image file's header says."""

    width: int
    height: int
    has_alpha: bool


def find_image(path: Path) -> Path:
    """`path` itself, or with one of `EXTENSIONS` added. Raises DataError when there is no such file."""
    if path.is_file():
        return path
    tried = [path.with_name(path.name + suffix) for suffix in (*EXTENSIONS, *map(str.upper, EXTENSIONS))]
    if found := next((candidate for candidate in tried if candidate.is_file()), None):
        return found
    raise DataError(f"{path}: image is missing (also tried with {', '.join(EXTENSIONS)})")


def probe(path: Path) -> ImageInfo:
    """Size and alpha from the header, without decoding pixels. Raises DataError when missing or no image."""
    with _opened(path) as image:
        return ImageInfo(image.width, image.height, image.has_transparency_data)


def read_rgba(path: Path, downscale: int = 1) -> npt.NDArray[np.uint8]:
    """Pixels as stored (EXIF orientation is not applied, as in COLMAP), uint8 [H, W, 4], straight alpha.

    Downscaling averages blocks of downscale x downscale pixels, colours weighted by alpha; rows and columns
    at the lower and right edge that fill no block are left out. Gray, palette, CMYK and 16-bit images become
    8-bit RGB. Raises DataError on missing, corrupt or truncated files and on images of 32 bits a channel.
    """
    with _opened(path) as stored:
        transparent = stored.has_transparency_data
        image = _eight_bits(stored, path).convert("RGBA" if transparent else "RGB")
    if downscale > 1 and transparent:
        return _average_rgba(np.asarray(image), downscale)
    if downscale > 1:
        width, height = (size // downscale * downscale for size in image.size)
        image = image.crop((0, 0, width, height)).reduce(downscale)
    return np.array(image.convert("RGBA"))


def read_mask(path: Path, downscale: int = 1) -> npt.NDArray[np.bool_]:
    """True where the mask image is not zero, bool [H, W]. A downscaled pixel is True if all its block is.

    Raises DataError as `read_rgba` does.
    """
    with _opened(path) as image:
        image.load()
        mask = np.asarray(image if image.mode.startswith("I") else image.convert("L")) != 0
    return _blocks(mask, downscale).all((1, 3))


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Pillow narrows 16-bit colour by itself, but leaves 16-bit gray as it is and would clip it at 255."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(image) / 257.0).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(f"{path}: image has 32 bits a channel, expected 8 or 16")
    return image


def _blocks(pixels: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """[H, W, ...] as [H / factor, factor, W / factor, factor, ...], without what fills no block."""
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: height * factor, : width * factor]
    return whole.reshape(height, factor, width, factor, *pixels.shape[2:])


def _average_rgba(rgba: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    """Block averages of premultiplied colours, in float so that faint pixels keep their colour."""
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    premultiplied = _blocks(rgba[..., :3] * alpha, factor).mean((1, 3))
    coverage = _blocks(alpha, factor).mean((1, 3))
    colors = np.divide(premultiplied, coverage, out=np.zeros_like(premultiplied), where=coverage > 0)
    return np.rint(np.concatenate([colors, 255.0 * coverage], -1)).clip(0, 255).astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An open image; whatever Pillow raises inside becomes a DataError that names the file."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise DataError(f"{path}: image is missing") from None
    except _CORRUPT as error:
        raise DataError(f"{path}: image cannot be read, it is corrupt or truncated ({error})") from error
