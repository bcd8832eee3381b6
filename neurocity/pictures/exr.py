"""OpenEXR files of float32, by the package OpenEXR of the extra `exr`.

Colour is linear light with associated alpha, as the format wants it, and its header says so.
"""

import importlib.util
import io
from collections.abc import Mapping

import numpy as np

from neurocity.light import Float32, Light
from neurocity.pictures.encoded import MEDIA_TYPES, EncodedImage, Notes

EXR_MISSING = "exr needs the package OpenEXR, which is not installed here: pip install 'neurocity[exr]'"

COLOUR_SPACE = "lin_rec709_scene"
"""The identifier of linear light with the primaries of sRGB (ASWF Color Interop Forum), which stands in the
standard attribute `colorInteropID`."""


def exr_available() -> bool:
    """Whether OpenEXR files can be written here."""
    return importlib.util.find_spec("OpenEXR") is not None


def encode_exr(channels: Mapping[str, Float32], notes: Notes) -> EncodedImage:
    """Channels [H, W] by their names (R, G, B, A; Z; N.X, N.Y, N.Z) as an EXR file, ZIP-compressed.

    The notes stand in the header as text.
    """
    import OpenEXR  # noqa: PLC0415 - an extra

    data = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **notes}
    planes = {name: np.ascontiguousarray(plane, np.float32) for name, plane in channels.items()}
    OpenEXR.File(header, planes, num_threads=0).write(data)
    return EncodedImage(data=data.getvalue(), media_type=MEDIA_TYPES["exr"], notes=notes)


def linear_rgba(light: Light) -> dict[str, Float32]:
    """The channels R, G, B and A of light [H, W]: linear, without a background, multiplied by the opacity.

    The light is sRGB-encoded, and composited so. Of what is seen with opacity a the colour is rgb / a: it is
    decoded (IEC 61966-2-1, above 1 by the same formula) and multiplied by a again. Where a is 1 that is the
    picture; elsewhere a background shines through as linear compositing has it, which is not quite the same.
    """
    opacity = light.opacity
    channels = {}
    for axis, name in enumerate("RGB"):
        # Without opacity nothing is seen: 0 / 1.
        encoded = light.rgb[..., axis] / np.where(opacity > 0, opacity, np.float32(1.0))
        channels[name] = srgb_to_linear(encoded) * opacity
    return channels | {"A": opacity}


def srgb_to_linear(encoded: Float32) -> Float32:
    """sRGB-encoded values as linear ones; negative ones are 0."""
    values = np.maximum(encoded, np.float32(0.0))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)
