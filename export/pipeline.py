"""Checkpoint to verified models in a repository: the programmatic form of `neurocity-export`."""

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from export.config import DEFAULT_RAYS_PER_CALL, ExportConfig
from export.format_export import FormatExport
from export.parity import ParityGate, Progress
from export.photographs import Photographs
from export.reference import Reference
from export.registry import get_format
from export.repository import refuse_overwrite
from export.sample_budget import choose_budget
from export.source import open_checkpoint
from neurocity.checkpoint import Checkpoint
from neurocity.contract import SceneManifest, model_name
from neurocity.errors import NeuroCityError


@dataclass(frozen=True, kw_only=True)
class FormatOutcome:
    """What became of one format: `folder` and `manifest` when it was shipped, `error` when it was not."""

    format: str
    folder: Path | None = None
    manifest: SceneManifest | None = None
    error: NeuroCityError | None = None


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """Outcomes in the order of the formats that were asked for."""

    outcomes: tuple[FormatOutcome, ...]

    @property
    def errors(self) -> tuple[NeuroCityError, ...]:
        """Why formats were not shipped; empty when all were."""
        return tuple(outcome.error for outcome in self.outcomes if outcome.error is not None)


def silent(_stage: str, _done: int, _total: int) -> None:
    """The progress callback that shows nothing."""


def export_checkpoint(
    path: Path, config: ExportConfig, progress: Progress = silent, *, kept_views: Path | None = None
) -> ExportResult:
    """Exports the checkpoint at `path`; see `export_model`. Raises as `open_checkpoint` does."""
    _refuse_overwrites(config)
    progress("loading the checkpoint", 0, 1)
    return export_model(open_checkpoint(path, config.cameras), config, progress, kept_views=kept_views)


def export_model(
    checkpoint: Checkpoint,
    config: ExportConfig,
    progress: Progress = silent,
    *,
    kept_views: Path | None = None,
) -> ExportResult:
    """Writes, verifies and ships each format of `config`; one that fails does not stop the others.

    kept_views: a folder for the model's renders of the held-out views, to share them with other exports of
    the same checkpoint; see `Reference`.

    A format's failure is its outcome's `error`: ParityError when the artefact is not equal to the model,
    UnsupportedError, MissingDependencyError or ExportError. Nothing of that format is then in the repository.
    Raises ExportError when a version exists (without `force`) or the scene has no held-out view, DataError
    when `data` is not the dataset of the checkpoint, and MissingDependencyError when the device is absent;
    nothing is written then.
    """
    _refuse_overwrites(config)
    rays_per_call = config.rays_per_call or DEFAULT_RAYS_PER_CALL
    device, model = config.device, checkpoint.model
    with Reference(model, device=device, rays_per_call=rays_per_call, kept=kept_views) as reference:
        photographs = None if config.data is None else Photographs(config.data, checkpoint.info)
        gate = ParityGate(reference, checkpoint.info, photographs=photographs)
        fixed_budget = cache(partial(choose_budget, reference, checkpoint.info, config.samples))
        outcomes = []
        for name in config.formats:
            try:
                one = FormatExport(
                    target=get_format(name),
                    checkpoint=checkpoint,
                    config=config,
                    gate=gate,
                    budget=model.sample_budget(),
                    fixed_budget=fixed_budget,
                    progress=progress,
                )
                folder, manifest = one.run()
                outcomes.append(FormatOutcome(format=name, folder=folder, manifest=manifest))
            except NeuroCityError as error:
                outcomes.append(FormatOutcome(format=name, error=error))
    return ExportResult(outcomes=tuple(outcomes))


def _refuse_overwrites(config: ExportConfig) -> None:
    for name in config.formats:
        model = model_name(config.name, name, config.precision)
        refuse_overwrite(config.out, model, config.version, force=config.force)
