"""The proof repeated from the golden files: an artefact against what its model answered at the export."""

import math
from typing import Any

import numpy as np

from export.checks import Check, at_least, at_most
from export.parity.compare import ask, compare_with_itself, ray_checks, repetition_checks, view_checks
from export.parity.golden import read_rays, read_render
from export.parity.images import decode_png
from export.parity.metrics import deviation, image_metrics, psnr_db
from export.parity.rays import PRIME, view_rays
from export.parity.tolerances import Tolerance
from export.renderer import Renderer
from export.repository.version_folder import VersionFolder
from neurocity.cameras import Camera
from neurocity.contract import GoldenView, View
from neurocity.errors import ManifestError
from neurocity.light import Float32, Light, over_background, to_bytes

_ROUNDING = 1 / (255 * math.sqrt(12))
"""Root mean square of what rounding to 8 bits changes."""


def verify(render: Renderer, version: VersionFolder) -> tuple[Check, ...]:
    """Every comparison of an opened artefact with its golden files, against the stored tolerance.

    Raises ParityError when the artefact cannot render a set of rays, and ManifestError when a golden file is
    not what the manifest says.
    """
    manifest, tolerance = version.manifest, version.tolerance
    bounds = manifest.info.bounds
    diagonal = float(np.linalg.norm(np.subtract(bounds[3:], bounds[:3])))
    checks: list[Check] = []
    answered = read_rays(version.read(version.golden.rays), version.golden.rays.name)
    for name, (rays, expected) in answered.items():
        got = ask(render, rays, name, chunk=len(rays))
        checks += ray_checks(name, deviation(got, expected, diagonal), tolerance)
    most = max((rays for rays, _ in answered.values()), key=len)
    repeated = compare_with_itself(render, most[np.arange(PRIME) % len(most)], diagonal)
    checks += repetition_checks(repeated, tolerance)
    figures = []
    for golden in version.golden.views:
        view = _view(version, golden)
        got = ask(render, view_rays(view), f"view {view.name}", chunk=manifest.rays_per_call)
        checks += _picture_checks(
            version, golden, view, over_background(got.rgb, got.opacity, manifest.info.background)
        )
        if golden.arrays is not None:
            expected = read_render(version.read(golden.arrays), golden.arrays.name)
            figures.append(_figures(view, got, expected, diagonal))
    if figures:
        checks += view_checks(figures, tolerance)
    return tuple(checks)


def _view(version: VersionFolder, golden: GoldenView) -> View:
    views = version.manifest.info.views
    if not 0 <= golden.view < len(views):
        raise ManifestError(f"golden view {golden.view}: the manifest has {len(views)} held-out views")
    view = views[golden.view]
    if (view.width, view.height) == (golden.width, golden.height):
        return view
    return Camera.from_view(view).resized(golden.width, golden.height).to_view(view.name)


def _figures(view: View, got: Light, expected: Light, diagonal: float) -> dict[str, Any]:
    """The figures of a view that `view_checks` takes."""
    found = deviation(got, expected, diagonal)
    measured = {name: getattr(found, name) for name in ("rgb", "rgb_p999", "opacity", "depth", "non_finite")}
    return {"view": view.name, **measured, **image_metrics(got.rgb, expected.rgb, view)}


def _picture_checks(
    version: VersionFolder, golden: GoldenView, view: View, image: Float32
) -> tuple[Check, ...]:
    """The picture in 8 bits against the golden one, with limits that allow for both having been rounded."""
    name = golden.image.name
    expected = decode_png(version.read(golden.image), name)
    if expected.shape != (view.height, view.width, 3):
        raise ManifestError(f"{name}: got {expected.shape[:2]}, expected {(view.height, view.width)} pixels")
    got = to_bytes(image).reshape(expected.shape)
    steps = int(np.abs(got.astype(int) - expected).max())
    psnr = psnr_db(*(pixels.astype(np.float32) / np.float32(255) for pixels in (got, expected)))
    largest, lowest = _picture_limits(version.tolerance)
    return (
        at_most("steps of 255 in the picture", name, steps, largest),
        at_least("psnr_db of the picture", name, psnr, lowest),
    )


def _picture_limits(tolerance: Tolerance) -> tuple[int, float]:
    """Steps of 255, and dB.

    A picture's colour is radiance, and background through what opacity leaves, so both errors add up;
    rounding adds one step at most, and to the root mean square error no more than its own, twice. An artefact
    within the limits of rgb and opacity is therefore within these.
    """
    steps = math.ceil(255 * (tolerance.rgb + tolerance.opacity)) + 1
    error = 10 ** (-tolerance.psnr_db / 20) + tolerance.opacity + 2 * _ROUNDING
    return steps, -20 * math.log10(error)
