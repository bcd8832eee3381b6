"""Triton's `config.pbtxt`, made with Triton's own protobuf and read back before it is written.

Field by field: the model configuration of the Triton Inference Server documentation.
"""

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInput, ModelOutput

from export.checks import Check, equal
from export.format import Signature, TritonTarget
from export.triton_engines import accelerate, warm_up
from neurocity.contract import MANIFEST_KEY, SceneManifest, TensorSpec, to_json

CONFIG_FILE = "config.pbtxt"

_TRITON_DTYPES = {"float32": DataType.TYPE_FP32}
_DTYPES = {code: name for name, code in _TRITON_DTYPES.items()}


def model_config(manifest: SceneManifest, target: TritonTarget, signature: Signature) -> str:
    """The text of `config.pbtxt` for an artefact of that signature, with the manifest in its parameters.

    A request is one bundle of rays, so Triton's own batching is off; yet `dynamic_batching` stands there,
    because it makes Triton drop a queued request whose caller has gone or whose gRPC deadline has passed.
    """
    loaded = target.file_name or manifest.artefact.name
    config = ModelConfig(
        name=manifest.model_name,
        backend=target.backend,
        platform=target.platform,
        default_model_filename=loaded,
        input=[ModelInput(**_tensor(spec)) for spec in signature.inputs],
        output=[ModelOutput(**_tensor(spec)) for spec in signature.outputs],
    )
    config.instance_group.add(count=1)
    config.version_policy.latest.num_versions = 1
    # Empty on purpose. Any queue policy in it switches Triton's prefetching off, and each waiting request
    # then costs up to 500 ms (measured: a burst of four 50 ms requests takes 1.17 s instead of 0.22 s).
    config.dynamic_batching.SetInParent()
    if target.accelerator == "tensorrt":
        accelerate(config, manifest.rays_per_call)
    if target.warm_up:
        warm_up(config, manifest.rays_per_call)
    config.parameters[MANIFEST_KEY].string_value = to_json(manifest)
    # Zero is the field's default and so not printed; unwritten, Triton may complete it to something else.
    return "max_batch_size: 0\n" + text_format.MessageToString(config, as_utf8=True)


def check_config(text: str, manifest: SceneManifest, signature: Signature) -> tuple[Check, ...]:
    """Reads `text` as Triton will and compares it with the artefact's own signature."""
    config = text_format.Parse(text, ModelConfig())
    read = Signature(tuple(map(_spec, config.input)), tuple(map(_spec, config.output)))
    return (
        equal("name", CONFIG_FILE, config.name, manifest.model_name),
        equal("max_batch_size", CONFIG_FILE, config.max_batch_size, 0),
        equal("inputs", CONFIG_FILE, _describe(read.inputs), _describe(signature.inputs)),
        equal("outputs", CONFIG_FILE, _describe(read.outputs), _describe(signature.outputs)),
        equal(
            "manifest",
            CONFIG_FILE,
            "same" if config.parameters[MANIFEST_KEY].string_value == to_json(manifest) else "another",
            "same",
        ),
    )


def _tensor(spec: TensorSpec) -> dict[str, object]:
    dims = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
    return {"name": spec.name, "data_type": _TRITON_DTYPES[spec.dtype], "dims": dims}


def _spec(tensor: ModelInput | ModelOutput) -> TensorSpec:
    shape = tuple("rays" if axis == -1 else axis for axis in tensor.dims)
    return TensorSpec(name=tensor.name, dtype=_DTYPES.get(tensor.data_type, "unknown"), shape=shape)


def _describe(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
