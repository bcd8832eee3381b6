"""Image files as arrays, uint8 RGBA with straight alpha, downscaled on request; errors say what is wrong."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from neurocity.data.names import NOT_READ
from neurocity.errors import DataError

_CORRUPT = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


_MAGIC = (
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypcrx", "CR3 (raw)"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
)
"""Place, first bytes and name of formats that are not read, whatever the file is called."""


@dataclass(frozen=True)
class ImageInfo:
    """What an image file's header says."""

    width: int
    height: int
    has_alpha: bool


def probe(path: Path) -> ImageInfo:
    """Size and alpha from the header, without decoding pixels. Raises DataError when missing or no image."""
    with opened(path) as image:
        return ImageInfo(image.width, image.height, image.has_transparency_data)


def exif_orientation(path: Path) -> int:
    """EXIF orientation 1 to 8; 1 where the file states none. From 5 on, width and height change places."""
    with opened(path) as image:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def read_rgba(path: Path, downscale: int = 1) -> npt.NDArray[np.uint8]:
    """Pixels as stored (EXIF orientation is not applied, as in COLMAP), uint8 [H, W, 4], straight alpha.

    Downscaling averages blocks of downscale x downscale pixels, colours weighted by alpha; rows and columns
    at the lower and right edge that fill no block are left out. Gray, palette, CMYK and 16-bit images become
    8-bit RGB. Raises DataError on missing, corrupt or truncated files and on images of 32 bits a channel.
    """
    with opened(path) as stored:
        transparent = stored.has_transparency_data
        image = _eight_bits(stored, path).convert("RGBA" if transparent else "RGB")
    if downscale > 1 and transparent:
        return _average_rgba(np.asarray(image), downscale)
    if downscale > 1:
        width, height = (size // downscale * downscale for size in image.size)
        image = image.crop((0, 0, width, height)).reduce(downscale)
    return np.array(image.convert("RGBA"))


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Pillow narrows 16-bit colour by itself, but leaves 16-bit gray as it is and would clip it at 255."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(image) / 257.0).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(f"{path}: image has 32 bits a channel, expected 8 or 16")
    return image


def blocks(pixels: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """[H, W, ...] as [H / factor, factor, W / factor, factor, ...], without what fills no block."""
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: height * factor, : width * factor]
    return whole.reshape(height, factor, width, factor, *pixels.shape[2:])


def _average_rgba(rgba: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    """Block averages of premultiplied colours, in float so that faint pixels keep their colour."""
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    premultiplied = blocks(rgba[..., :3] * alpha, factor).mean((1, 3))
    coverage = blocks(alpha, factor).mean((1, 3))
    colors = np.divide(premultiplied, coverage, out=np.zeros_like(premultiplied), where=coverage > 0)
    return np.rint(np.concatenate([colors, 255.0 * coverage], -1)).clip(0, 255).astype(np.uint8)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An open image; whatever Pillow raises inside becomes a DataError that names the file."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise DataError(f"{path}: image is missing") from None
    except _CORRUPT as error:
        if reason := _not_read(path):
            raise DataError(f"{path}: {reason}") from None
        raise DataError(f"{path}: image cannot be read, it is corrupt or truncated ({error})") from error


def _not_read(path: Path) -> str:
    """Why a file that is no picture, or none that is read, cannot be opened; empty when it is damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return ""
    if not head:
        return "the image file is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the image; fetch it with git lfs pull"
    kind = next((name for place, magic, name in _MAGIC if head[place:].startswith(magic)), None)
    if kind is None and path.suffix.lower() in NOT_READ:
        kind = path.suffix[1:].upper()
    if kind is None:
        return ""
    return f"the image is {kind}, which is not read; convert the images to PNG or JPEG, under the same names"
