"""The manifest of an artefact that is being made: what it is, what it came from, what was proved."""

import platform
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from export.format import Format
from export.job.job import Job
from export.renderer import DEFAULT_RAYS_PER_CALL
from neurocity.contract import ArtefactFile, SceneManifest, ray_inputs

if TYPE_CHECKING:
    from neurocity.checkpoint import Checkpoint


def embedded_manifest(
    checkpoint: "Checkpoint", job: Job, target: Format, fixed_budget: dict[str, float]
) -> SceneManifest:
    """The manifest as it stands inside the artefact, with `fixed_budget` beside the model's own figures.

    A file can hold neither its own hash nor the proof made from its final bytes: `artefact.sha256`,
    `artefact.bytes`, `parity`, `golden`, `profile`, `engine`, `options` and `created` are empty here, and
    `rays_per_call` is not yet the measured one. So equal checkpoints give equal bytes. `FormatExport.run`
    fills them in, all at once.
    """
    return SceneManifest(
        scene=job.name,
        version=job.version,
        family=checkpoint.family,
        format=target.name,
        precision=job.precision,
        checkpoint_sha256=checkpoint.sha256,
        artefact=ArtefactFile(name=target.file_name, sha256="", bytes=0),
        info=checkpoint.info,
        inputs=ray_inputs(bool(checkpoint.model.needs_ray_radii)),
        sample_budget=checkpoint.model.sample_budget() | fixed_budget,
        tools=tool_versions(target),
        rays_per_call=job.rays_per_call or DEFAULT_RAYS_PER_CALL,
    )


def with_engine(manifest: SceneManifest, engine: dict[str, Any]) -> SceneManifest:
    """The manifest with the record of another engine, whose library is among the tools."""
    others = {name: tool for name, tool in manifest.tools.items() if name != manifest.engine.get("library")}
    tools = {**others, engine["library"]: engine["library_version"]}
    return replace(manifest, engine=engine, tools=tools)


def tool_versions(target: Format) -> dict[str, str]:
    """Versions of Python, NeuroCity and the packages that shape an artefact of that format."""
    packages = {name: str(import_module(name).__version__) for name in ("numpy", *target.packages)}
    return {"python": platform.python_version(), "neurocity": version("neurocity"), **packages}
