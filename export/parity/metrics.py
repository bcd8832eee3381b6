"""How far two renders of the same rays are apart, in numpy alone: any host can repeat it."""

import math
from dataclasses import dataclass

import numpy as np

from neurocity.contract import View
from neurocity.errors import ExportError, ParityError
from neurocity.light import SSIM_WINDOW, Float32, Light, psnr

PSNR_CAP = 200.0
"""PSNR in dB that stands for equal images: JSON has no infinity."""
_SIGMA = 1.5
"""SSIM (Wang et al. 2004) compares Gaussian windows of 11 x 11 pixels, sigma in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Errors of a render against the expected one.

    rgb, opacity: largest absolute error; depth: largest error of depth times expected opacity, as a share of
    the scene diagonal; *_p999: the 99.9 percentile of the same; raw_depth: as depth, without the weight.
    non_finite: NaN or infinite values in either render. worst_ray: index of the largest rgb error.
    An error over values that are not finite is NaN or infinite, and passes no check.
    """

    rgb: float
    rgb_p999: float
    opacity: float
    opacity_p999: float
    depth: float
    depth_p999: float
    raw_depth: float
    non_finite: int
    worst_ray: int


def deviation(got: Light, expected: Light, scene_diagonal: float) -> Deviation:
    """Errors of `got` against `expected`; `scene_diagonal` in world units.

    Raises ParityError when an output has another shape than the model's.
    """
    for name, a, b in zip(Light._fields, got, expected, strict=True):
        if a.shape != b.shape:
            raise ParityError(f"output {name}: got the shape {a.shape}, expected {b.shape}")
    with np.errstate(invalid="ignore"):  # what is not finite is counted, and makes its error NaN or infinite
        rgb = np.abs(got.rgb - expected.rgb).max(axis=1)
        opacity = np.abs(got.opacity - expected.opacity)
        raw_depth = np.abs(got.depth - expected.depth) / scene_diagonal
        depth = raw_depth * expected.opacity
        return Deviation(
            rgb=float(rgb.max()),
            rgb_p999=float(np.quantile(rgb, 0.999)),
            opacity=float(opacity.max()),
            opacity_p999=float(np.quantile(opacity, 0.999)),
            depth=float(depth.max()),
            depth_p999=float(np.quantile(depth, 0.999)),
            raw_depth=float(raw_depth.max()),
            non_finite=sum(int((~np.isfinite(part)).sum()) for part in (*got, *expected)),
            worst_ray=int(rgb.argmax()),
        )


def scene_diagonal(bounds: tuple[float, ...]) -> float:
    """The length of the diagonal of the scene's box, in world units."""
    return math.dist(bounds[:3], bounds[3:])


def largest(found: Deviation) -> float:
    """The largest of the rgb, opacity and depth errors; NaN if one of them is."""
    return max((found.rgb, found.opacity, found.depth), key=lambda value: (math.isnan(value), value))


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
