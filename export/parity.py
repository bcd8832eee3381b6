"""The gate: an artefact, opened again from its bytes on disk, against the float32 eager model.

Compared are every held-out view as an image, the adversarial rays of `export.rays`, and the artefact with
itself when its rays come again: twice, in other groups, one by one. Limits: `export.tolerances`.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from export.checks import Check, at_least, at_most, equal
from export.deviation import Deviation, deviation, image_metrics, largest
from export.format import Rendered, Renderer
from export.rays import PRIME, Rays, adversarial_rays, counted_rays, view_rays
from export.reference import Reference
from export.tolerances import Tolerance
from neurocity.contract import SceneInfo
from neurocity.errors import ExportError, ParityError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

_REGROUPED = 317
"""Rays of a chunk in the regrouping test; shares no divisor with `PRIME` or a power of two."""
_ALONE = 8
"""Rays that are also rendered one by one."""


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """The checks, and the figures behind them as the manifest keeps them (plain JSON data)."""

    checks: tuple[Check, ...]
    record: dict[str, Any]


class ParityGate:
    """Compares artefacts with one model; `verify` is called once for each artefact.

    Raises ExportError when the scene has no held-out view to compare on.
    """

    def __init__(self, reference: Reference, info: SceneInfo, *, rays_per_call: int) -> None:
        if not info.views:
            raise ExportError(
                "the checkpoint holds no held-out views, so no artefact can be compared with the model; "
                "train with a dataset that has a validation or test split"
            )
        self._reference = reference
        self._views = info.views
        self._rays_per_call = rays_per_call
        self._diagonal = float(np.linalg.norm(np.subtract(info.bounds[3:], info.bounds[:3])))
        pool = view_rays(info.views[0])
        counts = counted_rays(pool, (1, 2, PRIME, rays_per_call))
        self._sets = adversarial_rays(info.bounds) | counts
        self._probe = counted_rays(pool, (PRIME,)).popitem()[1]

    def verify(self, render: Renderer, tolerance: Tolerance, progress: Progress) -> ParityReport:
        """All comparisons of an opened artefact with the model.

        A deviation, however large, is a check that failed; ParityError is raised when the artefact cannot
        render a set of rays at all, or returns another shape than the model.
        """
        views, seconds = self._compare_views(render, progress)
        sets = self._compare_sets(render, progress)
        repeated = self._compare_with_itself(render)
        checks = [
            *_view_checks(views, tolerance),
            *(check for name, found in sets.items() for check in _ray_checks(name, found, tolerance)),
            *(at_most("change", where, found, tolerance.invariance) for where, found in repeated.items()),
        ]
        rays = sum(view.width * view.height for view in self._views)
        record = {
            "tolerance": asdict(tolerance),
            "views": views,
            "rays": [{"rays": name, **asdict(found)} for name, found in sets.items()],
            "invariance": [{"rays": name, "change": found} for name, found in repeated.items()],
            "rays_per_second": round(rays / seconds),
        }
        return ParityReport(checks=tuple(checks), record=record)

    def _compare_views(self, render: Renderer, progress: Progress) -> tuple[list[dict[str, Any]], float]:
        """Figures of each view, and the seconds that the artefact took for them together."""
        measured, seconds = [], 0.0
        for index, view in enumerate(self._views):
            progress("comparing held-out views", index, len(self._views))
            expected = self._reference.render_view(index, view)
            rays = view_rays(view)
            started = time.perf_counter()
            got = _ask(render, rays, f"view {view.name}", chunk=self._rays_per_call)
            seconds += time.perf_counter() - started
            found = deviation(got, expected, self._diagonal)
            figures = image_metrics(got.rgb, expected.rgb, view) | asdict(found)
            pixel = list(divmod(found.worst_ray, view.width))
            measured.append({"view": view.name, "worst_pixel": pixel, **figures})
        progress("comparing held-out views", len(self._views), len(self._views))
        return measured, seconds

    def _compare_sets(self, render: Renderer, progress: Progress) -> dict[str, Deviation]:
        found = {}
        for index, (name, rays) in enumerate(self._sets.items()):
            progress("comparing adversarial rays", index, len(self._sets))
            got = _ask(render, rays, name, chunk=len(rays.origins))
            found[name] = deviation(got, self._reference.render(rays), self._diagonal)
        progress("comparing adversarial rays", len(self._sets), len(self._sets))
        return found

    def _compare_with_itself(self, render: Renderer) -> dict[str, float]:
        """Largest change of any value of a ray when it comes again in other company."""
        order = np.random.default_rng(0).permutation(PRIME)
        few = np.arange(_ALONE) * (PRIME // _ALONE)
        everything = np.arange(PRIME)
        whole = _ask(render, self._probe, "whole", chunk=PRIME)
        found = {}
        for name, rays, chunk in (
            ("the same rays twice", everything, PRIME),
            ("permuted and regrouped rays", order, _REGROUPED),
            ("single rays", few, 1),
        ):
            again = _ask(render, self._probe.take(rays), name, chunk=chunk)
            before = Rendered(*(part[rays] for part in whole))
            found[name] = largest(deviation(again, before, self._diagonal))
        return found


def _ask(render: Renderer, rays: Rays, where: str, *, chunk: int) -> Rendered:
    """The artefact's render of `rays` in calls of `chunk`; what a runtime raises becomes a ParityError."""
    count = len(rays.origins)
    try:
        parts = [render(*rays.take(np.arange(i, min(i + chunk, count)))) for i in range(0, count, chunk)]
        return Rendered(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    except Exception as error:
        raise ParityError(f"{where}: the artefact cannot render {min(chunk, count)} rays: {error}") from error


def _view_checks(views: list[dict[str, Any]], tolerance: Tolerance) -> list[Check]:
    """The worst view of each kind against its limit; NaN counts as worst."""
    checks = []
    for name, limit in (("psnr_db", tolerance.psnr_db), ("ssim", tolerance.ssim)):
        worst = min(views, key=lambda view: (not np.isnan(view[name]), view[name]))
        checks.append(at_least(name, f"view {worst['view']}", worst[name], limit))
    for name, limit in _error_limits(tolerance):
        worst = max(views, key=lambda view: (np.isnan(view[name]), view[name]))
        checks.append(at_most(f"{name} error", f"view {worst['view']}", worst[name], limit))
    checks.append(equal("values not finite", "views", sum(view["non_finite"] for view in views), 0))
    return checks


def _ray_checks(where: str, found: Deviation, tolerance: Tolerance) -> list[Check]:
    checks = [
        at_most(f"{name} error", where, getattr(found, name), limit)
        for name, limit in _error_limits(tolerance)
    ]
    return [*checks, equal("values not finite", where, found.non_finite, 0)]


def _error_limits(tolerance: Tolerance) -> tuple[tuple[str, float], ...]:
    return (("rgb", tolerance.rgb), ("opacity", tolerance.opacity), ("depth", tolerance.depth))
