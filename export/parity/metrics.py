"""How far two pictures are apart, in numpy alone: any host can repeat it."""

import math

import numpy as np

from neurocity.contract import View
from neurocity.errors import ExportError
from neurocity.light import SSIM_WINDOW, Float32, psnr

PSNR_CAP = 200.0
"""PSNR in dB that stands for equal images: JSON has no infinity."""
_SIGMA = 1.5
"""SSIM (Wang et al. 2004) compares Gaussian windows of 11 x 11 pixels, sigma in pixels."""


def image_metrics(got: Float32, expected: Float32, view: View) -> dict[str, float]:
    """`psnr_db` (peak 1, at most `PSNR_CAP`) and `ssim` of two images of a view, rgb [H * W, 3] each.

    Raises ExportError when the view is too small for SSIM.
    """
    if reason := too_small_for_ssim(view):
        raise ExportError(f"held-out view {reason}")
    shape = (view.height, view.width, 3)
    return {"psnr_db": psnr_db(got, expected), "ssim": ssim(got.reshape(shape), expected.reshape(shape))}


def too_small_for_ssim(view: View) -> str:
    """Why SSIM cannot be computed of a view; empty when it can."""
    if min(view.width, view.height) >= SSIM_WINDOW:
        return ""
    size = f"{view.width} x {view.height} pixels"
    return f"{view.name!r} has {size}, SSIM needs at least {SSIM_WINDOW} x {SSIM_WINDOW}"


def psnr_db(got: Float32, expected: Float32) -> float:
    """Peak signal-to-noise ratio in dB with peak 1, at most `PSNR_CAP`; NaN when a value is not a number."""
    found = psnr(got, expected)
    return found if math.isnan(found) else min(found, PSNR_CAP)


def ssim(got: Float32, expected: Float32) -> float:
    """Structural similarity (Wang et al. 2004) of images [H, W, 3] with values in [0, 1].

    The mean over pixels and channels; at the edges, windows see the image mirrored.
    """
    a, b = got.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean_a, mean_b = _windowed(a), _windowed(b)
        variance_a, variance_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
        covariance = _windowed(a * b) - mean_a * mean_b
        c1, c2 = 0.01**2, 0.03**2
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
        return float((luminance * structure).mean())


def _windowed(image: np.ndarray) -> np.ndarray:
    """Gaussian means [H, W, 3] around every pixel."""
    weights = np.exp(-0.5 * ((np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2) / _SIGMA) ** 2)
    weights /= weights.sum()
    edge = SSIM_WINDOW // 2
    image = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), mode="reflect")
    for axis in (0, 1):
        length = image.shape[axis] - 2 * edge
        shifted = (np.take(image, range(i, i + length), axis) * weights[i] for i in range(SSIM_WINDOW))
        image = sum(shifted, np.zeros(()))
    return image
