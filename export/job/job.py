"""One export: a checkpoint in one format and one precision, as plain data that goes to another process."""

import json
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args

from export.bits import Bits
from export.format import EngineName, Precision
from export.formats.registry import format_names
from export.renderer import MAX_RAYS
from neurocity.contract import model_name
from neurocity.contract_checks import require_scene_name
from neurocity.errors import ConfigError, ManifestError

MAX_PROFILE_SECONDS = 600.0
MAX_SAMPLES = 1024
"""Samples of a ray in a graph of fixed budget at most; TensorRT's TopK takes fewer than 3,840 of them."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What all jobs of one request have in common; each field is an option of the command line."""

    cameras: Path | None = None
    """Dataset with the held-out views, for a model of another program: its folder or its transforms.json."""
    samples: int | None = None
    """Samples of a ray in formats with a fixed budget; without it, as many as the held-out views need."""
    engine: EngineName = "tensorrt-rtx"
    """What builds the engine of the format tensorrt: tensorrt-rtx needs no GPU for it; Triton's own backend
    takes what tensorrt builds, on the machine with the GPU."""
    bits: tuple[int, int, int] = (8, 10, 6)
    """Bits of densities, of colours' constants and of their harmonics in the format web: up to 8 16 8, or
    32 32 32 for floats; more are closer to the model and take more bytes."""
    version: int = 1
    """Version folder to write (1, 2, ...); the highest version is the one that is served."""
    force: bool = False
    """Replace the version if it is there already."""
    instances: int = 1
    """Copies of the model that a Triton server runs side by side on each of its devices."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where model and artefact run while they are compared."""
    data: Path | None = None
    """The dataset that the checkpoint was trained on, to compare artefacts with its held-out photographs."""
    rays_per_call: int | None = None
    """The number of rays in one call that the manifest recommends; without it, the best that is measured."""
    profile_seconds: float = 4.0
    """About how long the speed of an artefact is measured; 0 leaves it unmeasured."""
    resume: bool = False
    """Keep versions that are there already, where checkpoint, options and tools are the same."""

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, on a value that cannot be met."""
        Bits(*self.bits)
        if self.version < 1:
            raise ConfigError(f"version: got {self.version}, expected a whole number of at least 1")
        if self.instances < 1:
            raise ConfigError(f"instances: got {self.instances}, expected at least 1")
        if self.samples is not None and not 1 <= self.samples <= MAX_SAMPLES:
            raise ConfigError(f"samples: got {self.samples}, expected 1 to {MAX_SAMPLES}")
        if not 0 <= self.profile_seconds <= MAX_PROFILE_SECONDS:
            raise ConfigError(
                f"profile_seconds: got {self.profile_seconds:g}, expected 0 to {MAX_PROFILE_SECONDS:g}"
            )
        if self.rays_per_call is not None and not 1 <= self.rays_per_call <= MAX_RAYS:
            raise ConfigError(f"rays_per_call: got {self.rays_per_call}, expected 1 to {MAX_RAYS}")


@dataclass(frozen=True, kw_only=True)
class Job(ExportOptions):
    """A checkpoint in one format and precision; `export.job.run` does it, here or in a process of its own."""

    checkpoint: Path
    out: Path = Path("model_repository")
    """The model repository to write into; it is created when absent."""
    name: str
    """Scene name: lower-case letters, digits, `_` and `-`; the model folders are `<name>_<format>`."""
    format: str
    precision: Precision = "fp32"
    """fp16 stores features and runs networks in half precision; geometry and transmittance stay float32."""

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, on a value that cannot be met."""
        super().__post_init__()
        try:
            require_scene_name("name", self.name)
        except ManifestError as error:
            raise ConfigError(str(error)) from None
        known = format_names()
        if self.format not in known:
            near = get_close_matches(self.format, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"formats: got {self.format!r}, known: {', '.join(known)}{hint}")
        if self.precision not in get_args(Precision):
            raise ConfigError(f"precision: got {self.precision!r}, known: {', '.join(get_args(Precision))}")

    @property
    def label(self) -> str:
        """How messages name the job: its format, with the precision behind unless it is fp32."""
        return self.format if self.precision == "fp32" else f"{self.format} {self.precision}"

    @property
    def model_name(self) -> str:
        """The model's folder in the repository."""
        return model_name(self.name, self.format, self.precision)

    @property
    def folder(self) -> Path:
        """The version folder that it writes."""
        return self.out / self.model_name / str(self.version)

    def recorded(self) -> dict[str, Any]:
        """The options that shape or prove an artefact, as plain JSON data; `--resume` compares them.

        Left out are where the artefact goes, how long it is measured, and what the manifest has in fields of
        its own.
        """
        names = ("cameras", "samples", "engine", "instances", "device", "data", "rays_per_call")
        values = {name: getattr(self, name) for name in names} | {"bits": list(self.bits)}
        return {name: value.name if isinstance(value, Path) else value for name, value in values.items()}

    def to_json(self) -> str:
        """The job as one JSON object; fields that have their default value are left out."""
        names = (field.name for field in fields(self) if getattr(self, field.name) != field.default)
        return json.dumps({name: getattr(self, name) for name in names}, default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of `to_json`. Raises ConfigError on anything else."""
        try:
            given = json.loads(text)
            paths = {name: Path(given[name]) for name in _PATHS if name in given}
            if "bits" in given:
                given["bits"] = tuple(given["bits"])
            return cls(**given | paths)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"job: got {text!r}, expected one JSON object of its fields ({error})"
            ) from None


_PATHS = ("checkpoint", "cameras", "out", "data")
