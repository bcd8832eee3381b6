"""TorchScript: one file that libtorch opens without Python. Deprecated upstream, still what Triton takes.

The model is scripted, not traced: a trace would bake the device of every tensor that the graph makes, and
the outcome of every Python decision, into the file; scripting keeps both, and refuses what it cannot keep.
"""

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.jit.frontend import FrontendError

from export.checks import Check, equal
from export.formats.base import Signature, TritonTarget
from export.renderer import Renderer
from neurocity.cameras import Rays
from neurocity.contract import MANIFEST_KEY, RENDER_OUTPUTS, TensorSpec
from neurocity.errors import ManifestError, MissingDependencyError, UnsupportedError
from neurocity.light import Light

LAST_PYTHON = (3, 13)
"""On later ones, torch says that `torch.jit` is not supported and may break."""
_RANDOM_OPS = ("aten::rand", "aten::bernoulli", "aten::normal", "aten::multinomial", "aten::dropout")
_OUTPUT_NAMES = tuple(f"{spec.name}__{index}" for index, spec in enumerate(RENDER_OUTPUTS))


class TorchScriptFormat:
    """`model.pt`, loaded by `torch.jit.load`. Triton names its outputs `<name>__<index>`."""

    name = "torchscript"
    file_name = "model.pt"
    triton = TritonTarget(backend="pytorch", platform="pytorch_libtorch")
    packages = ("torch",)
    fixed_budget = False

    def check_machine(self) -> None:
        if sys.version_info[:2] > LAST_PYTHON:
            found, last = (f"{major}.{minor}" for major, minor in (sys.version_info[:2], LAST_PYTHON))
            raise UnsupportedError(
                f"torch does not support TorchScript on Python {found}, {last} is the last"
            )

    def encode(self, model: nn.Module, manifest_json: str) -> bytes:
        buffer = io.BytesIO()
        with _deprecation_known():
            try:
                scripted = torch.jit.script(model)
            except (RuntimeError, FrontendError) as error:
                raise UnsupportedError(f"TorchScript cannot express this model: {error}") from error
            torch.jit.save(scripted, buffer, _extra_files={MANIFEST_KEY: manifest_json})
        return _without_debug_records(buffer.getvalue())

    def open(self, path: Path, device: str) -> Renderer:
        if device == "cuda" and not torch.cuda.is_available():
            raise MissingDependencyError("torch sees no CUDA device; --device cpu verifies on the CPU")
        module = _load(path, device)

        def render(rays: Rays) -> Light:
            with torch.inference_mode():
                inputs = (torch.from_numpy(part).to(device) for part in rays.arrays())
                return Light(*(output.cpu().numpy() for output in module(*inputs)))

        return render

    def signature(self, path: Path) -> Signature:
        module = _load(path, "cpu")
        declared = list(module._c._get_method("forward").schema.arguments)[1:]
        # What may be left out, such as the radii of Mip-NeRF's cones, is no input that a request must have.
        arguments = [argument for argument in declared if not argument.has_default_value()]
        few, more = (_output_shapes(module, len(arguments), rays) for rays in (2, 3))
        inputs = tuple(_spec(argument.name, torch.float32, (2, 3), (3, 3)) for argument in arguments)
        outputs = tuple(
            _spec(name, dtype, a, b)
            for name, (dtype, a), (_, b) in zip(_OUTPUT_NAMES, few, more, strict=True)
        )
        return Signature(inputs, outputs)

    def read_manifest(self, path: Path) -> str:
        extra = {MANIFEST_KEY: ""}
        _load(path, "cpu", extra)
        if not extra[MANIFEST_KEY]:
            raise ManifestError(f"{path}: no {MANIFEST_KEY!r} among the TorchScript extra files")
        text = extra[MANIFEST_KEY]
        return text.decode() if isinstance(text, bytes) else text

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        return {name: tensor.nbytes for name, tensor in _load(path, "cpu").state_dict().items()}

    def inspect(self, path: Path) -> tuple[Check, ...]:
        nodes = list(_all_nodes(_load(path, "cpu").inlined_graph))
        random = sorted({node.kind() for node in nodes if node.kind().startswith(_RANDOM_OPS)})
        devices = sum(
            node.kind() == "prim::Constant" and str(node.output().type()) == "Device" for node in nodes
        )
        return (
            equal("random operators", self.file_name, " ".join(random) or "none", "none"),
            equal("fixed devices", self.file_name, devices, 0),
        )


FORMAT = TorchScriptFormat()


@contextmanager
def _deprecation_known() -> Iterator[None]:
    with warnings.catch_warnings():
        for function in ("script", "save", "load"):
            message = rf"`torch\.jit\.{function}` is deprecated"
            warnings.filterwarnings("ignore", message, DeprecationWarning)
        yield


def _load(path: Path, device: str, extra: dict[str, str] | None = None) -> torch.jit.ScriptModule:
    with _deprecation_known():
        return torch.jit.load(path, map_location=device, _extra_files=extra)


def _without_debug_records(archive: bytes) -> bytes:
    """The archive without TorchScript's source locations, which name files of the exporting machine."""
    reader = torch._C.PyTorchFileReader(io.BytesIO(archive))
    written = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(written)
    for record in reader.get_all_records():
        if not record.endswith(".debug_pkl") and not record.startswith((".data/", "version")):
            data = reader.get_record(record)
            writer.write_record(record, data, len(data))
    writer.write_end_of_file()
    return written.getvalue()


def _output_shapes(
    module: torch.jit.ScriptModule, inputs: int, rays: int
) -> list[tuple[torch.dtype, tuple[int, ...]]]:
    with torch.inference_mode():
        outputs = module(*(torch.full((rays, 3), 0.57735) for _ in range(inputs)))
    return [(output.dtype, tuple(output.shape)) for output in outputs]


def _spec(name: str, dtype: torch.dtype, few: tuple[int, ...], more: tuple[int, ...]) -> TensorSpec:
    """The axes whose length follows the number of rays (2 in `few`, 3 in `more`) are the ray axis."""
    shape = tuple("rays" if (a, b) == (2, 3) else a for a, b in zip(few, more, strict=True))
    return TensorSpec(name=name, dtype=str(dtype).removeprefix("torch."), shape=shape)


def _all_nodes(block: torch._C.Graph | torch._C.Block) -> Iterator[torch._C.Node]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _all_nodes(inner)
