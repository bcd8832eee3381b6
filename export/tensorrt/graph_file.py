"""The ONNX model that TensorRT takes, whoever builds an engine from it."""

from typing import TYPE_CHECKING

from export.onnx.file import OnnxFile
from export.tensorrt.preflight import refuse_unsupported
from neurocity.contract import RAY_INPUTS, TensorSpec

if TYPE_CHECKING:
    from torch import nn


class FixedBudgetFile(OnnxFile):
    """A format whose artefact has a fixed number of samples a ray; equal models give equal bytes."""

    fixed_budget = True

    def encode(
        self, model: "nn.Module", manifest_json: str, inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    ) -> bytes:
        """Raises UnsupportedError that names each node which TensorRT does not take."""
        # torch only when it is needed
        from export.onnx.trace import finish, trace  # noqa: PLC0415
        from neurocity.rendering.graph_target import recording_for  # noqa: PLC0415

        with recording_for("tensorrt"):
            proto = trace(model, inputs)
        refuse_unsupported(proto)
        return finish(proto, manifest_json)
