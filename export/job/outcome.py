"""What became of a job, in one form: for whoever called, for the console, and as JSON."""

import json
import shlex
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from export.job.inspect import worst_figures
from export.job.job import Job
from neurocity.contract import SceneManifest, manifest_from_json, to_dict
from neurocity.errors import NeuroCityError
from neurocity.exit_codes import exit_code


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job.

    status: `kept` means that the version was there already and is what the job would have made.
    manifest: of the version, where it was shipped or kept.
    error: why it was not, with the name of the error's class in `error_kind`; or empty.
    exit_code: what the error stands for, 0 without one.
    place: where the version is, for people; empty for the job's folder.
    everywhere: the failure has nothing to do with the format, so that other jobs would fail likewise.
    """

    job: Job
    status: Literal["shipped", "kept", "failed", "not run"]
    manifest: SceneManifest | None = None
    error: str = ""
    error_kind: str = ""
    exit_code: int = 0
    place: str = ""
    everywhere: bool = False
    seconds: float = 0.0

    @classmethod
    def failed(cls, job: Job, error: NeuroCityError, *, everywhere: bool = False) -> Self:
        """The outcome of a job that ended with an error."""
        return cls(
            job=job,
            status="failed",
            error=str(error),
            error_kind=type(error).__name__,
            exit_code=exit_code(error),
            everywhere=everywhere,
        )

    @property
    def where(self) -> str:
        """The folder of the version, or its URL."""
        return self.place or str(self.job.folder)

    def to_json(self) -> str:
        """The outcome in one line, without its job."""
        values = {name: value for name, value in vars(self).items() if name != "job"}
        manifest = None if self.manifest is None else to_dict(self.manifest)
        return json.dumps(values | {"manifest": manifest})

    @classmethod
    def from_json(cls, job: Job, text: str) -> Self:
        """Inverse of `to_json`."""
        values = json.loads(text)
        if values["manifest"] is not None:
            values["manifest"] = manifest_from_json(json.dumps(values["manifest"]), str(job.folder))
        return cls(job=job, **values)

    def record(self) -> dict[str, Any]:
        """The outcome as it stands in the document of `neurocity-export --json`."""
        job, manifest = self.job, self.manifest
        error = {"kind": self.error_kind, "message": self.error, "exit_code": self.exit_code}
        return {
            "scene": job.name,
            "format": job.format,
            "precision": job.precision,
            "version": job.version,
            "status": self.status,
            "seconds": round(self.seconds, 2),
            "command": repeat_command(job),
            "folder": None if manifest is None else self.where,
            "figures": None if manifest is None else worst_figures(manifest),
            "artefact": None if manifest is None else asdict(manifest.artefact),
            "error": error if self.error else None,
        }


def repeat_command(job: Job) -> str:
    """The command line that repeats a job alone and in the foreground."""
    return shlex.join(["python", "-X", "faulthandler", "-m", "export.job", job.to_json()])
