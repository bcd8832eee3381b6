"""Checkpoint to verified models in a repository: the programmatic form of `neurocity-export`."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

from export.artefact import inspect_artefact
from export.checks import Check
from export.config import DEFAULT_RAYS_PER_CALL, ExportConfig
from export.format import BuildsEngine, ChecksMachine, Format
from export.golden import golden_files
from export.graph import render_graph
from export.manifest import complete, embedded_manifest
from export.parity import ParityGate, Progress
from export.photographs import Photographs
from export.profile import profile_artefact
from export.rays import view_rays
from export.reference import Reference
from export.registry import get_format
from export.report import REPORT_FILE, markdown
from export.repository import publish, refuse_overwrite, staging, write_synced
from export.sample_budget import SampleBudget, choose_budget
from export.source import open_checkpoint
from export.tolerances import tolerance_for
from export.triton import CONFIG_FILE, write_model
from neurocity.checkpoint import Checkpoint
from neurocity.contract import MANIFEST_FILE, SceneManifest, model_name, to_json
from neurocity.errors import ExportError, NeuroCityError, ParityError


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
        budget = _sample_budget(checkpoint, reference, progress)
        fixed_budget = cache(partial(choose_budget, reference, checkpoint.info, config.samples))
        outcomes = []
        for name in config.formats:
            try:
                outcomes.append(
                    _export_format(
                        name,
                        checkpoint,
                        config,
                        gate=gate,
                        budget=budget,
                        fixed_budget=fixed_budget,
                        progress=progress,
                    )
                )
            except NeuroCityError as error:
                outcomes.append(FormatOutcome(format=name, error=error))
    return ExportResult(outcomes=tuple(outcomes))


def _export_format(
    name: str,
    checkpoint: Checkpoint,
    config: ExportConfig,
    *,
    gate: ParityGate,
    budget: dict[str, float],
    fixed_budget: Callable[[], SampleBudget],
    progress: Progress,
) -> FormatOutcome:
    target = get_format(name)
    if isinstance(target, ChecksMachine):
        target.check_machine()
    tolerance = tolerance_for(name, config.precision)
    if isinstance(target, BuildsEngine):
        target.check_engine(config)
    fixed = None
    if target.fixed_budget:
        progress(f"{name}: counting the samples of a ray", 0, 1)
        fixed = fixed_budget()
        progress(f"{name}: counting the samples of a ray", 1, 1)
    graph = render_graph(checkpoint.model, config.precision, fixed.samples if fixed else None)
    if target.triton.device_bound and config.device != "cpu":
        graph = copy.deepcopy(graph).to(config.device)
    draft = embedded_manifest(checkpoint, config, target, budget | (fixed.record() if fixed else {}))
    with staging(config.out) as folder:
        staged = folder / draft.model_name
        path = staged / str(config.version) / target.file_name
        path.parent.mkdir(parents=True)
        progress(f"{name}: writing", 0, 1)
        with _foreign_errors(ExportError, "the model could not be written"):
            write_synced(path, target.encode(graph, to_json(draft)))
        progress(f"{name}: writing", 1, 1)

        with _foreign_errors(ParityError, "the artefact could not be opened"):
            signature, file_checks = inspect_artefact(target, path, draft)
            _require(file_checks)
            render = target.open(path, config.device)
        profile = _profile(target, path, checkpoint, config, progress)
        rays_per_call = profile.get("rays_per_call", draft.rays_per_call)
        parity = gate.verify(
            render,
            tolerance,
            lambda stage, done, total: progress(f"{name}: {stage}", done, total),
            rays_per_call=rays_per_call,
        )
        try:
            _require(parity.checks)
        except ParityError as error:
            raise (fixed.explain(error) if fixed else error) from None

        passed = {"device": config.device, "checks_passed": len(file_checks) + len(parity.checks)}
        engine = _build_engine(target, path, replace(config, rays_per_call=rays_per_call), progress)
        golden, golden_contents = golden_files(gate.reference, checkpoint.info, parity.worst_view)
        proof = passed | parity.record | _proved_on(engine)
        manifest = replace(
            complete(draft, path.read_bytes(), proof, engine),
            golden=golden,
            profile=profile,
            rays_per_call=rays_per_call,
            options=config.recorded(),
        )
        _require(write_model(staged, manifest, target.triton, signature, instances=config.instances))
        write_synced(path.parent / MANIFEST_FILE, to_json(manifest).encode())
        write_synced(path.parent / REPORT_FILE, markdown(manifest).encode())
        for place, content in (parity.pictures | golden_contents).items():
            (path.parent / place).parent.mkdir(exist_ok=True)
            write_synced(path.parent / place, content)
        shipped = publish(staged, config.out, config_file=CONFIG_FILE, force=config.force)
    return FormatOutcome(format=name, folder=shipped, manifest=manifest)


def _profile(
    target: Format, path: Path, checkpoint: Checkpoint, config: ExportConfig, progress: Progress
) -> dict[str, Any]:
    """The artefact's profile; empty when it is not to be measured."""
    if not config.profile_seconds:
        return {}
    progress(f"{target.name}: measuring speed", 0, 1)
    profile = profile_artefact(
        target,
        path,
        checkpoint.info.views,
        device=config.device,
        rays_per_call=config.rays_per_call,
        seconds=config.profile_seconds,
    )
    progress(f"{target.name}: measuring speed", 1, 1)
    return profile


def _build_engine(target: Format, artefact: Path, config: ExportConfig, progress: Progress) -> dict[str, Any]:
    """The record of the engine that was built beside the artefact; empty for a format without one."""
    if not isinstance(target, BuildsEngine):
        return {}
    progress(f"{target.name}: building the engine", 0, 1)
    with _foreign_errors(ExportError, "the engine could not be built"):
        record = target.build_engine(artefact, config)
    progress(f"{target.name}: building the engine", 1, 1)
    return record


def _proved_on(engine: dict[str, Any]) -> dict[str, Any]:
    """What the proof is of where there is an engine: the ONNX model that it was built from."""
    return {"proved_on": "onnxruntime", "engine_executed": engine["executed"]} if engine else {}


@contextmanager
def _foreign_errors(kind: type[NeuroCityError], what: str) -> Iterator[None]:
    """Whatever converters and runtimes raise, as `kind`; our own errors and the file system's pass."""
    try:
        yield
    except (NeuroCityError, OSError):
        raise
    except Exception as error:
        raise kind(f"{what}: {type(error).__name__}: {error}") from error


def _require(checks: tuple[Check, ...]) -> None:
    if failed := [f"  {check}" for check in checks if not check.passed]:
        summary = f"{len(failed)} of {len(checks)} checks failed, nothing was shipped"
        raise ParityError("\n".join([summary, *failed]))


def _refuse_overwrites(config: ExportConfig) -> None:
    for name in config.formats:
        model = model_name(config.name, name, config.precision)
        refuse_overwrite(config.out, model, config.version, force=config.force)


def _sample_budget(checkpoint: Checkpoint, reference: Reference, progress: Progress) -> dict[str, float]:
    """The model's own figures, and the share of all held-out rays that its budget cuts short."""
    truncated = total = 0
    views = checkpoint.info.views
    for index, view in enumerate(views):
        progress("counting truncated rays", index, len(views))
        rays = view_rays(view)
        truncated += reference.truncated_rays(rays)
        total += len(rays.origins)
    progress("counting truncated rays", len(views), len(views))
    sample_budget = cast(Callable[[], dict[str, float]], checkpoint.model.sample_budget)
    return {**sample_budget(), "truncated_ray_share": truncated / total}
