"""Pass or refuse: an artefact, opened again from its bytes on disk, against the float32 eager model.

Compared are every held-out view as an image, the adversarial rays of `export.parity.rays`, and the artefact
with itself when its rays come again: twice, in other groups, one by one. A graph that takes the radii of
cones is also compared in smaller pictures of the views, where they count most. Where the photographs are at
hand, the artefact may not be further from them than the model is. Of a preview, which is drawn and takes no
rays, pictures of held-out views are compared alone. Limits: `export.parity.tolerances`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.checks import Check, require
from export.parity.compare import (
    ask,
    compare_with_itself,
    ray_checks,
    repetition_checks,
    view_checks,
    view_figures,
)
from export.parity.drawn import shipped_figures, unquantised_figures
from export.parity.golden import chosen_views, golden_view
from export.parity.metrics import too_small_for_ssim
from export.parity.photographs import Photographs, compare_with_photograph, photograph_checks, summary
from export.parity.pictures import ErrorPictures, keep_pictures
from export.parity.rays import PRIME, SCALES, adversarial_rays, counted_rays, scaled_view, view_rays
from export.parity.tolerances import Tolerance
from export.renderer import MAX_RAYS, Drawn, Painter, Renderer
from neurocity.cameras import Rays
from neurocity.contract import SceneInfo, View
from neurocity.deviation import Deviation, deviation, scene_diagonal
from neurocity.errors import ExportError, ParityError, UnsupportedError
from neurocity.light import Light

if TYPE_CHECKING:
    from export.parity.reference import Reference

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""
PREVIEW_VIEWS: Final = 16
"""Held-out views that a preview is compared in at most, evenly among all: painting takes seconds."""
_Ask = Callable[[Rays, str], Light]
"""The artefact's light of rays, which the text names."""


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """The checks, and the figures behind them as the manifest keeps them (plain JSON data).

    pictures: of the errors, PNG files by their path in the version folder.
    worst_view: index of the view with the lowest PSNR.
    """

    checks: tuple[Check, ...]
    record: dict[str, Any]
    pictures: dict[str, bytes] = field(repr=False)
    worst_view: int

    def require(self, model: str) -> None:
        """Raises ParityError that lists the failed checks of `model`, and names the folder of pictures."""
        try:
            require(self.checks)
        except ParityError as error:
            try:
                place = f"pictures of what differs are in {keep_pictures(self.pictures, model)}"
            except OSError as reason:
                place = f"pictures of what differs cannot be kept: {reason}"
            raise ParityError(f"{error}\n  {place}") from None


class ParityGate:
    """Compares artefacts with one model; `verify` is called once for each artefact.

    Raises ExportError when the scene has no held-out view to compare on.
    """

    def __init__(
        self, reference: "Reference", info: SceneInfo, *, photographs: Photographs | None = None
    ) -> None:
        if not info.views:
            raise ExportError(
                "the checkpoint holds no held-out views, so no artefact can be compared with the model; "
                "train with a dataset that has a validation or test split"
            )
        self.reference = reference
        self._info = info
        self._photographs = photographs
        self._diagonal = scene_diagonal(info.bounds)
        self._radii = reference.takes_ray_radii
        self._pool = view_rays(info.views[0], radii=self._radii)

    def verify(
        self, render: Renderer, tolerance: Tolerance, progress: Progress, *, rays_per_call: int
    ) -> ParityReport:
        """All comparisons of an opened artefact with the model; views go in calls of `rays_per_call`.

        A deviation, however large, is a check that failed; ParityError is raised when the artefact cannot
        render a set of rays at all, or returns another shape than the model.
        """
        pictures = ErrorPictures(self._info.background)
        ask_views: _Ask = partial(ask, render, chunk=rays_per_call)
        views, seconds = self._compare_views(ask_views, progress, pictures)
        scales, skipped = self._compare_scales(ask_views, progress, pictures)
        sets = self._compare_sets(render, progress, rays_per_call)
        probe = counted_rays(self._pool, (PRIME,)).popitem()[1]
        repeated = compare_with_itself(render, probe, self._diagonal)
        checks = [
            *view_checks(views, tolerance),
            *(view_checks(scales, tolerance) if scales else ()),
            *photograph_checks(views, tolerance),
            *(check for name, found in sets.items() for check in ray_checks(name, found, tolerance)),
            *repetition_checks(repeated, tolerance),
        ]
        record = {
            "tolerance": asdict(tolerance),
            "views": views,
            "rays": [{"rays": name, **asdict(found)} for name, found in sets.items()],
            "invariance": [{"rays": name, "change": found} for name, found in repeated.items()],
            "rays_per_second": round(sum(view.width * view.height for view in self._info.views) / seconds),
        }
        if self._radii:
            record |= {"scales": scales, "skipped_scales": skipped}
        if self._photographs is not None:
            record["photographs"] = summary(views)
        worst = min(range(len(views)), key=lambda index: float(np.nan_to_num(views[index]["psnr_db"])))
        return ParityReport(checks=tuple(checks), record=record, pictures=pictures.files, worst_view=worst)

    def verify_preview(
        self, painter: Painter, tolerance: Tolerance, progress: Progress, remarks: tuple[str, ...]
    ) -> ParityReport:
        """The comparison of what is painted of held-out views with the model's pictures.

        remarks: sentences for the report. Raises UnsupportedError as `_preview_views`.
        """
        pictures = ErrorPictures(self._info.background)
        rows, seconds = [], 0.0
        views = self._preview_views()
        for done, (index, view) in enumerate(views.items()):
            progress("comparing held-out views", done, len(views))
            started = time.perf_counter()
            got = painter.paint(view)
            seconds += time.perf_counter() - started
            row = self._compare_view(index, view, got, pictures)
            if self._photographs is not None:
                expected, photograph = self.reference.render_view(index, view), self._photographs.image(index)
                row["photograph"] = compare_with_photograph(got, expected, photograph, self._info.background)
            rows.append({"width": view.width, "height": view.height, **row})
        progress("comparing held-out views", len(views), len(views))
        record = {
            "tolerance": asdict(tolerance),
            "views": rows,
            "rays": [],
            "invariance": [],
            "rays_per_second": round(sum(view.width * view.height for view in views.values()) / seconds),
            "preview": {"by": painter.by, "held_out": len(self._info.views), "remarks": list(remarks)},
        }
        if self._photographs is not None:
            record["photographs"] = summary(rows)
        lowest = dict(zip((row["psnr_db"] for row in reversed(rows)), reversed(views), strict=True))
        checks = (*view_checks(rows, tolerance), *photograph_checks(rows, tolerance))
        return ParityReport(
            checks=checks, record=record, pictures=pictures.files, worst_view=lowest[min(lowest)]
        )

    def _preview_views(self) -> dict[int, View]:
        """The held-out views, by their index, that a preview is compared in: in the size of golden files, or
        in that of their photographs, where these are at hand.

        Raises UnsupportedError where photographs show what a preview does not.
        """
        views = self._info.views
        chosen = sorted({index * len(views) // PREVIEW_VIEWS for index in range(PREVIEW_VIEWS)})
        if self._photographs is None:
            return {index: golden_view(views[index]) for index in chosen}
        lenses = any(self._photographs.rays(index) is not None for index in chosen)
        if lenses or self._info.background is None:
            shown = "were taken through a lens" if lenses else "show the sky"
            raise UnsupportedError(
                f"a preview cannot be compared with photographs that {shown}, which it does not; export it "
                "without --data"
            )
        return {index: views[index] for index in chosen}

    def drawn_views(self, worst_view: int) -> dict[int, View]:
        """The held-out views, by their index, that users' own renderer draws; `worst_view` is among them."""
        views = self._info.views
        return {index: golden_view(views[index]) for index in chosen_views(len(views), worst_view)}

    def with_drawn(
        self, report: ParityReport, views: Mapping[int, View], *, unquantised: Drawn, shipped: Drawn
    ) -> ParityReport:
        """The report with what was drawn of these views: of the model without quantisation, and of the files
        that the report is of."""
        expected = [self.reference.render_view(index, view) for index, view in views.items()]
        tolerance = Tolerance(**report.record["tolerance"])
        found = {
            "unquantised": unquantised_figures(views, unquantised, expected),
            "shipped": shipped_figures(views, shipped, expected, self._info, tolerance),
        }
        checks = [check for checks, _ in found.values() for check in checks]
        records = {name: record for name, (_, record) in found.items()}
        return replace(report, checks=(*report.checks, *checks), record=report.record | records)

    def _compare_views(
        self, ask_views: _Ask, progress: Progress, pictures: ErrorPictures
    ) -> tuple[list[dict[str, Any]], float]:
        """Figures of each view, and the seconds that the artefact took for them together."""
        rows, seconds = [], 0.0
        views = self._info.views
        for index, view in enumerate(views):
            progress("comparing held-out views", index, len(views))
            started = time.perf_counter()
            got = ask_views(view_rays(view, radii=self._radii), f"view {view.name}")
            seconds += time.perf_counter() - started
            row = self._compare_view(index, view, got, pictures)
            if self._photographs is not None:
                renders = (got, self.reference.render_view(index, view))
                row["photograph"] = self._against_photograph(ask_views, index, renders)
            rows.append(row)
        progress("comparing held-out views", len(views), len(views))
        return rows, seconds

    def _compare_scales(
        self, ask_views: _Ask, progress: Progress, pictures: ErrorPictures
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Figures of smaller pictures of each view, and what is too small for any.

        Nothing where the model takes no radii: its answer to a ray is then the same at every size.
        """
        rows: list[dict[str, Any]] = []
        skipped: list[str] = []
        smaller = [
            (i, scaled_view(view, scale)) for i, view in enumerate(self._info.views) for scale in SCALES
        ]
        for done, (index, view) in enumerate(smaller if self._radii else ()):
            progress("comparing smaller views", done, len(smaller))
            if reason := too_small_for_ssim(view):
                skipped.append(reason)
                continue
            got = ask_views(view_rays(view, radii=True), f"view {view.name}")
            row = self._compare_view(index, view, got, pictures)
            rows.append({"width": view.width, "height": view.height, **row})
        if self._radii:
            progress("comparing smaller views", len(smaller), len(smaller))
        return rows, skipped

    def _compare_view(self, index: int, view: View, got: Light, pictures: ErrorPictures) -> dict[str, Any]:
        """Figures and pictures of an artefact's view."""
        expected = self.reference.render_view(index, view)
        figures = view_figures(view, got, expected, self._diagonal)
        pictures.add(index, view, got, expected, figures["psnr_db"])
        return figures

    def _against_photograph(
        self, ask_views: _Ask, index: int, renders: tuple[Light, Light]
    ) -> dict[str, float]:
        """PSNR of artefact and model, whose `renders` of the view are given, against its photograph."""
        assert self._photographs is not None
        rays = self._photographs.rays(index, radii=self._radii)
        if rays is not None:  # taken through a lens that the view, a pinhole, knows nothing of
            renders = (ask_views(rays, f"photograph {index}"), self.reference.render(rays))
        return compare_with_photograph(*renders, self._photographs.image(index), self._info.background)

    def _compare_sets(self, render: Renderer, progress: Progress, rays_per_call: int) -> dict[str, Deviation]:
        """Errors by set: made to break a renderer, and calls of the sizes that stand at a bound."""
        counts = (1, 2, PRIME, rays_per_call, min(rays_per_call + 1, MAX_RAYS))
        sets = adversarial_rays(self._info.bounds, radii=self._radii) | counted_rays(self._pool, counts)
        found = {}
        for index, (name, rays) in enumerate(sets.items()):
            progress("comparing adversarial rays", index, len(sets))
            got = ask(render, rays, name, chunk=len(rays))
            found[name] = deviation(got, self.reference.render(rays), self._diagonal)
        progress("comparing adversarial rays", len(sets), len(sets))
        return found
