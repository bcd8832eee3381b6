"""The gate: an artefact, opened again from its bytes on disk, against the float32 eager model.

Compared are every held-out view as an image, the adversarial rays of `export.parity.rays`, and the artefact
with itself when its rays come again: twice, in other groups, one by one. Where the photographs are at hand,
the artefact may also not be further from them than the model is. Limits: `export.parity.tolerances`.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from export.checks import Check
from export.job.config import MAX_RAYS
from export.parity.compare import ask, compare_with_itself, ray_checks, repetition_checks, view_checks
from export.parity.metrics import Deviation, deviation, image_metrics
from export.parity.photographs import Photographs, compare_with_photograph, photograph_checks, summary
from export.parity.pictures import ErrorPictures
from export.parity.rays import PRIME, adversarial_rays, counted_rays, view_rays
from export.parity.tolerances import Tolerance
from export.renderer import Renderer
from neurocity.cameras import Rays
from neurocity.contract import SceneInfo
from neurocity.errors import ExportError
from neurocity.light import Light

if TYPE_CHECKING:
    from export.parity.reference import Reference

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


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
        self._diagonal = float(np.linalg.norm(np.subtract(info.bounds[3:], info.bounds[:3])))
        self._pool = view_rays(info.views[0])
        self._adversarial = adversarial_rays(info.bounds)
        self._expected: dict[str, Light] = {}

    def verify(
        self, render: Renderer, tolerance: Tolerance, progress: Progress, *, rays_per_call: int
    ) -> ParityReport:
        """All comparisons of an opened artefact with the model; views go in calls of `rays_per_call`.

        A deviation, however large, is a check that failed; ParityError is raised when the artefact cannot
        render a set of rays at all, or returns another shape than the model.
        """
        pictures = ErrorPictures(self._info.background)
        views, seconds = self._compare_views(render, progress, pictures, rays_per_call)
        sets = self._compare_sets(render, progress, rays_per_call)
        probe = counted_rays(self._pool, (PRIME,)).popitem()[1]
        repeated = compare_with_itself(render, probe, self._diagonal)
        checks = [
            *view_checks(views, tolerance),
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
        if self._photographs is not None:
            record["photographs"] = summary(views)
        worst = min(range(len(views)), key=lambda index: float(np.nan_to_num(views[index]["psnr_db"])))
        return ParityReport(checks=tuple(checks), record=record, pictures=pictures.files, worst_view=worst)

    def _compare_views(
        self, render: Renderer, progress: Progress, pictures: ErrorPictures, rays_per_call: int
    ) -> tuple[list[dict[str, Any]], float]:
        """Figures of each view, and the seconds that the artefact took for them together."""
        measured, seconds = [], 0.0
        views = self._info.views
        for index, view in enumerate(views):
            progress("comparing held-out views", index, len(views))
            expected = self.reference.render_view(index, view)
            rays = view_rays(view)
            started = time.perf_counter()
            got = ask(render, rays, f"view {view.name}", chunk=rays_per_call)
            seconds += time.perf_counter() - started
            found = deviation(got, expected, self._diagonal)
            figures = image_metrics(got.rgb, expected.rgb, view) | asdict(found)
            pictures.add(index, view, got, expected, figures["psnr_db"])
            pixel = list(divmod(found.worst_ray, view.width))
            row = {"view": view.name, "worst_pixel": pixel, **figures}
            if self._photographs is not None:
                row["photograph"] = self._against_photograph(
                    render, index, (got, expected), rays_per_call=rays_per_call
                )
            measured.append(row)
        progress("comparing held-out views", len(views), len(views))
        return measured, seconds

    def _against_photograph(
        self, render: Renderer, index: int, renders: tuple[Light, Light], *, rays_per_call: int
    ) -> dict[str, float]:
        """PSNR of artefact and model, whose `renders` of the view are given, against its photograph."""
        assert self._photographs is not None
        rays = self._photographs.rays(index)
        if rays is not None:  # taken through a lens that the view, a pinhole, knows nothing of
            got = ask(render, rays, f"photograph {index}", chunk=rays_per_call)
            renders = (got, self.reference.render(rays))
        return compare_with_photograph(*renders, self._photographs.image(index), self._info.background)

    def _compare_sets(self, render: Renderer, progress: Progress, rays_per_call: int) -> dict[str, Deviation]:
        """Errors by set: made to break a renderer, and calls of the sizes that stand at a bound."""
        counts = (1, 2, PRIME, rays_per_call, min(rays_per_call + 1, MAX_RAYS))
        sets = self._adversarial | counted_rays(self._pool, counts)
        found = {}
        for index, (name, rays) in enumerate(sets.items()):
            progress("comparing adversarial rays", index, len(sets))
            got = ask(render, rays, name, chunk=len(rays))
            found[name] = deviation(got, self._expect(name, rays), self._diagonal)
        progress("comparing adversarial rays", len(sets), len(sets))
        return found

    def _expect(self, name: str, rays: Rays) -> Light:
        """The model's answer to a set of rays, remembered for the next artefact."""
        if name not in self._expected:
            self._expected[name] = self.reference.render(rays)
        return self._expected[name]
