"""AOTInductor: the graph as a compiled library in a `.pt2` package, for one kind of device and processor.

The successor that PyTorch names for TorchScript. What one kernel can do in one pass is one kernel, so on a
CPU it is the fastest artefact; it takes a C++ compiler to write, and none to run. Without NeuroCity, `inputs`
being the rays by name:

    import torch
    model = torch._inductor.aoti_load_package(path)
    outputs = model(*map(torch.from_numpy, inputs.values()))
"""

import platform
import tempfile
from itertools import chain
from pathlib import Path

import torch
import torch._inductor
from torch import Tensor, nn
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler
from torch._inductor.runtime.cache_dir_utils import cache_dir
from torch.utils._pytree import treespec_loads

from export.checks import Check, equal
from export.example_rays import example_rays, quiet_torch, ray_axes
from export.format import Format, Signature, TritonTarget
from export.renderer import Renderer
from export.torch_archive.archive import imported_symbols, read_metadata, source_records, stripped
from export.torch_archive.program import renderer, signature
from neurocity.contract import MANIFEST_KEY, RAY_INPUTS, TensorSpec, ray_inputs
from neurocity.device import check_device
from neurocity.errors import ManifestError, MissingDependencyError, UnsupportedError
from neurocity.kernels.build import processors

_RANDOM_SYMBOLS = r"aoti_torch_\w+?_(?:rand|bernoulli|normal|multinomial|native_dropout)\w*"
_ARCHITECTURES = {"AVX512": "x86-64-v4", "AVX2": "x86-64-v3"}
"""torch's name of a processor's abilities -> what the compiler may use: no more, so that all such run it."""


class AOTInductorFormat(Format):
    """`model.pt2`, loaded by `torch._inductor.aoti_load_package`."""

    name = "aotinductor"
    file_name = "model.pt2"
    triton = TritonTarget(backend="pytorch", platform="torch_aoti", naming="positional", device_bound=True)
    packages = ("torch",)

    def check_machine(self) -> None:
        try:
            get_cpp_compiler()
        except InvalidCxxCompiler as error:
            raise MissingDependencyError(
                f"format 'aotinductor' compiles C++, and no compiler is at hand ({error}); install g++, or "
                "name one in the environment variable CXX"
            ) from error

    def encode(
        self, model: nn.Module, manifest_json: str, inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    ) -> bytes:
        # Not needed to open a package.
        from export.torch_archive.kernel_graph import kernel_graph  # noqa: PLC0415
        from export.torch_archive.kernel_library import kernel_library  # noqa: PLC0415
        from neurocity.rendering.graph_target import recording_for  # noqa: PLC0415

        self.check_machine()
        tensor = next(chain(model.parameters(), model.buffers()), torch.zeros(0))
        processor = _ARCHITECTURES.get(torch.backends.cpu.get_cpu_capability(), processors()[0])
        options = {
            "aot_inductor.metadata": {MANIFEST_KEY: manifest_json},
            # Where the sources of lines are, on the exporting machine.
            "aot_inductor.enable_line_tables": False,
            # As many threads as the runtime has, not the exporting machine.
            "cpp.dynamic_threads": True,
            "cpp.march": processor,
        }
        graph = kernel_graph(model) if tensor.device.type == "cpu" else model
        with quiet_torch(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            try:
                with recording_for("compiler"):
                    program = torch.export.export(
                        _PlainTuple(graph),
                        example_rays(inputs, tensor.device),
                        dynamic_shapes=(ray_axes(inputs),),
                    )
            except (RuntimeError, ValueError, torch._dynamo.exc.TorchDynamoException) as error:
                raise UnsupportedError(f"torch.export cannot express this model: {error}") from error
            with (
                torch._inductor.config.patch(options),
                kernel_library(program, processor) as linked,
            ):
                package = torch._inductor.aoti_compile_and_package(
                    program,
                    package_path=str(Path(folder) / self.file_name),
                    inductor_configs=options | linked,
                )
            archive = Path(package).read_bytes()
        return stripped(archive, [cache_dir(), str(Path(torch.__file__).parents[1])])

    def open(self, path: Path, device: str) -> Renderer:
        _require_machine(path, device)
        return renderer(torch._inductor.aoti_load_package(str(path)), device)

    def signature(self, path: Path) -> Signature:
        model = torch._inductor.aoti_load_package(str(path))
        taken = treespec_loads(model.loader.get_call_spec()[0]).num_leaves
        inputs = ray_inputs(needs_ray_radii=taken > len(RAY_INPUTS))
        return signature(model, inputs, _device(read_metadata(path)), self.triton.naming)

    def read_manifest(self, path: Path) -> str:
        metadata = read_metadata(path)
        if MANIFEST_KEY not in metadata:
            raise ManifestError(f"{path}: no {MANIFEST_KEY!r} in the metadata of the package")
        return metadata[MANIFEST_KEY]

    def tensor_bytes(self, path: Path) -> dict[str, int]:  # noqa: ARG002
        return {}  # they are one block of the library, without names

    def inspect(self, path: Path) -> tuple[Check, ...]:
        random = imported_symbols(path, _RANDOM_SYMBOLS)
        return (
            equal("random operators", self.file_name, " ".join(random) or "none", "none"),
            equal("records of source code", self.file_name, len(source_records(path)), 0),
        )


FORMAT = AOTInductorFormat()


class _PlainTuple(nn.Module):
    """A model with its outputs in a plain tuple: a package knows no named ones."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *rays: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rgb, depth, opacity = self.model(*rays)
        return rgb, depth, opacity


def _require_machine(path: Path, device: str) -> None:
    """Raises MissingDependencyError when the package was not made for this kind of device and processor."""
    metadata = read_metadata(path)
    if _device(metadata) != device:
        raise MissingDependencyError(
            f"{path} was compiled for {_device(metadata)} and cannot run on {device}; "
            f"export again with --device {device}"
        )
    check_device(device)
    if device == "cuda":
        _require_gpu(path, metadata)
    built = metadata.get("AOTI_MACHINE", ""), "AVX512" in metadata.get("AOTI_CPU_ISA", "").split()
    here = platform.machine(), torch.backends.cpu.get_cpu_capability() == "AVX512"
    if built[0] != here[0] or built[1] > here[1]:
        raise MissingDependencyError(
            f"{path} was compiled for a processor {metadata.get('AOTI_MACHINE')} with "
            f"{metadata.get('AOTI_CPU_ISA')}, this one is {here[0]} with "
            f"{torch.backends.cpu.get_cpu_capability()}; export on a machine of this kind"
        )


def _require_gpu(path: Path, metadata: dict[str, str]) -> None:
    """Kernels are machine code of one compute capability; torch warns, and then fails at the first call."""
    major, minor = torch.cuda.get_device_capability()
    built, here = metadata.get("AOTI_COMPUTE_CAPABILITY", ""), str(10 * major + minor)
    if built != here:
        raise MissingDependencyError(
            f"{path} was compiled for GPUs of compute capability {built or 'unknown'}, this one has {here}; "
            "export on a machine with a GPU of this kind"
        )


def _device(metadata: dict[str, str]) -> str:
    return metadata.get("AOTI_DEVICE_KEY", "cpu")
