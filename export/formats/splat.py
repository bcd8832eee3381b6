"""A preview for splat viewers: `scene.ply`, 3D Gaussians in the place of voxels, as docs/splat.md says.

It is near to the model and not equal. Nothing here renders it but `export.splat.painting`, which draws what
viewers do: pictures of views.
"""

import copy
import hashlib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from export.bits import Bits
from export.checks import Check, equal
from export.format import Format, Signature
from export.parity.tolerances import SPLAT
from export.placeholder.target import PLACEHOLDER_TARGET, placeholder_files
from export.renderer import Painter
from export.splat.gaussians import Gaussians
from export.splat.ply import properties, read_ply, write_ply
from neurocity.contract import RAY_INPUTS, TensorSpec, manifest_from_json
from neurocity.errors import ManifestError, UnreadableError, UnsupportedError

if TYPE_CHECKING:
    from torch import nn

    from neurocity.family import RenderModel
    from neurocity.svraster.core import SVRaster

FILE: Final = "scene.ply"
SIDECAR: Final = "scene.json"
"""The manifest: viewers read the first few KB of a PLY file for its header, which the views would exceed."""
_SIDECAR_DIGEST: Final = "neurocity scene.json sha256"


class SplatFormat(Format):
    """Round Gaussians, one of each voxel that takes light; equal models give equal bytes."""

    name = "splat"
    file_name = FILE
    triton = PLACEHOLDER_TARGET
    packages = ()
    tolerances = MappingProxyType({"fp32": SPLAT})

    def check_model(self, model: type) -> None:
        """Raises UnsupportedError for a model without voxels."""
        from neurocity.svraster.core import SVRaster  # noqa: PLC0415, brings torch

        if not issubclass(model, SVRaster):
            raise UnsupportedError(
                "splat cannot express this model: it has no voxels to be made Gaussians of; train with "
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
        bits: Bits,  # noqa: ARG002, all numbers are floats
    ) -> dict[str, bytes]:
        """See `WritesFolder`."""
        from export.splat.of_voxels import gaussians_of  # noqa: PLC0415, brings torch

        gaussians, _ = gaussians_of(self._voxels(model))
        sidecar = manifest_json.encode()
        up = manifest_from_json(manifest_json).info.up
        comments = (
            "made by neurocity-export",
            f"up {' '.join(f'{part:g}' for part in up)}",
            f"{_SIDECAR_DIGEST} {hashlib.sha256(sidecar).hexdigest()}",
        )
        return {FILE: write_ply(gaussians, comments), SIDECAR: sidecar, **placeholder_files()}

    def shown(self, model: "RenderModel") -> "RenderModel":
        """See `Preview`: without the sky."""
        shown = copy.copy(self._voxels(model))
        shown.sky_enabled = False
        return shown

    def remarks(self, model: "RenderModel") -> tuple[str, ...]:
        """See `Preview`."""
        from export.splat.of_voxels import gaussians_of  # noqa: PLC0415, brings torch

        return gaussians_of(self._voxels(model))[1]

    def open(self, path: Path, device: str) -> Painter:
        from export.splat.painting import SplatPainter  # noqa: PLC0415, brings torch

        if device != "cpu":
            raise UnsupportedError(f"splats are drawn on the CPU, got device {device!r}")
        return SplatPainter(self._read(path))

    def signature(self, path: Path) -> Signature:
        manifest = manifest_from_json(self.read_manifest(path), SIDECAR)
        return Signature.named(self.triton.naming, manifest.inputs)

    def read_manifest(self, path: Path) -> str:
        _, comments = read_ply(path.read_bytes(), path.name)
        beside = path.with_name(SIDECAR)
        try:
            text = beside.read_bytes()
        except OSError as error:
            raise UnreadableError(
                f"{beside}: cannot be read ({error.strerror}), and has the manifest of {FILE}; "
                "export the scene again"
            ) from None
        digest = f"{_SIDECAR_DIGEST} {hashlib.sha256(text).hexdigest()}"
        if digest not in comments:
            raise ManifestError(f"{beside}: is not the manifest of {path}; export the scene again")
        return text.decode()

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        gaussians = self._read(path)
        kinds = properties(gaussians.colours.shape[1] - 1)
        return {kind: 4 * len(names) * len(gaussians) for kind, names in kinds.items() if names}

    def inspect(self, path: Path) -> tuple[Check, ...]:
        """Numbers are finite."""
        arrays = vars(self._read(path)).values()
        broken = sum(array.size - int(np.isfinite(array).sum()) for array in arrays)
        return (equal("numbers that are not finite", self.file_name, broken, 0),)

    def _read(self, path: Path) -> Gaussians:
        return read_ply(path.read_bytes(), path.name)[0]

    def _voxels(self, model: object) -> "SVRaster":
        from neurocity.svraster.core import SVRaster  # noqa: PLC0415, brings torch

        self.check_model(type(model))
        assert isinstance(model, SVRaster)
        return model


FORMAT = SplatFormat()
