"""Image files as arrays: uint8 RGBA with straight alpha, and boolean masks, downscaled on request."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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

    Downscaling averages areas, of colours weighted by alpha, to floor(size / downscale). Gray, palette, CMYK
    and 16-bit images are converted to 8-bit RGB. Raises DataError on missing, corrupt or truncated files and
    on floating-point images, which have no defined range.
    """
    with _opened(path) as stored:
        transparent = stored.has_transparency_data
        image = _eight_bits(stored, path).convert("RGBA" if transparent else "RGB")
    if downscale > 1:
        size = (image.width // downscale, image.height // downscale)
        image = _box_rgba(image, size) if transparent else image.resize(size, Image.Resampling.BOX)
    return np.array(image.convert("RGBA"))


def read_mask(path: Path, downscale: int = 1) -> npt.NDArray[np.bool_]:
    """True where the mask image is not zero, bool [H, W]. A downscaled pixel is True if all its area is.

    Raises DataError as `read_rgba` does.
    """
    with _opened(path) as image:
        image.load()
        mask = np.asarray(image if image.mode.startswith("I") else image.convert("L")) != 0
    if downscale == 1:
        return mask
    share = Image.fromarray(mask.astype(np.float32)).resize(
        (mask.shape[1] // downscale, mask.shape[0] // downscale), Image.Resampling.BOX
    )
    return np.asarray(share) > 1.0 - 1e-4


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Pillow narrows 16-bit colour by itself, but leaves 16-bit gray as it is and would clip it at 255."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(image) / 257.0).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(f"{path}: image has 32 bits a channel, expected 8 or 16")
    return image


def _box_rgba(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Area average of premultiplied colours, in float so that faint pixels keep their colour."""
    pixels = np.asarray(image, dtype=np.float32)
    alpha = pixels[..., 3:] / 255.0
    planes = np.concatenate([pixels[..., :3] * alpha, pixels[..., 3:]], -1)
    small = np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(planes[..., i])).resize(size, Image.Resampling.BOX)
            )
            for i in range(4)
        ],
        -1,
    )
    weight = small[..., 3:] / 255.0
    small[..., :3] = np.divide(small[..., :3], weight, out=np.zeros_like(small[..., :3]), where=weight > 0)
    return Image.fromarray(np.clip(np.rint(small), 0, 255).astype(np.uint8))


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
