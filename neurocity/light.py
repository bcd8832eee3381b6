"""Light that rays bring, as arrays: over a background, as bytes, compared.

Colours stay in the training images' space (sRGB-encoded). numpy alone: exporters, engines, the gateway and
any host that repeats a proof use the same few lines.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SSIM_WINDOW = 11
"""Pixels along a side of the Gaussian window of SSIM (Wang et al. 2004)."""

Background = tuple[float, float, float]
"""An sRGB colour in [0, 1]."""


class Light(NamedTuple):
    """What rays bring, float32, see `neurocity.contract`; an image has the axes [H, W] in place of [R].

    rgb [R, 3]: accumulated radiance without background. depth [R]: expected distance along the ray, world
    units. opacity [R]: sum of the compositing weights.
    """

    rgb: Float32
    depth: Float32
    opacity: Float32

    @classmethod
    def empty(cls, rays: int) -> "Light":
        """Room for the light of so many rays, not initialised."""
        return cls(np.empty((rays, 3), np.float32), np.empty(rays, np.float32), np.empty(rays, np.float32))

    def as_image(self, height: int, width: int) -> "Light":
        """The light of row-major pixels as an image: rgb [H, W, 3], depth [H, W], opacity [H, W]."""
        size = height, width
        return Light(self.rgb.reshape(*size, 3), self.depth.reshape(size), self.opacity.reshape(size))


def over_background(rgb: Float32, opacity: Float32, background: Background | None) -> Float32:
    """Radiance [..., 3] over a background colour, `rgb + (1 - opacity) * background`, clipped to [0, 1].

    None stands for black, which a scene that models its own surroundings never shows: it is opaque.
    """
    if background is None:
        return np.clip(rgb, 0.0, 1.0)
    seen = np.empty(rgb.shape, np.float32)
    through = np.subtract(np.float32(1.0), opacity)
    behind = np.empty_like(through)
    for channel, color in enumerate(background):  # numpy is slow where it goes in steps of three numbers
        np.multiply(through, np.float32(color), out=behind)
        np.add(rgb[..., channel], behind, out=seen[..., channel])
    np.minimum(seen, np.float32(1.0), out=seen)
    return np.maximum(seen, np.float32(0.0), out=seen)


def to_bytes(values: Float32) -> Bytes:
    """Numbers in [0, 1] as uint8: clipped, rounded half up, NaN as 0.

    A byte is within half a step, 0.5 / 255, of the number it came from.
    """
    steps = values * np.float32(255.0)
    steps += np.float32(0.5)
    np.fmax(steps, np.float32(0.0), out=steps)  # which a NaN loses against
    np.fmin(steps, np.float32(255.0), out=steps)
    return steps.astype(np.uint8)


def psnr(got: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> float:
    """Peak signal-to-noise ratio in dB with peak 1; infinite for equal arrays, NaN where a value is NaN."""
    with np.errstate(invalid="ignore"):
        error = float(np.mean(np.square(got.astype(np.float64) - expected)))
    return math.inf if error == 0.0 else -10.0 * math.log10(error)
