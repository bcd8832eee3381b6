"""A folder that a browser draws: the page, its script, and the scene in levels, as docs/web.md says.

Nothing else runs it: open `index.html`, from a disk or from any host of files. `verify` decodes the files and
renders them by the compiled kernels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from export.bits import FLOATS, Bits
from export.checks import Check, equal
from export.format import Format, Signature
from export.parity.tolerances import WEB
from export.placeholder.target import PLACEHOLDER, PLACEHOLDER_TARGET
from export.renderer import Drawn, Picture, Renderer, kernel_renderer
from export.web.contents import Contents
from export.web.folder import folder_files, read_folder, scene_files
from export.web.groups import address_of_file
from export.web.header import FILE, read_header
from export.web.page.browser import draw_in_chromium
from neurocity.cameras import Camera
from neurocity.contract import RAY_INPUTS, SceneManifest, TensorSpec, View, to_json
from neurocity.errors import MissingDependencyError, UnsupportedError
from neurocity.kernels.library import library
from neurocity.kernels.scene import KernelScene, SceneData, open_scene

if TYPE_CHECKING:
    from torch import nn


class WebFormat(Format):
    """`scene.js`, and beside it the groups of levels and the page; equal models give equal bytes."""

    name = "web"
    file_name = FILE
    triton = PLACEHOLDER_TARGET
    packages = ()
    tolerances = MappingProxyType({"fp32": WEB})

    def check_machine(self) -> None:
        """Raises MissingDependencyError where the kernels were not built, which render what was decoded."""
        library()

    def check_model(self, model: type) -> None:
        """Raises UnsupportedError for a model without voxels."""
        from neurocity.svraster.core import SVRaster  # noqa: PLC0415, brings torch

        if not issubclass(model, SVRaster):
            raise UnsupportedError(
                "web cannot express this model: it has no voxels, which are what browsers draw; train with "
                "`neurocity train svraster`, or export onnx, which neurocity-serve renders"
            )

    def encode(
        self, model: "nn.Module", manifest_json: str, inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    ) -> bytes:
        return self.encode_folder(model, manifest_json, inputs, Bits())[self.file_name]

    def encode_folder(
        self,
        model: "nn.Module",
        manifest_json: str,
        inputs: tuple[TensorSpec, ...],  # noqa: ARG002, rays of voxels have no others
        bits: Bits,
    ) -> dict[str, bytes]:
        """See `WritesFolder`."""
        return folder_files(self._data(model), manifest_json, bits)

    def draw_unquantised(self, model: "nn.Module", manifest_json: str, views: Sequence[View]) -> Drawn:
        """See `ForBrowsers`; without Chromium, by the decoder and the compiled kernels."""
        files, decoded = scene_files(self._data(model), manifest_json, FLOATS)
        return _drawn(files, decoded, views, shown=False)

    def draw_shipped(self, path: Path, views: Sequence[View]) -> Drawn:
        """See `ForBrowsers`: as the page shows them, but for the last step to bytes."""
        header, contents = read_folder(path.parent)
        names = [FILE, *(group.file for group in header.groups)]
        return _drawn(
            {name: (path.parent / name).read_bytes() for name in names}, contents, views, shown=True
        )

    def published(self, manifest: SceneManifest) -> dict[str, str]:
        """See `ForBrowsers`: groups are asked for by their digest too, as the page does."""
        files = (manifest.artefact, *manifest.files)
        return {
            file.name: address_of_file(file.name, file.sha256) for file in files if file.name != PLACEHOLDER
        }

    def open(self, path: Path, device: str) -> Renderer:
        if device != "cpu":
            raise UnsupportedError(f"web folders are rendered on the CPU, got device {device!r}")
        _, contents = read_folder(path.parent)
        return kernel_renderer(open_scene(contents.scene_data()))

    def is_artefact(self, path: Path) -> bool:
        return path.name == self.file_name

    def signature(self, path: Path) -> Signature:
        return Signature.named(self.triton.naming, read_header(path.read_bytes()).manifest.inputs)

    def read_manifest(self, path: Path) -> str:
        return to_json(read_header(path.read_bytes()).manifest)

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        return {group.file: group.bytes for group in read_header(path.read_bytes()).groups}

    def inspect(self, path: Path) -> tuple[Check, ...]:
        """Numbers are finite."""
        _, contents = read_folder(path.parent)
        data = contents.scene_data()
        broken = sum(array.size - int(np.isfinite(array).sum()) for array in data.tensors.values())
        return (equal("numbers that are not finite", self.file_name, broken, 0),)

    def _data(self, model: "nn.Module") -> SceneData:
        from neurocity.svraster.core import SVRaster  # noqa: PLC0415, brings torch

        self.check_model(type(model))
        assert isinstance(model, SVRaster)
        return model.kernel_data()


FORMAT = WebFormat()


def _drawn(files: Mapping[str, bytes], decoded: Contents, views: Sequence[View], *, shown: bool) -> Drawn:
    """In Chromium, and without it by the decoder and the compiled kernels. shown: see `draw_in_chromium`."""
    try:
        by, pictures = draw_in_chromium(files, views, shown=shown)
        return Drawn(by, "", pictures)
    except MissingDependencyError as error:
        scene = open_scene(decoded.scene_data())
        return Drawn("decoder and compiled kernels", str(error), [_picture(scene, view) for view in views])


def _picture(scene: KernelScene, view: View) -> Picture:
    light = kernel_renderer(scene)(Camera.from_view(view).rays())
    return light.rgb, light.opacity
