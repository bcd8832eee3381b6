"""One format of one export, step by step: written, opened again, measured, compared, and shipped."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from export.checks import Check
from export.formats.base import BuildsEngine, ChecksMachine, Format, Signature
from export.job.artefact import inspect_artefact
from export.job.config import ExportConfig
from export.job.graph import render_graph
from export.job.sample_budget import SampleBudget
from export.parity.gate import ParityGate, ParityReport, Progress
from export.parity.golden import golden_files
from export.parity.tolerances import tolerance_for
from export.renderer import Renderer
from export.repository.manifest import complete, embedded_manifest
from export.repository.publish import publish, staging, write_synced
from export.repository.report import REPORT_FILE, markdown
from export.repository.triton_config import CONFIG_FILE, write_model
from export.speed.profile import profile_artefact
from neurocity.checkpoint import Checkpoint
from neurocity.contract import MANIFEST_FILE, SceneManifest, to_json
from neurocity.errors import ExportError, NeuroCityError, ParityError


@dataclass(frozen=True, kw_only=True)
class FormatExport:
    """Everything that the export of one format needs; `run` does it.

    budget: the model's own figures for the manifest. fixed_budget: chooses the samples of a ray, asked by
    formats that take a fixed number.
    """

    target: Format
    checkpoint: Checkpoint
    config: ExportConfig
    gate: ParityGate
    budget: dict[str, float]
    fixed_budget: Callable[[], SampleBudget]
    progress: Progress

    def run(self) -> tuple[Path, SceneManifest]:
        """The shipped version's folder and manifest.

        Raises ParityError when the artefact is not equal to the model, UnsupportedError,
        MissingDependencyError or ExportError; nothing of the format is then in the repository.
        """
        target, config = self.target, self.config
        self._check_machine()
        tolerance = tolerance_for(target.name, config.precision)
        fixed = self.fixed_budget() if target.fixed_budget else None
        budget = self.budget | (fixed.record() if fixed else {})
        draft = embedded_manifest(self.checkpoint, config, target, budget)
        graph = self._graph(fixed)
        with staging(config.out) as folder:
            staged = folder / draft.model_name
            path = staged / str(config.version) / target.file_name
            path.parent.mkdir(parents=True)
            with self._step("writing"), _foreign_errors(ExportError, "the model could not be written"):
                write_synced(path, target.encode(graph, to_json(draft)))
            render, signature, file_checks = self._open(path, draft)
            profile = self._profile(path)
            rays_per_call = profile.get("rays_per_call", draft.rays_per_call)
            parity = self.gate.verify(render, tolerance, self._progress, rays_per_call=rays_per_call)
            try:
                require(parity.checks)
            except ParityError as error:
                raise (fixed.explain(error) if fixed else error) from None
            engine = self._build_engine(path, rays_per_call)
            proof = {
                "device": config.device,
                "checks_passed": len(file_checks) + len(parity.checks),
                **parity.record,
                **_proved_on(engine),
            }
            manifest = replace(
                complete(draft, path.read_bytes(), proof, engine),
                profile=profile,
                rays_per_call=rays_per_call,
                options=config.recorded(),
            )
            manifest = self._describe(path, manifest, signature, parity)
            return publish(staged, config.out, config_file=CONFIG_FILE, force=config.force), manifest

    def _check_machine(self) -> None:
        if isinstance(self.target, ChecksMachine):
            self.target.check_machine()
        if isinstance(self.target, BuildsEngine):
            self.target.check_engine(self.config)

    def _graph(self, fixed: SampleBudget | None) -> nn.Module:
        graph = render_graph(self.checkpoint.model, self.config.precision, fixed.samples if fixed else None)
        if self.target.triton.device_bound and self.config.device != "cpu":
            return copy.deepcopy(graph).to(self.config.device)
        return graph

    def _open(self, path: Path, draft: SceneManifest) -> tuple[Renderer, Signature, tuple[Check, ...]]:
        with _foreign_errors(ParityError, "the artefact could not be opened"):
            signature, checks = inspect_artefact(self.target, path, draft)
            require(checks)
            return self.target.open(path, self.config.device), signature, checks

    def _profile(self, path: Path) -> dict[str, Any]:
        """The artefact's profile; empty when it is not to be measured."""
        config = self.config
        if not config.profile_seconds:
            return {}
        with self._step("measuring speed"):
            return profile_artefact(
                self.target,
                path,
                self.checkpoint.info.views,
                device=config.device,
                rays_per_call=config.rays_per_call,
                seconds=config.profile_seconds,
            )

    def _build_engine(self, artefact: Path, rays_per_call: int) -> dict[str, Any]:
        """The record of the engine that was built beside the artefact; empty for a format without one."""
        if not isinstance(self.target, BuildsEngine):
            return {}
        config = replace(self.config, rays_per_call=rays_per_call)
        with (
            self._step("building the engine"),
            _foreign_errors(ExportError, "the engine could not be built"),
        ):
            return self.target.build_engine(artefact, config)

    def _describe(
        self, path: Path, manifest: SceneManifest, signature: Signature, parity: ParityReport
    ) -> SceneManifest:
        """Writes what stands beside the artefact; returns the manifest with the golden files in it."""
        golden, golden_contents = golden_files(self.gate.reference, self.checkpoint.info, parity.worst_view)
        manifest = replace(manifest, golden=golden)
        model_folder, target = path.parent.parent, self.target.triton
        require(write_model(model_folder, manifest, target, signature, instances=self.config.instances))
        texts = {MANIFEST_FILE: to_json(manifest).encode(), REPORT_FILE: markdown(manifest).encode()}
        for place, content in (texts | parity.pictures | golden_contents).items():
            (path.parent / place).parent.mkdir(exist_ok=True)
            write_synced(path.parent / place, content)
        return manifest

    def _progress(self, stage: str, done: int, total: int) -> None:
        self.progress(f"{self.target.name}: {stage}", done, total)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Shows a step that cannot tell how far it is."""
        self._progress(name, 0, 1)
        yield
        self._progress(name, 1, 1)


def require(checks: tuple[Check, ...]) -> None:
    """Raises ParityError that lists the checks which failed, if there are any."""
    if failed := [f"  {check}" for check in checks if not check.passed]:
        summary = f"{len(failed)} of {len(checks)} checks failed, nothing was shipped"
        raise ParityError("\n".join([summary, *failed]))


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
