"""Rendered light to encoded images.

Colours stay in the training images' space (sRGB-encoded). Rounding is half up, floor(255 x + 0.5), after
clipping to [0, 1], so that a byte is within 1/255 of the float it came from wherever it is decoded.
"""

import io
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from neurocity.contract import DEPTH_EPSILON
from serving.engines.base import Float32, RenderedRays

MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "npy": "application/x-npy",
}
PNG_COMPRESSION = 3
"""zlib level: 6 takes three times as long for a few percent."""
DEPTH_COUNTS = 65_535


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """Bytes of an image file, its media type, and the HTTP headers that explain its values."""

    data: bytes
    media_type: str
    headers: dict[str, str] = field(default_factory=dict)


def composite(rgb: Float32, opacity: Float32, background: tuple[float, float, float]) -> Float32:
    """Radiance [..., 3] over a background colour, `rgb + (1 - opacity) * background`, clipped to [0, 1]."""
    behind = (1.0 - opacity)[..., None] * np.asarray(background, dtype=np.float32)
    return np.clip(rgb + behind, 0.0, 1.0)


def to_bytes(values: Float32) -> npt.NDArray[np.uint8]:
    """Numbers in [0, 1] as uint8, clipped, rounded half up."""
    return np.floor(np.clip(values, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def quantise_depth(depth: Float32, opacity: Float32) -> tuple[npt.NDArray[np.uint16], float]:
    """Depth as 16-bit counts and the scene units of one count; count 0 means that nothing is there.

    The scale is the largest depth / 65535, so every image uses the whole range: its error is half a count.
    """
    seen = opacity > DEPTH_EPSILON
    farthest = float(depth[seen].max(initial=0.0))
    scale = farthest / DEPTH_COUNTS if farthest > 0 else 1.0
    counts = np.clip(np.floor(depth.astype(np.float64) / scale + 0.5), 1, DEPTH_COUNTS)
    return np.where(seen, counts, 0).astype(np.uint16), scale


def encode_rgb(
    rendered: RenderedRays, background: tuple[float, float, float], encoding: str, quality: int | None
) -> EncodedImage:
    """The colours [H, W, 3] over `background`; npy holds float32 in [0, 1]."""
    image = composite(rendered.rgb, rendered.opacity, background)
    return _npy(image) if encoding == "npy" else _picture(to_bytes(image), encoding, quality)


def encode_opacity(rendered: RenderedRays, encoding: str, quality: int | None) -> EncodedImage:
    """The opacity [H, W] as 8-bit gray, or as float32 npy."""
    if encoding == "npy":
        return _npy(rendered.opacity)
    return _picture(to_bytes(rendered.opacity), encoding, quality)


def encode_depth(rendered: RenderedRays, kind: str, encoding: str) -> EncodedImage:
    """The depth [H, W] as a 16-bit PNG, or as float32 npy in scene units; `kind` is said in the headers.

    The headers `X-Depth-Kind`, `X-Depth-Scale` (scene units of one count) and `X-Depth-Invalid` (the count of
    pixels without depth; PNG only) stand in the PNG's text chunks as well.
    """
    if encoding == "npy":
        return _npy(rendered.depth, {"X-Depth-Kind": kind, "X-Depth-Scale": "1"})
    counts, scale = quantise_depth(rendered.depth, rendered.opacity)
    headers = {"X-Depth-Kind": kind, "X-Depth-Scale": repr(scale), "X-Depth-Invalid": "0"}
    text = PngInfo()
    for name, value in headers.items():
        text.add_text(name, value)
    data = io.BytesIO()
    Image.fromarray(counts).save(data, "PNG", pnginfo=text, compress_level=PNG_COMPRESSION)
    return EncodedImage(data=data.getvalue(), media_type=MEDIA_TYPES["png"], headers=headers)


def _npy(values: Float32, headers: dict[str, str] | None = None) -> EncodedImage:
    data = io.BytesIO()
    np.save(data, values, allow_pickle=False)
    return EncodedImage(data=data.getvalue(), media_type=MEDIA_TYPES["npy"], headers=headers or {})


def _picture(pixels: npt.NDArray[np.uint8], encoding: str, quality: int | None) -> EncodedImage:
    options = {"compress_level": PNG_COMPRESSION} if encoding == "png" else {"quality": quality}
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, encoding.upper(), **options)
    return EncodedImage(data=data.getvalue(), media_type=MEDIA_TYPES[encoding])
