"""TorchScript: one file that libtorch opens without Python. Deprecated upstream, still what Triton takes.

The model is scripted, not traced: a trace would bake the device of every tensor that the graph makes, and
the outcome of every Python decision, into the file; scripting keeps both, and refuses what it cannot keep.
Without NeuroCity, `inputs` being the rays by name:

    import torch
    outputs = torch.jit.load(path)(*map(torch.from_numpy, inputs.values()))
"""

import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.jit.frontend import FrontendError

from export.checks import Check, equal
from export.example_rays import quiet_torch
from export.format import Format, Signature, TritonTarget
from export.renderer import Renderer
from export.torch_archive.archive import rewritten
from export.torch_archive.program import renderer, signature
from neurocity.contract import MANIFEST_KEY, RAY_INPUTS, RAY_RADII_INPUT, TensorSpec
from neurocity.device import check_device
from neurocity.errors import ManifestError, UnsupportedError

LAST_PYTHON = (3, 13)
"""On later ones, torch says that `torch.jit` is not supported and may break."""
_RANDOM_OPS = ("aten::rand", "aten::bernoulli", "aten::normal", "aten::multinomial", "aten::dropout")
_SPECS = {spec.name: spec for spec in (*RAY_INPUTS, RAY_RADII_INPUT)}


class TorchScriptFormat(Format):
    """`model.pt`, loaded by `torch.jit.load`."""

    name = "torchscript"
    file_name = "model.pt"
    triton = TritonTarget(backend="pytorch", platform="pytorch_libtorch", naming="numbered")
    packages = ("torch",)

    def check_machine(self) -> None:
        if sys.version_info[:2] > LAST_PYTHON:
            found, last = (f"{major}.{minor}" for major, minor in (sys.version_info[:2], LAST_PYTHON))
            raise UnsupportedError(
                f"torch does not support TorchScript on Python {found}, {last} is the last"
            )

    def encode(
        self,
        model: nn.Module,
        manifest_json: str,
        inputs: tuple[TensorSpec, ...] = RAY_INPUTS,  # noqa: ARG002, those of `forward`
    ) -> bytes:
        buffer = io.BytesIO()
        with quiet_torch():
            try:
                scripted = torch.jit.script(model)
            except (RuntimeError, FrontendError) as error:
                raise UnsupportedError(f"TorchScript cannot express this model: {error}") from error
            torch.jit.save(scripted, buffer, _extra_files={MANIFEST_KEY: manifest_json})
        return rewritten(buffer.getvalue(), _without_origin)

    def open(self, path: Path, device: str) -> Renderer:
        check_device(device)
        return renderer(_load(path, device), device)

    def is_artefact(self, path: Path) -> bool:
        """Whether the archive holds code; those of weights have the same ending."""
        if path.suffix != Path(self.file_name).suffix or not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())

    def signature(self, path: Path) -> Signature:
        module = _load(path, "cpu")
        arguments = list(module._c._get_method("forward").schema.arguments)[1:]
        return signature(module, tuple(map(_input, arguments)), "cpu", self.triton.naming)

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


def _load(path: Path, device: str, extra: dict[str, str] | None = None) -> torch.jit.ScriptModule:
    with quiet_torch():
        return torch.jit.load(path, map_location=device, _extra_files=extra)


def _input(argument: torch._C.Argument) -> TensorSpec:
    """TorchScript declares names and no shapes; what the contract does not know is taken for a point."""
    return _SPECS.get(argument.name, TensorSpec(name=argument.name, dtype="float32", shape=("rays", 3)))


def _without_origin(record: str, data: bytes) -> bytes | None:
    """Leaves out where sources are on the exporting machine, and what every writer adds by itself."""
    return None if record.endswith(".debug_pkl") or record.startswith((".data/", "version")) else data


def _all_nodes(block: torch._C.Graph | torch._C.Block) -> Iterator[torch._C.Node]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _all_nodes(inner)
