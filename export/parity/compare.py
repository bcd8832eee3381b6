"""An artefact on given rays: asking it, and holding its answers against limits."""

from typing import Any

import numpy as np

from export.checks import Check, at_least, at_most, equal
from export.parity.metrics import Deviation, deviation, largest
from export.parity.rays import PRIME
from export.parity.tolerances import Tolerance
from export.renderer import Renderer
from neurocity.cameras import Rays
from neurocity.errors import NeuroCityError, ParityError
from neurocity.light import Light

_REGROUPED = 317
"""Rays of a chunk in the regrouping test; shares no divisor with `PRIME` or a power of two."""
_ALONE = 8
"""Rays that are also rendered one by one."""


def ask(render: Renderer, rays: Rays, where: str, *, chunk: int) -> Light:
    """The artefact's render of `rays` in calls of `chunk`.

    What a runtime raises becomes a ParityError; our own errors, such as that of a lost server, pass.
    """
    count = len(rays)
    try:
        parts = [render(rays[i : i + chunk]) for i in range(0, count, chunk)]
        return Light(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    except NeuroCityError:
        raise
    except Exception as error:
        raise ParityError(f"{where}: the artefact cannot render {min(chunk, count)} rays: {error}") from error


def compare_with_itself(render: Renderer, rays: Rays, scene_diagonal: float) -> dict[str, float]:
    """Largest change of any value of a ray when it comes again in other company; takes `PRIME` rays."""
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


def view_checks(views: list[dict[str, Any]], tolerance: Tolerance) -> list[Check]:
    """The worst view of each kind against its limit; NaN counts as worst.

    views: figures of each, as in the record of parity.
    """
    checks = []
    for name, limit in (("psnr_db", tolerance.psnr_db), ("ssim", tolerance.ssim)):
        worst = min(views, key=lambda view: (not np.isnan(view[name]), view[name]))
        checks.append(at_least(name, f"view {worst['view']}", worst[name], limit))
    for name, limit in (*_error_limits(tolerance), ("rgb_p999", tolerance.rgb_p999)):
        worst = max(views, key=lambda view: (np.isnan(view[name]), view[name]))
        checks.append(at_most(_ERRORS[name], f"view {worst['view']}", worst[name], limit))
    checks.append(equal("values not finite", "views", sum(view["non_finite"] for view in views), 0))
    return checks


def ray_checks(where: str, found: Deviation, tolerance: Tolerance) -> list[Check]:
    """The errors of a set of rays against their limits."""
    checks = [
        at_most(_ERRORS[name], where, getattr(found, name), limit) for name, limit in _error_limits(tolerance)
    ]
    return [*checks, equal("values not finite", where, found.non_finite, 0)]


def repetition_checks(found: dict[str, float], tolerance: Tolerance) -> list[Check]:
    """The changes that `compare_with_itself` found against their limit."""
    return [at_most("change", where, change, tolerance.invariance) for where, change in found.items()]


_ERRORS = {
    "rgb": "rgb error",
    "rgb_p999": "99.9 percentile of the rgb error",
    "opacity": "opacity error",
    "depth": "depth error",
}


def _error_limits(tolerance: Tolerance) -> tuple[tuple[str, float], ...]:
    return (("rgb", tolerance.rgb), ("opacity", tolerance.opacity), ("depth", tolerance.depth))
