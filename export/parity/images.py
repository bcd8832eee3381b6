"""Light light as pictures: over a background, as bytes, as colours of a scale, as PNG files."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neurocity.errors import ManifestError
from neurocity.light import Float32

Bytes = NDArray[np.uint8]

_SCALE = (
    (0.0, (0, 0, 0)),
    (0.25, (66, 10, 104)),
    (0.5, (188, 55, 84)),
    (0.75, (249, 142, 9)),
    (1.0, (252, 255, 200)),
)
"""Colours of an error as a share of the scale's maximum: black, violet, red, orange, near white."""


def scale_colours(shares: Float32) -> Bytes:
    """Colours [..., 3] of errors given as shares of the scale's maximum; NaN is the maximum."""
    stops = np.array([stop for stop, _ in _SCALE])
    colours = np.array([colour for _, colour in _SCALE], dtype=float)
    filled = np.where(np.isnan(shares), 1.0, shares)
    channels = [np.interp(filled, stops, colours[:, channel]) for channel in range(3)]
    return (np.stack(channels, -1) + 0.5).astype(np.uint8)


def encode_png(pixels: Bytes | Image.Image) -> bytes:
    """The PNG file of an image, uint8 [H, W, 3]; equal pixels give equal bytes."""
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, format="PNG", optimize=False, compress_level=6)
    return file.getvalue()


def decode_png(data: bytes, where: str) -> Bytes:
    """The pixels [H, W, 3] of a PNG file. Raises ManifestError, naming `where`, when it is not one."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ManifestError(f"{where}: cannot be read as a PNG ({error}); export the scene again") from None
