"""Does a job in this process: the checkpoint is loaded, and what was made of it shipped or refused."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from export.format import Preview
from export.formats.registry import get_format
from export.job.format_export import FormatExport
from export.job.job import Job
from export.job.outcome import Outcome
from export.job.resume import present_version
from export.job.source import open_checkpoint
from export.parity.gate import ParityGate, Progress
from export.parity.photographs import Photographs
from export.parity.reference import Reference
from export.renderer import DEFAULT_RAYS_PER_CALL
from neurocity.checkpoint import Checkpoint
from neurocity.errors import CheckpointError, NeuroCityError


def run_job(
    job: Job,
    progress: Progress = lambda *_: None,
    *,
    checkpoint: Checkpoint | None = None,
    kept_views: Path | None = None,
) -> Outcome:
    """Exports, verifies and ships, unless what is there already may stay; says what became of it.

    checkpoint: what is at `job.checkpoint`, where it is loaded already. kept_views: a folder for the model's
    renders of the held-out views, to share them with other jobs of the same checkpoint; see `Reference`.

    Errors of this project are told by the outcome. Nothing of a job that failed is in the repository.
    """
    started = time.monotonic()
    try:
        outcome = _run(job, progress, checkpoint, kept_views)
    except NeuroCityError as error:
        outcome = Outcome.failed(job, error, everywhere=True)
    return replace(outcome, seconds=time.monotonic() - started)


def _run(job: Job, progress: Progress, checkpoint: Checkpoint | None, kept_views: Path | None) -> Outcome:
    """Raises what all jobs with this checkpoint and these options would meet."""
    if checkpoint is None and not job.checkpoint.is_file():
        raise CheckpointError(f"{job.checkpoint}: no such file")
    try:
        present = present_version(job)
    except NeuroCityError as error:
        return Outcome.failed(job, error)
    if present is not None:
        return Outcome(job=job, status="kept", manifest=present)
    if checkpoint is None:
        progress("loading the checkpoint", 0, 1)
        checkpoint = open_checkpoint(job.checkpoint, job.cameras)
    rays_per_call = job.rays_per_call or DEFAULT_RAYS_PER_CALL
    with tempfile.TemporaryDirectory(prefix="neurocity-reference-") as own:
        kept = kept_views or Path(own)
        reference = Reference(checkpoint.model, device=job.device, rays_per_call=rays_per_call, kept=kept)
        photographs = None if job.data is None else Photographs(job.data, checkpoint.info)
        gate = ParityGate(reference, checkpoint.info, photographs=photographs)
        try:
            target = get_format(job.format)
            if isinstance(target, Preview):
                shown = reference.of(target.shown(checkpoint.model), "preview")
                gate = ParityGate(shown, checkpoint.info, photographs=photographs)
            export = FormatExport(job=job, target=target, checkpoint=checkpoint, gate=gate, progress=progress)
            return Outcome(job=job, status="shipped", manifest=export.run())
        except NeuroCityError as error:
            return Outcome.failed(job, error)
