"""One job, step by step: an artefact is written, opened again, measured, compared, and shipped."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from export.checks import Check, require
from export.format import BuildsEngine, Format, Signature, check_offered, tolerance_of
from export.job.artefact import inspect_artefact
from export.job.graph import render_graph
from export.job.job import Job
from export.job.manifest import complete, embedded_manifest
from export.job.sample_budget import SampleBudget
from export.parity.gate import ParityGate, ParityReport, Progress
from export.parity.golden import golden_files
from export.ray_profile import RayProfile
from export.renderer import Renderer
from export.repository.publish import publish, staging
from export.repository.report import REPORT_FILE, markdown
from export.repository.triton_config import write_model
from export.speed.profile import profile_artefact
from neurocity.checkpoint import Checkpoint
from neurocity.contract import MANIFEST_FILE, SceneManifest, to_json
from neurocity.errors import EngineError, ExportError, NeuroCityError, ParityError


@dataclass(frozen=True, kw_only=True)
class _Artefact:
    """A file that was written and opened again: what it declares, and the checks that it passed."""

    path: Path
    render: Renderer
    signature: Signature
    checks: tuple[Check, ...]


@dataclass(frozen=True, kw_only=True)
class FormatExport:
    """Everything that a job needs; `run` does it.

    budget: the model's own figures for the manifest. fixed_budget: chooses the samples of a ray, asked by
    formats that take a fixed number.
    """

    job: Job
    target: Format
    checkpoint: Checkpoint
    gate: ParityGate
    budget: dict[str, float]
    fixed_budget: Callable[[], SampleBudget]
    progress: Progress

    def run(self) -> SceneManifest:
        """The manifest of the version that was shipped.

        Raises ParityError when the artefact is not equal to the model, UnsupportedError,
        MissingDependencyError or ExportError; nothing of the job is then in the repository.
        """
        job = self.job
        check_offered(self.target, job.precision, job.engine)
        fixed = self.fixed_budget() if self.target.fixed_budget else None
        budget = self.budget | (fixed.record() if fixed else {})
        draft = embedded_manifest(self.checkpoint, job, self.target, budget)
        graph = self._graph(fixed)
        with staging(job.out) as folder:
            staged = folder / job.model_name
            path = staged / str(job.version) / self.target.file_name
            path.parent.mkdir(parents=True)
            self._write(path, graph, draft)
            artefact = self._open(path, draft)
            profile = self._profile(path)
            draft = replace(draft, profile=profile)
            rays_per_call = profile.get("rays_per_call", draft.rays_per_call)
            parity = self._compare(artefact, fixed, rays_per_call)
            engine = self._build_engine(path, rays_per_call)
            manifest = self._complete(draft, artefact, parity, engine, rays_per_call)
            manifest = self._describe(artefact, manifest, parity)
            publish(staged, job.out, force=job.force)
        return manifest

    def _graph(self, fixed: SampleBudget | None) -> nn.Module:
        graph = render_graph(self.checkpoint.model, self.job.precision, fixed.samples if fixed else None)
        if self.target.triton.device_bound and self.job.device != "cpu":
            return copy.deepcopy(graph).to(self.job.device)
        return graph

    def _write(self, path: Path, graph: nn.Module, draft: SceneManifest) -> None:
        with self._step("writing"), _foreign_errors(ExportError, "the model could not be written"):
            path.write_bytes(self.target.encode(graph, to_json(draft), draft.inputs))

    def _open(self, path: Path, draft: SceneManifest) -> _Artefact:
        with _foreign_errors(ParityError, "the artefact could not be opened"):
            signature, checks = inspect_artefact(self.target, path, draft)
            require(checks)
            render = self.target.open(path, self.job.device)
        return _Artefact(path=path, render=render, signature=signature, checks=checks)

    def _profile(self, path: Path) -> dict[str, Any]:
        """The artefact's profile; empty when it is not to be measured."""
        job = self.job
        if not job.profile_seconds:
            return {}
        with self._step("measuring speed"):
            return profile_artefact(
                self.target,
                path,
                self.checkpoint.info.views,
                radii=self.gate.reference.takes_ray_radii,
                device=job.device,
                rays_per_call=job.rays_per_call,
                seconds=job.profile_seconds,
            )

    def _compare(self, artefact: _Artefact, fixed: SampleBudget | None, rays_per_call: int) -> ParityReport:
        tolerance = tolerance_of(self.target, self.job.precision)
        parity = self.gate.verify(artefact.render, tolerance, self._progress, rays_per_call=rays_per_call)
        try:
            parity.require(self.job.model_name)
        except ParityError as error:
            raise (fixed.explain(error) if fixed else error) from None
        return parity

    def _build_engine(self, artefact: Path, rays_per_call: int) -> dict[str, Any]:
        """The record of the engine that was built beside the artefact; empty for a format without one."""
        if not isinstance(self.target, BuildsEngine):
            return {}
        rays = RayProfile.for_calls(rays_per_call)
        with (
            self._step("building the engine"),
            _foreign_errors(ExportError, "the engine could not be built"),
        ):
            engine = self.target.build_engine(artefact, self.job.engine, rays)
            artefact.with_name(engine.record["file"]).write_bytes(engine.content)
        return engine.record

    def _complete(
        self,
        draft: SceneManifest,
        artefact: _Artefact,
        parity: ParityReport,
        engine: dict[str, Any],
        rays_per_call: int,
    ) -> SceneManifest:
        proof = {
            "device": self.job.device,
            "checks_passed": len(artefact.checks) + len(parity.checks),
            **parity.record,
            **_proved_on(engine),
        }
        manifest = complete(draft, artefact.path.read_bytes(), proof, engine)
        return replace(manifest, rays_per_call=rays_per_call, options=self.job.recorded())

    def _describe(self, artefact: _Artefact, manifest: SceneManifest, parity: ParityReport) -> SceneManifest:
        """Writes what stands beside the artefact; returns the manifest with the golden files in it."""
        golden, golden_contents = golden_files(self.gate.reference, self.checkpoint.info, parity.worst_view)
        manifest = replace(manifest, golden=golden)
        folder, target, signature = artefact.path.parent, self.target.triton, artefact.signature
        require(write_model(folder.parent, manifest, target, signature, instances=self.job.instances))
        texts = {MANIFEST_FILE: to_json(manifest).encode(), REPORT_FILE: markdown(manifest).encode()}
        for place, content in (texts | parity.pictures | golden_contents).items():
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_bytes(content)
        return manifest

    def _progress(self, doing: str, done: int, total: int) -> None:
        self.progress(f"{self.job.label}: {doing}", done, total)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Shows a step that cannot tell how far it is."""
        self._progress(name, 0, 1)
        yield
        self._progress(name, 1, 1)


def _proved_on(engine: dict[str, Any]) -> dict[str, Any]:
    """What the proof is of where there is an engine: the ONNX model that it was built from."""
    return {"proved_on": "onnxruntime", "engine_executed": engine["executed"]} if engine else {}


@contextmanager
def _foreign_errors(kind: type[NeuroCityError], what: str) -> Iterator[None]:
    """Whatever converters and runtimes raise, as `kind`; our own errors and the file system's pass."""
    try:
        yield
    except EngineError as error:  # what a runtime raised, in our words
        raise kind(f"{what}: {error}") from error
    except (NeuroCityError, OSError):
        raise
    except Exception as error:
        raise kind(f"{what}: {type(error).__name__}: {error}") from error
