"""What deviations mean: an artefact's answers to given rays, held against limits."""

from dataclasses import asdict
from typing import Any

import numpy as np

from export.checks import Check, at_least, at_most, equal
from export.parity.metrics import image_metrics
from export.parity.rays import PRIME
from export.parity.tolerances import Tolerance
from export.renderer import Renderer, render_in_chunks
from neurocity.cameras import Rays
from neurocity.contract import View
from neurocity.deviation import Deviation, deviation, largest
from neurocity.errors import NeuroCityError, ParityError
from neurocity.light import Light

_REGROUPED = 317
"""Rays of a chunk in the regrouping test; shares no divisor with `PRIME` or a power of two."""
_ALONE = 8
"""Rays that are also rendered one by one."""
_ERRORS = {"rgb": "rgb error", "opacity": "opacity error", "depth": "depth error"}
_VIEW_ERRORS = _ERRORS | {"rgb_p999": "99.9 percentile of the rgb error"}
"""What checks call the errors of `Deviation`, which `Tolerance` limits under the same names."""


def ask(render: Renderer, rays: Rays, where: str, *, chunk: int) -> Light:
    """The artefact's render of `rays` in calls of `chunk`.

    What a runtime raises becomes a ParityError; our own errors, such as that of a lost server, pass.
    """
    try:
        return render_in_chunks(render, rays, chunk)
    except NeuroCityError:
        raise
    except Exception as error:
        count = min(chunk, len(rays))
        raise ParityError(f"{where}: the artefact cannot render {count} rays: {error}") from error


def compare_with_itself(render: Renderer, rays: Rays, scene_diagonal: float) -> dict[str, float]:
    """The largest change of any value of a ray when it comes again among other rays; takes `PRIME` rays."""
    order = np.random.default_rng(0).permutation(PRIME)
    few = np.arange(_ALONE) * (PRIME // _ALONE)
    everything = np.arange(PRIME)
    whole = ask(render, rays, "whole", chunk=PRIME)
    found = {}
    for name, chosen, chunk in (
        ("the same rays twice", everything, PRIME),
        ("permuted and regrouped rays", order, _REGROUPED),
        ("single rays", few, 1),
    ):
        again = ask(render, rays[chosen], name, chunk=chunk)
        before = Light(*(part[chosen] for part in whole))
        found[name] = largest(deviation(again, before, scene_diagonal))
    return found


def view_figures(view: View, got: Light, expected: Light, scene_diagonal: float) -> dict[str, Any]:
    """The figures of an artefact's view, as the record of parity has them."""
    found = deviation(got, expected, scene_diagonal)
    pixel = list(divmod(found.worst_ray, view.width))
    metrics = image_metrics(got.rgb, expected.rgb, view)
    return {"view": view.name, "worst_pixel": pixel, **metrics, **asdict(found)}


def view_checks(views: list[dict[str, Any]], tolerance: Tolerance) -> list[Check]:
    """The worst of `view_figures` of each kind against its limit; NaN counts as worst."""
    checks = []
    for name in ("psnr_db", "ssim"):
        worst = min(views, key=lambda view: (not np.isnan(view[name]), view[name]))
        checks.append(at_least(name, f"view {worst['view']}", worst[name], getattr(tolerance, name)))
    for name, error in _VIEW_ERRORS.items():
        worst = max(views, key=lambda view: (np.isnan(view[name]), view[name]))
        checks.append(at_most(error, f"view {worst['view']}", worst[name], getattr(tolerance, name)))
    checks.append(equal("values not finite", "views", sum(view["non_finite"] for view in views), 0))
    return checks


def ray_checks(where: str, found: Deviation, tolerance: Tolerance) -> list[Check]:
    """The errors of a set of rays against their limits."""
    checks = [
        at_most(error, where, getattr(found, name), getattr(tolerance, name))
        for name, error in _ERRORS.items()
    ]
    return [*checks, equal("values not finite", where, found.non_finite, 0)]


def repetition_checks(found: dict[str, float], tolerance: Tolerance) -> list[Check]:
    """The changes that `compare_with_itself` found against their limit."""
    return [at_most("change", where, change, tolerance.invariance) for where, change in found.items()]
