"""Lenses: how directions in a camera become points on its image plane, and back.

All formulas are in OpenCV camera axes (x right, y down, looking along +z) and at unit focal length. Notation:
theta is the angle between a ray and the viewing axis, and the radius of a point is its distance from the
principal point, which is tan(theta) for a pinhole.

The models are those of OpenCV and COLMAP, https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html and
https://docs.opencv.org/4.x/db/d58/group__calib3d__fisheye.html; the fisheye is equation 6 of Kannala and
Brandt, "A Generic Camera Model and Calibration Method for Conventional, Wide-Angle, and Fish-Eye Lenses".
BROWN is what photogrammetry adds to OPENCV: k4 multiplies radius^8, and skew, in units of fl_x, leans the
image's columns. BROWN_FISHEYE is the same on the plane of an equidistant fisheye, where the radius is theta.
Both are the camera models of Metashape (user manual, appendix on camera models).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from neurocity.errors import CameraError

Array = npt.NDArray[np.float64]
LensModel = Literal["PINHOLE", "OPENCV", "OPENCV_FISHEYE", "BROWN", "BROWN_FISHEYE"]

LENS_PARAMETERS: dict[str, tuple[str, ...]] = {
    "PINHOLE": (),
    "OPENCV": ("k1", "k2", "p1", "p2", "k3"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
    "BROWN": ("k1", "k2", "p1", "p2", "k3", "k4", "skew"),
    "BROWN_FISHEYE": ("k1", "k2", "p1", "p2", "k3", "k4", "skew"),
}
"""Names of `Lens.params`, in order, by lens model."""

_FAMILIES: dict[str, tuple[LensModel, tuple[str, ...]]] = {
    "SIMPLE_PINHOLE": ("PINHOLE", ()),
    "PINHOLE": ("PINHOLE", ()),
    "SIMPLE_RADIAL": ("OPENCV", ("k1",)),
    "RADIAL": ("OPENCV", ("k1", "k2")),
    "OPENCV": ("OPENCV", ("k1", "k2", "p1", "p2", "k3")),
    "FULL_OPENCV": ("OPENCV", ("k1", "k2", "p1", "p2", "k3")),
    "SIMPLE_FISHEYE": ("OPENCV_FISHEYE", ()),
    "FISHEYE": ("OPENCV_FISHEYE", ()),
    "OPENCV_FISHEYE": ("OPENCV_FISHEYE", ("k1", "k2", "k3", "k4")),
    "SIMPLE_RADIAL_FISHEYE": ("OPENCV_FISHEYE", ("k1",)),
    "RADIAL_FISHEYE": ("OPENCV_FISHEYE", ("k1", "k2")),
}
"""The lens and the coefficients that may differ from zero, by model name."""

_NEWTON_STEPS = 50
_CONVERGED = 1e-10
_WIDEST = 1e6
"""Undistorted radius beyond which no pixel lies, tan(theta) a microradian short of sideways."""


@dataclass(frozen=True)
class Lens:
    """How directions in the camera become points on the image plane at unit focal length.

    params: the values of `LENS_PARAMETERS`, in that order.
    Raises CameraError (field `lens`) on an unknown model or a wrong number of finite parameters.
    """

    model: LensModel = "PINHOLE"
    params: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in LENS_PARAMETERS:
            known = ", ".join(LENS_PARAMETERS)
            raise CameraError(f"lens model {self.model!r} is not known, known models: {known}", "lens")
        names = LENS_PARAMETERS[self.model]
        params = tuple(float(value) for value in self.params)
        if len(params) != len(names) or not np.isfinite(params).all():
            raise CameraError(
                f"lens {self.model} takes {len(names)} finite parameters ({', '.join(names)}), got {params}",
                "lens",
            )
        object.__setattr__(self, "params", params)

    @cached_property
    def limit(self) -> float:
        """Where the lens folds over: the undistorted radius, or for a fisheye theta in radians (at most pi),
        up to which the radial polynomial grows. Nothing beyond it is imaged."""
        # Roots in 1 / radius^2: the leading coefficient is then 1, however small the others are.
        inverse = np.roots(self._slopes)
        turns = inverse.real[(abs(inverse.imag) <= 1e-9 * abs(inverse)) & (inverse.real > _WIDEST**-2)]
        first_turn = float(1.0 / np.sqrt(turns.max())) if turns.size else np.inf
        return min(first_turn, np.pi) if self.is_fisheye else first_turn

    @property
    def is_fisheye(self) -> bool:
        """Whether the radius of an undistorted point is theta and not tan(theta)."""
        return self.model in ("OPENCV_FISHEYE", "BROWN_FISHEYE")

    def project(self, directions: Array) -> Array:
        """Directions [N, 3] (OpenCV axes, any length) to image plane points [N, 2]; NaN where the lens does
        not see: behind a perspective lens, or beyond `limit`."""
        x, y, z = directions.T
        if self.is_fisheye:
            radius = np.hypot(x, y)
            theta = np.arctan2(radius, z)
            plane = np.stack([x, y], -1) * _ratio(theta, radius, at_zero=0.0)[:, None]
            return np.where((theta <= self.limit)[:, None], self._skewed(self._distort(plane)[0]), np.nan)
        with np.errstate(all="ignore"):  # what is not in front becomes NaN below, whatever came of it
            plane = np.stack([x / z, y / z], -1)
            bent = plane if self.model == "PINHOLE" else self._skewed(self._distort(plane)[0])
            seen = (z > 0) & (np.hypot(plane[:, 0], plane[:, 1]) <= self.limit)
        return np.where(seen[:, None], bent, np.nan)

    def unproject(self, points: Array) -> Array:
        """Image plane points [N, 2] to unit directions [N, 3] in OpenCV axes, the inverse of `project`.

        NaN where no ray of the lens meets the point, or where Newton's iteration does not reach it.
        """
        if self.model == "OPENCV_FISHEYE":
            bent = np.hypot(points[:, 0], points[:, 1])
            theta = self._straighten(bent)
            scale = _ratio(np.sin(theta), bent, at_zero=1.0)
            return np.stack([points[:, 0] * scale, points[:, 1] * scale, np.cos(theta)], -1)
        plane = points if self.model == "PINHOLE" else self._undistort(self._skewed(points, -1.0))
        if self.is_fisheye:
            theta = np.hypot(plane[:, 0], plane[:, 1])
            scale = np.where(np.isnan(theta), np.nan, np.sinc(theta / np.pi))
            return np.concatenate([plane * scale[:, None], np.cos(theta)[:, None]], -1)
        rays = np.concatenate([plane, np.ones((len(plane), 1))], -1)
        return rays / np.linalg.norm(rays, axis=-1, keepdims=True)

    @property
    def _radial(self) -> tuple[float, ...]:
        """Coefficients c of the radial polynomial u -> u * (c0 + c1 u^2 + c2 u^4 + ...)."""
        if self.model in ("PINHOLE", "OPENCV_FISHEYE"):
            return (1.0, *self.params)
        k1, k2, _, _, *higher = self.params
        return (1.0, k1, k2, *higher[:2])

    @property
    def _tangential(self) -> tuple[float, float]:
        return (0.0, 0.0) if self.model == "OPENCV_FISHEYE" else (self.params[2], self.params[3])

    @property
    def _slopes(self) -> list[float]:
        """Coefficients in u^2 of the derivative of the radial polynomial."""
        return [(2 * n + 1) * c for n, c in enumerate(self._radial)]

    def _bend(self, radius: Array) -> Array:
        return radius * np.polynomial.polynomial.polyval(radius**2, self._radial)

    def _straighten(self, bent: Array) -> Array:
        """Inverse of `_bend` on [0, limit] by Newton's iteration inside a shrinking bracket; NaN beyond."""
        top = self.limit
        if np.isinf(top):
            top = 1.0
            while top < _WIDEST and self._bend(np.array([top]))[0] < bent.max(initial=0.0):
                top *= 2.0
        low, high = np.zeros_like(bent), np.full_like(bent, top)
        guess = np.clip(bent, 0.0, top)
        for _ in range(_NEWTON_STEPS):
            residual = self._bend(guess) - bent
            if (abs(residual) <= _CONVERGED * 1e-3).all():
                break
            low, high = np.where(residual < 0, guess, low), np.where(residual > 0, guess, high)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = guess - residual / np.polynomial.polynomial.polyval(guess**2, self._slopes)
            guess = np.where((step >= low) & (step <= high), step, 0.5 * (low + high))
        return np.where(abs(self._bend(guess) - bent) <= _CONVERGED, guess, np.nan)

    def _distort(self, plane: Array) -> tuple[Array, Array]:
        """Distortion of undistorted points [N, 2], without skew, and its Jacobian [N, 2, 2]."""
        p1, p2 = self._tangential
        x, y = plane.T
        r2 = x * x + y * y
        radial = np.polynomial.polynomial.polyval(r2, self._radial)
        slope = np.polynomial.polynomial.polyval(r2, [n * c for n, c in enumerate(self._radial)][1:])
        bent = np.stack(
            [
                x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
                y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
            ],
            -1,
        )
        across = 2.0 * (x * y * slope + p1 * x + p2 * y)
        dx_dx = radial + 2.0 * x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x
        dy_dy = radial + 2.0 * y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x
        return bent, np.stack([np.stack([dx_dx, across], -1), np.stack([across, dy_dy], -1)], -2)

    def _skewed(self, points: Array, sign: float = 1.0) -> Array:
        """Points of the image plane with skew, or with sign -1 without it."""
        if not self.model.startswith("BROWN"):
            return points
        return points + np.stack([sign * self.params[-1] * points[:, 1], np.zeros(len(points))], -1)

    def _undistort(self, bent: Array) -> Array:
        """Inverse of `_distort` by Newton's iteration from the purely radial solution; NaN where it fails."""
        radius = np.hypot(bent[:, 0], bent[:, 1])
        edge = self._bend(np.array([0.999 * self.limit]))[0] if np.isfinite(self.limit) else np.inf
        start = self._straighten(np.minimum(radius, edge))
        plane = bent * _ratio(start, radius, at_zero=1.0)[:, None]
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                value, jacobian = self._distort(plane)
                residual = value - bent
                if (abs(residual) <= _CONVERGED * 1e-3).all():
                    break
                (a, b), (_, d) = jacobian.transpose(1, 2, 0)
                step = np.stack(
                    [d * residual[:, 0] - b * residual[:, 1], a * residual[:, 1] - b * residual[:, 0]], -1
                )
                plane = plane - step / (a * d - b * b)[:, None]
            reached = (abs(self._distort(plane)[0] - bent) <= _CONVERGED).all(-1)
            reached &= np.hypot(plane[:, 0], plane[:, 1]) <= self.limit * (1.0 + 1e-6)
        return np.where(reached[:, None], plane, np.nan)


def _ratio(numerator: Array, denominator: Array, *, at_zero: float) -> Array:
    return np.divide(numerator, denominator, out=np.full_like(numerator, at_zero), where=denominator > 0)


PINHOLE = Lens()
"""No distortion: the radius is tan(theta)."""


def lens_of(model: str, coefficients: Mapping[str, float]) -> Lens:
    """The lens of `model` (a COLMAP or nerfstudio name) with `coefficients` (k1, p1, ...; absent means 0).

    Raises CameraError (field `lens`) on a model that is not supported and on a coefficient that the model
    does not have. k4 to k6 of FULL_OPENCV divide, and k4 of nerfstudio's OPENCV multiplies r^8: neither is
    supported, so both must be 0.
    """
    if model not in _FAMILIES:
        raise CameraError(
            f"camera model {model!r} is not supported, supported: {', '.join(_FAMILIES)}; "
            "undistort the images first (colmap image_undistorter)",
            "lens",
        )
    family, allowed = _FAMILIES[model]
    for name, value in coefficients.items():
        if value != 0.0 and name not in allowed:
            raise CameraError(
                f"{name} = {value} is not supported with camera model {model}, which takes "
                f"{', '.join(allowed) or 'no distortion'}; undistort the images first, or export a lens "
                "without it (OPENCV with k1 k2 p1 p2 k3, called Brown 3 in RealityCapture)",
                "lens",
            )
    params = tuple(coefficients.get(name, 0.0) for name in LENS_PARAMETERS[family])
    if family == "OPENCV" and not any(params):
        return PINHOLE
    return Lens(family, params)


def brown_lens(coefficients: Mapping[str, float], *, fisheye: bool = False) -> Lens:
    """The simplest lens with these coefficients of BROWN or BROWN_FISHEYE (absent means 0).

    Raises CameraError (field `lens`) when one is not finite.
    """
    values = {name: coefficients.get(name, 0.0) for name in LENS_PARAMETERS["BROWN"]}
    models: tuple[LensModel, ...] = ("OPENCV_FISHEYE", "BROWN_FISHEYE") if fisheye else ("OPENCV", "BROWN")
    for model in models:
        if all(value == 0.0 or name in LENS_PARAMETERS[model] for name, value in values.items()):
            break
    if not fisheye and not any(values.values()):
        return PINHOLE
    return Lens(model, tuple(values[name] for name in LENS_PARAMETERS[model]))
