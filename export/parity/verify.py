"""The proof repeated, from golden files alone: an artefact against what its model answered at the export."""

import math
from collections.abc import Callable

import numpy as np

from export.checks import Check, at_least, at_most
from export.parity.compare import (
    ask,
    compare_with_itself,
    ray_checks,
    repetition_checks,
    view_checks,
    view_figures,
)
from export.parity.golden import read_render
from export.parity.metrics import psnr_db
from export.parity.pictures import decode_png
from export.parity.rays import PRIME, view_rays
from export.parity.tolerances import Tolerance
from export.renderer import Painter, Renderer
from neurocity.cameras import Camera
from neurocity.contract import MANIFEST_FILE, ArtefactFile, Golden, GoldenView, View
from neurocity.deviation import deviation, scene_diagonal
from neurocity.errors import ManifestError
from neurocity.golden import read_rays
from neurocity.light import Float32, Light, over_background, to_bytes
from neurocity.model_repository import Version

_TWICE = 20 * math.log10(2)
"""dB of twice an error: what colour and opacity have together where each has it."""
_ROUNDING = 1 / (255 * math.sqrt(12))
"""Root mean square of what rounding to 8 bits changes."""


def verify(render: Renderer | Painter, version: Version) -> tuple[Check, ...]:
    """Every comparison of an opened artefact with its golden files, against the stored tolerance; of what
    paints, pictures alone.

    Raises ParityError when the artefact cannot render a set of rays, and ManifestError when the version was
    exported before golden files were kept, or one is not what the manifest says.
    """
    manifest, tolerance = version.manifest, stored_tolerance(version)
    golden, radii = manifest.golden, manifest.takes_ray_radii
    if golden is None:
        raise ManifestError(
            f"{version.path / MANIFEST_FILE}: names no golden files to repeat the proof from; export again"
        )
    if isinstance(render, Painter):
        return _verify_views(version, golden, render.paint)
    diagonal = scene_diagonal(manifest.info.bounds)
    checks: list[Check] = []
    answered = read_rays(_read(version, golden.rays), golden.rays.name, radii=radii)
    for name, (rays, expected) in answered.items():
        got = ask(render, rays, name, chunk=len(rays))
        checks += ray_checks(name, deviation(got, expected, diagonal), tolerance)
    most = max((rays for rays, _ in answered.values()), key=len)
    repeated = compare_with_itself(render, most[np.arange(PRIME) % len(most)], diagonal)
    checks += repetition_checks(repeated, tolerance)

    def draw(view: View) -> Light:
        rays = view_rays(view, radii=radii)
        return ask(render, rays, f"view {view.name}", chunk=manifest.rays_per_call)

    return (*checks, *_verify_views(version, golden, draw))


def _verify_views(version: Version, golden: Golden, draw: Callable[[View], Light]) -> tuple[Check, ...]:
    """The comparisons of what is drawn of the golden views."""
    manifest, tolerance = version.manifest, stored_tolerance(version)
    checks: list[Check] = []
    figures = []
    for kept in golden.views:
        view = _view(version, kept)
        got = draw(view)
        image = over_background(got.rgb, got.opacity, manifest.info.background)
        checks += _picture_checks(version, kept, view, image, tolerance)
        if kept.arrays is not None:
            expected = read_render(_read(version, kept.arrays), kept.arrays.name)
            figures.append(view_figures(view, got, expected, scene_diagonal(manifest.info.bounds)))
    if figures:
        checks += view_checks(figures, tolerance)
    return tuple(checks)


def stored_tolerance(version: Version) -> Tolerance:
    """The limits that the artefact was held to. Raises ManifestError when they are not this release's."""
    try:
        return Tolerance(**version.manifest.parity["tolerance"])
    except (KeyError, TypeError) as error:
        raise ManifestError(
            f"{version.path / MANIFEST_FILE}: parity.tolerance is not that of this release ({error}); "
            "export again"
        ) from None


def _read(version: Version, file: ArtefactFile) -> bytes:
    return (version.path / file.name).read_bytes()


def _view(version: Version, golden: GoldenView) -> View:
    views = version.manifest.info.views
    if not 0 <= golden.view < len(views):
        raise ManifestError(f"golden view {golden.view}: the manifest has {len(views)} held-out views")
    view = views[golden.view]
    if (view.width, view.height) == (golden.width, golden.height):
        return view
    return Camera.from_view(view).resized(golden.width, golden.height).to_view(view.name)


def _picture_checks(
    version: Version, golden: GoldenView, view: View, image: Float32, tolerance: Tolerance
) -> tuple[Check, ...]:
    """The picture in 8 bits against the golden one, with limits that allow for both having been rounded."""
    name = golden.image.name
    expected = decode_png(_read(version, golden.image), name)
    if expected.shape != (view.height, view.width, 3):
        raise ManifestError(f"{name}: got {expected.shape[:2]}, expected {(view.height, view.width)} pixels")
    got = to_bytes(image).reshape(expected.shape)
    steps = int(np.abs(got.astype(int) - expected).max())
    psnr = psnr_db(*(pixels.astype(np.float32) / np.float32(255) for pixels in (got, expected)))
    largest, lowest = _picture_limits(tolerance)
    if "preview" in version.manifest.parity:  # PSNR alone is held, of light that the background adds to
        lowest = tolerance.psnr_db - _TWICE
    return (
        at_most("steps of 255 in the picture", name, steps, largest),
        at_least("psnr_db of the picture", name, psnr, lowest),
    )


def _picture_limits(tolerance: Tolerance) -> tuple[int, float]:
    """Steps of 255, and dB.

    A picture's colour is radiance plus (1 - opacity) times the background, so the two errors add up. Rounding
    both pictures adds at most one step, and at most twice its own root mean square error. So an artefact
    within the limits of rgb and opacity is within these.
    """
    steps = math.ceil(255 * (tolerance.rgb + tolerance.opacity)) + 1
    error = 10 ** (-tolerance.psnr_db / 20) + tolerance.opacity + 2 * _ROUNDING
    return steps, -20 * math.log10(error)
