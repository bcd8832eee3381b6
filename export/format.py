"""What an export format is: it writes a model's render graph into a file, and opens and reads that again.

A format is one module in `export/formats/` with an instance of `Format` named `FORMAT`. Nothing else has to
be edited for a new one. The module that opens its artefacts shows in its docstring how one runs without
NeuroCity.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from export.bits import Bits
from export.checks import Check
from export.parity.tolerances import FP16, FP32, Tolerance
from export.renderer import Drawn, Painter, RayProfile, Renderer
from neurocity.contract import RAY_INPUTS, RENDER_OUTPUTS, SceneManifest, TensorSpec, View
from neurocity.errors import EngineError, NeuroCityError, UnsupportedError
from neurocity.triton_names import Naming, input_name, output_name

if TYPE_CHECKING:
    from torch import nn

    from neurocity.family import RenderModel

Precision = Literal["fp32", "fp16"]
EngineName = Literal["tensorrt", "tensorrt-rtx"]
"""The library that builds engines."""


class Signature(NamedTuple):
    """Inputs and outputs as an artefact itself declares them, under the names that Triton uses."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def named(
        cls, naming: Naming, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec] = RENDER_OUTPUTS
    ) -> "Signature":
        """That of a graph with these tensors of the contract, for a backend that wants such names."""
        return cls(
            tuple(replace(spec, name=input_name(naming, i, spec.name)) for i, spec in enumerate(inputs)),
            tuple(replace(spec, name=output_name(naming, i, spec.name)) for i, spec in enumerate(outputs)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonTarget:
    """How Triton runs an artefact.

    platform: where the backend has several (else empty). naming: the form of tensor names that the backend
    wants. file_name: what is loaded, when it is not the artefact itself. device_bound: whether it runs only
    on the kind of device that the model given to `Format.encode` is on. accelerate: completes the backend's
    `ModelConfig` for these inputs and number of rays a call, where the backend can do more with the artefact.
    renders: false of a model that only stands in for the artefact, which Triton has nothing for.
    """

    backend: str
    platform: str = ""
    naming: Naming = "plain"
    file_name: str = ""
    device_bound: bool = False
    accelerate: Callable[[Any, tuple[TensorSpec, ...], int], None] | None = None
    renders: bool = True


class Format(Protocol):
    """One artefact format.

    name: its name on the command line and in `<scene>_<format>`.
    file_name: the artefact's file in a version folder.
    triton: what runs it there.
    packages: modules whose versions shape the artefact (recorded in the manifest).
    fixed_budget: whether it takes the graph with a fixed number of samples a ray, which has no shape that
        depends on values, instead of the packed one.
    tolerances: how far an artefact may be from the model, in each precision that is offered.
    """

    name: str
    file_name: str
    triton: TritonTarget
    packages: tuple[str, ...]
    fixed_budget: bool = False
    tolerances: Mapping[str, Tolerance] = MappingProxyType({"fp32": FP32, "fp16": FP16})

    def check_machine(self) -> None:
        """Raises MissingDependencyError or UnsupportedError when artefacts cannot be written here.

        Packages that the format's module imports need no check.
        """
        return

    def check_model(self, model: type) -> None:  # noqa: ARG002
        """Raises UnsupportedError when the format takes no model of that class."""
        return

    def encode(
        self, model: "nn.Module", manifest_json: str, inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    ) -> bytes:
        """The artefact of `model` (eval mode; on the CPU unless device-bound) with `manifest_json` inside.

        inputs: what the graph takes, in the contract's names. Raises UnsupportedError when the model uses
        what the format cannot express.
        """

    def open(self, path: Path, device: str) -> Renderer | Painter:
        """The artefact at `path`, ready to render on `device` ("cpu" or "cuda") and nowhere else; what paints
        is of a `Preview`."""

    def is_artefact(self, path: Path) -> bool:
        """Whether the file may be one of this format: by its ending, or by more where others share it."""
        return path.suffix == Path(self.file_name).suffix

    def signature(self, path: Path) -> Signature:
        """Inputs and outputs read from the artefact, `rays` standing for the dynamic axis."""

    def read_manifest(self, path: Path) -> str:
        """The manifest JSON inside the artefact. Raises ManifestError when it carries none."""

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        """Bytes of each stored tensor by its name; empty when the format keeps that to itself."""

    def inspect(self, path: Path) -> tuple[Check, ...]:
        """What must hold for the file itself, whatever it computes (versions, no random operators, ...)."""


class Engine(NamedTuple):
    """A file built from an artefact, and what the manifest says of it: plain JSON, `file` its name."""

    content: bytes
    record: dict[str, Any]


@runtime_checkable
class BuildsEngine(Protocol):
    """A format that builds a further file from its artefact, bound to a library and a device."""

    def check_engine(self, library: EngineName) -> None:
        """Raises MissingDependencyError without the library or its device, before any work is done."""

    def build_engine(self, artefact: Path, library: EngineName, rays: RayProfile) -> Engine:
        """The engine of the artefact, for calls of so many rays.

        Raises UnsupportedError, ExportError, and what `check_engine` raises.
        """


@runtime_checkable
class WritesFolder(Protocol):
    """A format whose artefact is the first of several files, which users draw where they are: no server does,
    so its speed is not measured."""

    def encode_folder(
        self, model: "nn.Module", manifest_json: str, inputs: tuple[TensorSpec, ...], bits: Bits
    ) -> dict[str, bytes]:
        """All files by their path in the version folder, as `Format.encode`; bits: of quantised numbers.

        Raises ParityError too, when the files hold something else.
        """


@runtime_checkable
class ForBrowsers(Protocol):
    """A format of folders that hosts publish and browsers draw; they can do so without its quantisation."""

    def draw_unquantised(self, model: "nn.Module", manifest_json: str, views: Sequence[View]) -> Drawn:
        """Pictures by the users' renderer, where it can be had, of the model as floats: what is lost without
        quantisation. Raises ParityError when it cannot draw the scene."""

    def draw_shipped(self, path: Path, views: Sequence[View]) -> Drawn:
        """The same of the files beside the artefact at `path`, as users see them."""

    def published(self, manifest: SceneManifest) -> dict[str, str]:
        """The files that users need -> the addresses that they have below that of a published folder."""


@runtime_checkable
class Preview(Protocol):
    """A format for other programs, which draw it near to the model and not equal: pictures of held-out views
    are compared, and the loss is stated."""

    def shown(self, model: "RenderModel") -> "RenderModel":
        """The model without what the format leaves out on purpose, for comparison; `model` stays as it is.

        Raises UnsupportedError as `Format.check_model`.
        """

    def remarks(self, model: "RenderModel") -> tuple[str, ...]:
        """What an artefact has of the model and what not, in sentences for the report."""


def check_offered(target: Format, model: type, precision: str, library: EngineName) -> None:
    """Raises MissingDependencyError or UnsupportedError when models of a class cannot be exported.

    It is asked before an export is begun.
    """
    target.check_machine()
    target.check_model(model)
    if isinstance(target, BuildsEngine):
        target.check_engine(library)
    tolerance_of(target, precision)


def tolerance_of(target: Format, precision: str) -> Tolerance:
    """How far an artefact may be from the model. Raises UnsupportedError when that is not offered."""
    if precision not in target.tolerances:
        known = ", ".join(f"{target.name} {offered}" for offered in target.tolerances)
        raise UnsupportedError(f"{target.name} in {precision} is not offered, known: {known}")
    return target.tolerances[precision]


@contextmanager
def foreign_errors(kind: type[NeuroCityError], what: str) -> Iterator[None]:
    """Whatever converters and runtimes raise, as `kind`; our own errors pass."""
    try:
        yield
    except EngineError as error:  # what a runtime raised, in our words
        raise kind(f"{what}: {error}") from error
    except NeuroCityError:
        raise
    except Exception as error:
        raise kind(f"{what}: {type(error).__name__}: {error}") from error
