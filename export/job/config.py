"""What one export is asked to do."""

import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from export.formats.registry import format_names
from neurocity.errors import ConfigError

Precision = Literal["fp32", "fp16"]
MAX_RAYS = 1 << 20
"""Upper bound of the dynamic ray axis that the graph is traced with."""
DEFAULT_RAYS_PER_CALL = 4096
"""What is recommended as the rays of one call when nothing was measured."""
MAX_PROFILE_SECONDS = 600.0
MAX_SAMPLES = 1024
"""Samples of a ray in a graph of fixed budget at most; TensorRT's TopK takes fewer than 3,840 of them."""

_SCENE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What all artefacts of one export have in common; each field is an option of the command line."""

    cameras: Path | None = None
    """Dataset with the held-out views, for a model of another program: its folder or its transforms.json."""
    out: Path = Path("model_repository")
    """The model repository to write into; it is created when absent."""
    samples: int | None = None
    """Samples of a ray in formats with a fixed budget; without it, as many as the held-out views need."""
    engine: Literal["tensorrt", "tensorrt-rtx"] = "tensorrt-rtx"
    """What builds the engine of the format tensorrt: tensorrt-rtx needs no GPU for it; Triton's own backend
    takes what tensorrt builds, on the machine with the GPU."""
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

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, on a value that cannot be met."""
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
class ExportConfig(ExportOptions):
    """Where and how a checkpoint is exported, in one precision."""

    name: str
    """Scene name: lower-case letters, digits, `_` and `-`; the model folders are `<name>_<format>`."""
    formats: tuple[str, ...] = ("onnx", "torchscript")
    """Artefact formats, each verified on its own."""
    precision: Precision = "fp32"
    """fp16 stores features and runs networks in half precision; geometry and transmittance stay float32."""

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, on a value that cannot be met."""
        super().__post_init__()
        if not _SCENE_NAME.fullmatch(self.name):
            raise ConfigError(
                f"name: got {self.name!r}, expected lower-case letters, digits, '_' and '-', "
                "beginning with a letter or a digit (such as 'lego')"
            )
        known = format_names()
        if not self.formats:
            raise ConfigError(f"formats: got none, expected some of: {', '.join(known)}")
        if len(set(self.formats)) != len(self.formats):
            raise ConfigError(f"formats: got {' '.join(self.formats)}, expected each format once")
        for name in self.formats:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"formats: got {name!r}, known: {', '.join(known)}{hint}")

    def recorded(self) -> dict[str, Any]:
        """The options that shape or prove an artefact, as plain JSON data; `--resume` compares them.

        Left out is what only says where the artefact goes, and what the manifest has in fields of its own.
        """
        found = asdict(self)
        for name in ("out", "force", "name", "version", "formats", "precision", "profile_seconds"):
            del found[name]
        return {name: value.name if isinstance(value, Path) else value for name, value in found.items()}
