"""One job, step by step: an artefact is written, opened again, measured, compared, and shipped."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from export.bits import Bits
from export.checks import Check, equal, require
from export.format import (
    BuildsEngine,
    ForBrowsers,
    Format,
    Preview,
    Signature,
    WritesFolder,
    check_offered,
    foreign_errors,
    tolerance_of,
)
from export.job.job import Job
from export.job.manifest import embedded_manifest, with_engine
from export.job.sample_budget import SampleBudget, choose_budget
from export.job.source import render_graph
from export.parity.gate import ParityGate, ParityReport, Progress
from export.parity.golden import golden_files
from export.renderer import Painter, RayProfile, Renderer
from export.repository.publish import publish, staging
from export.repository.report import REPORT_FILE, markdown
from export.repository.triton_config import write_model
from export.speed.profile import profile_artefact
from neurocity.checkpoint import Checkpoint
from neurocity.contract import MANIFEST_FILE, ArtefactFile, SceneManifest, file_record, to_json
from neurocity.errors import ExportError, ParityError


@dataclass(frozen=True, kw_only=True)
class FormatExport:
    """Everything that a job needs; `run` does it."""

    job: Job
    target: Format
    checkpoint: Checkpoint
    gate: ParityGate
    progress: Progress

    def run(self) -> SceneManifest:
        """The manifest of the version that was shipped.

        Raises ParityError when the artefact is not equal to the model, UnsupportedError,
        MissingDependencyError or ExportError; nothing of the job is then in the repository.
        """
        job, target, info = self.job, self.target, self.checkpoint.info
        check_offered(target, type(self.checkpoint.model), job.precision, job.engine)
        fixed = choose_budget(self.gate.reference, info, job.samples) if target.fixed_budget else None
        draft = embedded_manifest(self.checkpoint, job, target, fixed.record() if fixed else {})
        graph = self._graph(fixed)
        with staging(job.out) as folder:
            model = folder / job.model_name
            path = model / str(job.version) / target.file_name
            path.parent.mkdir(parents=True)
            artefact, *others = self._write(path, graph, draft)
            render, signature, checks = self._open(path, draft)
            profile = self._profile(path)
            rays_per_call = profile.get("rays_per_call", draft.rays_per_call)
            parity = self._compare(render, fixed, rays_per_call)
            parity = self._compare_drawn(parity, path, graph, draft)
            engine = self._build_engine(path, rays_per_call)
            golden, files = golden_files(self.gate.reference, info, parity.worst_view)
            proof = {"device": job.device, "checks_passed": len(checks) + len(parity.checks), **parity.record}
            if engine:  # the figures are of the ONNX model that it was built from
                proof |= {"proved_on": "onnxruntime", "engine_executed": engine["executed"]}
            manifest = replace(
                draft,
                artefact=artefact,
                files=tuple(others),
                parity=proof,
                golden=golden,
                profile=profile,
                rays_per_call=rays_per_call,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                options=job.recorded(),
            )
            if engine:
                manifest = with_engine(manifest, engine)
            write_model(model, manifest, target.triton, signature)
            texts = {MANIFEST_FILE: to_json(manifest).encode(), REPORT_FILE: markdown(manifest).encode()}
            for name, content in (texts | parity.pictures | files).items():
                (path.parent / name).parent.mkdir(exist_ok=True)
                (path.parent / name).write_bytes(content)
            publish(model, job.out, force=job.force)
        return manifest

    def _graph(self, fixed: SampleBudget | None) -> nn.Module:
        graph = render_graph(self.checkpoint.model, self.job.precision, fixed.samples if fixed else None)
        if self.target.triton.device_bound and self.job.device != "cpu":
            return copy.deepcopy(graph).to(self.job.device)
        return graph

    def _write(self, path: Path, graph: nn.Module, draft: SceneManifest) -> list[ArtefactFile]:
        """The artefact at `path`, and what further files it has beside it."""
        target, manifest = self.target, to_json(draft)
        with self._step("writing"), foreign_errors(ExportError, "the model could not be written"):
            if isinstance(target, WritesFolder):
                files = target.encode_folder(graph, manifest, draft.inputs, Bits(*self.job.bits))
            else:
                files = {path.name: target.encode(graph, manifest, draft.inputs)}
        for name, content in files.items():
            (path.parent / name).parent.mkdir(exist_ok=True)
            (path.parent / name).write_bytes(content)
        return [
            file_record(name, files[name])
            for name in sorted(files, key=lambda name: (name != path.name, name))
        ]

    def _open(
        self, path: Path, draft: SceneManifest
    ) -> tuple[Renderer | Painter, Signature, tuple[Check, ...]]:
        """The artefact from its bytes on disk, what it declares, and the checks that it passed."""
        with foreign_errors(ParityError, "the artefact could not be opened"):
            signature, checks = inspect_artefact(self.target, path, draft)
            require(checks)
            return self.target.open(path, self.job.device), signature, checks

    def _profile(self, path: Path) -> dict[str, Any]:
        """The artefact's profile; empty when it is not to be measured."""
        job = self.job
        if not job.profile_seconds or isinstance(self.target, WritesFolder):
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

    def _compare(
        self, render: Renderer | Painter, fixed: SampleBudget | None, rays_per_call: int
    ) -> ParityReport:
        tolerance = tolerance_of(self.target, self.job.precision)
        if isinstance(render, Painter):
            assert isinstance(self.target, Preview), "nothing else paints"
            remarks = self.target.remarks(self.checkpoint.model)
            parity = self.gate.verify_preview(render, tolerance, self._progress, remarks)
        else:
            parity = self.gate.verify(render, tolerance, self._progress, rays_per_call=rays_per_call)
        try:
            parity.require(self.job.model_name)
        except ParityError as error:
            raise (fixed.explain(error) if fixed else error) from None
        return parity

    def _compare_drawn(
        self, parity: ParityReport, path: Path, graph: nn.Module, draft: SceneManifest
    ) -> ParityReport:
        """`parity` with the comparison of what users' own renderer draws, for a format that has one."""
        target = self.target
        if not isinstance(target, ForBrowsers):
            return parity
        views = self.gate.drawn_views(parity.worst_view)
        wanted = list(views.values())
        with (
            self._step("comparing what is drawn"),
            foreign_errors(ParityError, "the scene could not be drawn"),
        ):
            unquantised = target.draw_unquantised(graph, to_json(draft), wanted)
            shipped = target.draw_shipped(path, wanted)
        parity = self.gate.with_drawn(parity, views, unquantised=unquantised, shipped=shipped)
        parity.require(self.job.model_name)
        return parity

    def _build_engine(self, artefact: Path, rays_per_call: int) -> dict[str, Any]:
        """The record of the engine that was built beside the artefact; empty for a format without one."""
        if not isinstance(self.target, BuildsEngine):
            return {}
        rays = RayProfile.for_calls(rays_per_call)
        with (
            self._step("building the engine"),
            foreign_errors(ExportError, "the engine could not be built"),
        ):
            engine = self.target.build_engine(artefact, self.job.engine, rays)
        artefact.with_name(engine.record["file"]).write_bytes(engine.content)
        return engine.record

    def _progress(self, doing: str, done: int, total: int) -> None:
        self.progress(f"{self.job.label}: {doing}", done, total)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Shows a step that cannot tell how far it is."""
        self._progress(name, 0, 1)
        yield
        self._progress(name, 1, 1)


def inspect_artefact(
    target: Format, path: Path, manifest: SceneManifest
) -> tuple[Signature, tuple[Check, ...]]:
    """The signature that the file at `path` declares, and the checks of the file.

    The signature has to be the manifest's: its names in the form that the format's Triton backend wants,
    float32, and a ray axis that is really dynamic on every input and output. `manifest` is the one that was
    embedded and has to come out again.
    """
    where, signature = target.file_name, target.signature(path)
    expected = Signature.named(target.triton.naming, manifest.inputs, manifest.outputs)
    checks = [*target.inspect(path)]
    for kind, got, wanted in zip(("input", "output"), signature, expected, strict=True):
        checks.append(equal(f"{kind} count", where, len(got), len(wanted)))
        for index, specs in enumerate(zip(got, wanted, strict=False)):
            checks.append(equal(f"{kind} {index}", where, *map(str, specs)))
    kept = target.read_manifest(path) == to_json(manifest)
    checks.append(equal("manifest inside", where, "the same" if kept else "another", "the same"))
    return signature, tuple(checks)
