"""How far two renders of the same rays are apart, in numpy alone: any host can repeat it."""

import math
from dataclasses import dataclass

import numpy as np

from neurocity.errors import ParityError
from neurocity.light import Light


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
