"""What a format is: it writes artefacts, opens them, and knows how Triton calls them.

A format is one module in `export/formats/` with an instance of this protocol named `FORMAT`. Nothing else
has to be edited for a new one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from export.checks import Check
from export.renderer import Renderer
from neurocity.contract import TensorSpec

if TYPE_CHECKING:
    from torch import nn

    from export.job.config import ExportConfig


class Signature(NamedTuple):
    """Inputs and outputs as an artefact itself declares them, under the names that Triton uses."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonTarget:
    """How Triton runs an artefact.

    platform: where the backend has several (else empty). file_name: what is loaded, when it is not the
    artefact itself. accelerator: of the onnxruntime backend (else empty). device_bound: whether it runs only
    on the kind of device that the model given to `Format.encode` is on.
    """

    backend: str
    platform: str = ""
    file_name: str = ""
    accelerator: str = ""
    device_bound: bool = False


class Format(Protocol):
    """One artefact format.

    name: its name on the command line and in `<scene>_<format>`.
    file_name: the artefact's file in a version folder.
    triton: what runs it there.
    packages: modules whose versions shape the artefact (recorded in the manifest).
    fixed_budget: whether it takes the graph with a fixed number of samples a ray, which has no shape that
        depends on values, instead of the packed one.
    """

    name: str
    file_name: str
    triton: TritonTarget
    packages: tuple[str, ...]
    fixed_budget: bool

    def encode(self, model: "nn.Module", manifest_json: str) -> bytes:
        """The artefact of `model` (eval mode; on the CPU unless device-bound) with `manifest_json` inside.

        Raises UnsupportedError when the model uses what the format cannot express.
        """

    def open(self, path: Path, device: str) -> Renderer:
        """The artefact at `path`, ready to render on `device` ("cpu" or "cuda") and nowhere else."""

    def signature(self, path: Path) -> Signature:
        """Inputs and outputs read from the artefact, `rays` standing for the dynamic axis."""

    def read_manifest(self, path: Path) -> str:
        """The manifest JSON inside the artefact. Raises ManifestError when it carries none."""

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        """Bytes of each stored tensor by its name; empty when the format keeps that to itself."""

    def inspect(self, path: Path) -> tuple[Check, ...]:
        """What must hold for the file itself, whatever it computes (versions, no random operators, ...)."""


@runtime_checkable
class ChecksMachine(Protocol):
    """A format that needs more of a machine than the packages that its module imports."""

    def check_machine(self) -> None:
        """Raises MissingDependencyError or UnsupportedError when artefacts cannot be written here."""


@runtime_checkable
class BuildsEngine(Protocol):
    """A format that builds a further file from its artefact, bound to a library and a device."""

    def check_engine(self, config: "ExportConfig") -> None:
        """Raises MissingDependencyError without the library or its device, before any work is done."""

    def build_engine(self, artefact: Path, config: "ExportConfig") -> dict[str, Any]:
        """Writes the engine beside `artefact` and returns what the manifest says of it, plain JSON data.

        Raises UnsupportedError, ExportError, and what `check_engine` raises.
        """
