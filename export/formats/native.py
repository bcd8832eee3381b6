"""Weights in the layout that the compiled kernels read: the fastest artefact on a CPU, without any runtime.

The file is one of safetensors, and docs/native.md says what its arrays mean. It holds no program: the kernel
of its kind of scene renders it, on every processor. Other programs read it like this:

    import safetensors
    with safetensors.safe_open(path, "numpy") as file:
        manifest = file.metadata()["neurocity.manifest"]
        arrays = {name: file.get_tensor(name) for name in file.keys()}
"""

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from export.checks import Check, equal
from export.format import Format, Signature, TritonTarget
from export.parity.tolerances import NATIVE_FP16, NATIVE_FP32
from export.renderer import Renderer, kernel_renderer
from neurocity.contract import MANIFEST_KEY, RAY_INPUTS, TensorSpec
from neurocity.errors import ManifestError, UnsupportedError
from neurocity.family import NativeModel
from neurocity.kernels.file import file_content, open_file, scene_data, scene_inputs
from neurocity.kernels.library import library
from neurocity.kernels.scene import open_scene

if TYPE_CHECKING:
    from torch import nn


class NativeFormat(Format):
    """`model.safetensors`; equal models give equal bytes."""

    name = "native"
    file_name = "model.safetensors"
    triton = TritonTarget(backend="neurocity", device_bound=True)
    packages = ()
    tolerances = MappingProxyType({"fp32": NATIVE_FP32, "fp16": NATIVE_FP16})

    def check_machine(self) -> None:
        """Raises MissingDependencyError where the kernels were not built."""
        library()

    def check_model(self, model: type) -> None:
        """Raises UnsupportedError for a model without a kernel."""
        if not issubclass(model, NativeModel):
            raise UnsupportedError(
                f"native cannot express this model: no kernel renders a {model.__name__}; other formats take "
                "it, such as onnx and torchscript"
            )

    def encode(
        self, model: "nn.Module", manifest_json: str, inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    ) -> bytes:
        self.check_model(type(model))
        assert isinstance(model, NativeModel)
        return file_content(model.scene_data(), inputs, {MANIFEST_KEY: manifest_json})

    def open(self, path: Path, device: str) -> Renderer:
        if device != "cpu":
            raise UnsupportedError(f"native artefacts are rendered on the CPU, got device {device!r}")
        return kernel_renderer(open_scene(scene_data(open_file(path))))

    def signature(self, path: Path) -> Signature:
        return Signature.named(self.triton.naming, scene_inputs(open_file(path)))

    def read_manifest(self, path: Path) -> str:
        metadata = open_file(path).metadata
        if MANIFEST_KEY not in metadata:
            raise ManifestError(f"{path}: no {MANIFEST_KEY!r} in the metadata of the header")
        return metadata[MANIFEST_KEY]

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        return {name: array.nbytes for name, array in open_file(path).tensors.items()}

    def inspect(self, path: Path) -> tuple[Check, ...]:
        """Numbers are finite: kernels would make light of those that are not, and it would not be finite."""
        floats = [array for array in open_file(path).tensors.values() if array.dtype.kind == "f"]
        broken = sum(array.size - int(np.isfinite(array).sum()) for array in floats)
        return (equal("numbers that are not finite", self.file_name, broken, 0),)


FORMAT = NativeFormat()
