"""What one export is asked to do."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from export.registry import format_names
from neurocity.errors import ConfigError

Precision = Literal["fp32", "fp16"]
MAX_RAYS = 1 << 20
"""Upper bound of the dynamic ray axis that the graph is traced with."""
MAX_SAMPLES = 1024
"""Samples of a ray in a graph of fixed budget at most; TensorRT's TopK takes fewer than 3,840 of them."""

_SCENE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Where and how a checkpoint is exported."""

    name: str
    """Scene name: lower-case letters, digits, `_` and `-`; the model folders are `<name>_<format>`."""
    out: Path = Path("model_repository")
    """The model repository to write into; it is created when absent."""
    formats: tuple[str, ...] = ("onnx", "torchscript")
    """Artefact formats, each verified on its own."""
    precision: Precision = "fp32"
    """fp16 stores features and runs networks in half precision; geometry and transmittance stay float32."""
    samples: int | None = None
    """Samples of a ray in formats with a fixed budget; without it, as many as the held-out views need."""
    engine: Literal["tensorrt", "tensorrt-rtx"] = "tensorrt-rtx"
    """What builds the engine of the format tensorrt: tensorrt-rtx needs no GPU for it; Triton's own backend
    takes what tensorrt builds, on the machine with the GPU."""
    version: int = 1
    """Version folder to write (1, 2, ...); the highest version is the one that is served."""
    force: bool = False
    """Replace the version if it is there already."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where model and artefact run while they are compared."""
    rays_per_call: int = 4096
    """The number of rays in one call that the manifest recommends, and the largest that is verified."""

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, on a value that cannot be met."""
        if not _SCENE_NAME.fullmatch(self.name):
            raise ConfigError(
                f"name: got {self.name!r}, expected lower-case letters, digits, '_' and '-', "
                "beginning with a letter or a digit (such as 'lego')"
            )
        if self.version < 1:
            raise ConfigError(f"version: got {self.version}, expected a whole number of at least 1")
        if self.samples is not None and not 1 <= self.samples <= MAX_SAMPLES:
            raise ConfigError(f"samples: got {self.samples}, expected 1 to {MAX_SAMPLES}")
        if not 1 <= self.rays_per_call <= MAX_RAYS:
            raise ConfigError(f"rays_per_call: got {self.rays_per_call}, expected 1 to {MAX_RAYS}")
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
