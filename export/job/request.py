"""What `neurocity-export` is asked for on the command line, and the jobs that it takes."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from export.format import Precision
from export.formats.registry import format_names
from export.job.job import ExportOptions, Job
from neurocity.errors import ConfigError

ALL = "all"
"""Stands for every known format."""
_CHECKPOINT_FOLDER = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class ExportRequest(ExportOptions):
    """The command line."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint (.ckpt) of `neurocity train`, or a model.pt of NVlabs' SVRaster with --cameras."""
    out: str = "model_repository"
    """The model repository to write into, a folder, which is created when absent, or the URL of object
    storage, such as s3://bucket/prefix."""
    name: str | None = None
    """Scene name: lower-case letters, digits, `_` and `-`; when absent, that of the run's folder."""
    formats: tuple[str, ...] = ("onnx", "torchscript")
    """Artefact formats, each verified on its own; `all` stands for all that are known."""
    precision: tuple[Precision, ...] = ("fp32",)
    """Precisions, each format in each; fp16 halves features and networks, geometry stays float32."""
    fail_fast: bool = False
    """Stop at the first failure; without it, the other formats are exported all the same."""
    json: bool = False
    """Print one JSON document with all outcomes, and messages on standard error."""

    def jobs(self, out: Path | None = None) -> tuple[Job, ...]:
        """A job for every format in every precision. out: the folder to write into, where `self.out` is none.

        Raises ConfigError on a value that cannot be met.
        """
        if ALL in self.formats and len(self.formats) > 1:
            raise ConfigError(f"formats: got {' '.join(self.formats)}, expected {ALL!r} alone")
        if not self.formats:
            raise ConfigError(f"formats: got none, expected some of: {', '.join(format_names())}")
        if len(set(self.formats)) != len(self.formats):
            raise ConfigError(f"formats: got {' '.join(self.formats)}, expected each format once")
        if not self.precision or len(set(self.precision)) != len(self.precision):
            raise ConfigError(f"precision: got {' '.join(self.precision) or 'none'}, expected each once")
        name = scene_name(self.checkpoint) if self.name is None else self.name
        shared = {field.name: getattr(self, field.name) for field in fields(ExportOptions)}
        return tuple(
            Job(
                checkpoint=self.checkpoint,
                out=out or Path(self.out),
                name=name,
                format=format_name,
                precision=precision,
                **shared,
            )
            for format_name in (format_names() if self.formats == (ALL,) else self.formats)
            for precision in self.precision
        )


def scene_name(checkpoint: Path) -> str:
    """The scene's name after the folder of the run, `runs/<name>/checkpoints/last.ckpt`, or else the file.

    Raises ConfigError when nothing of it can stand in a name.
    """
    path = checkpoint.absolute()
    in_a_run = path.parent.name == _CHECKPOINT_FOLDER
    written = path.parent.parent.name if in_a_run else path.stem
    name = re.sub(r"[^a-z0-9_-]+", "-", written.lower()).strip("-_")
    if not name:
        raise ConfigError(f"name: nothing of {written!r} can stand in a scene's name; give one with --name")
    return name
