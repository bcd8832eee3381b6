"""Triton's `config.pbtxt`, made with Triton's own protobuf and read back before it is written.

Field by field: the model configuration of the Triton Inference Server documentation.
"""

from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import (
    DataType,
    ModelConfig,
    ModelInput,
    ModelInstanceGroup,
    ModelOutput,
)

from export.checks import Check, equal, require
from export.format import Signature, TritonTarget
from export.parity.rays import counted_rays, view_rays
from export.repository.publish import CONFIG_FILE
from neurocity.contract import MANIFEST_KEY, SceneManifest, TensorSpec, to_json

WARMUP_FOLDER = "warmup"
"""Raw tensors beside the version folders, from which Triton makes a request before it calls a model ready."""

_TRITON_DTYPES = {"float32": DataType.TYPE_FP32}
_DTYPES = {code: name for name, code in _TRITON_DTYPES.items()}


def write_model(folder: Path, manifest: SceneManifest, target: TritonTarget, signature: Signature) -> None:
    """Write `config.pbtxt` and the rays of its warm-up into a model's folder.

    The rays are those of the first held-out view, as many as one call should have: what the model allocates
    and compiles for its first call is done when Triton says that it is ready.
    Of a target that renders nothing there is a configuration alone, by which no gateway takes it for a scene.
    Raises ParityError when the text, read as Triton will, is not what the artefact declares.
    """
    if not target.renders:
        (folder / CONFIG_FILE).write_bytes(placeholder_config(manifest, target).encode())
        return
    view = view_rays(manifest.info.views[0], radii=manifest.takes_ray_radii)
    (rays,) = counted_rays(view, (manifest.rays_per_call,)).values()
    (folder / WARMUP_FOLDER).mkdir()
    files = [f"{manifest.version}-{spec.name}" for spec in signature.inputs]
    for file, values in zip(files, rays.arrays(), strict=True):
        (folder / WARMUP_FOLDER / file).write_bytes(values.astype("<f4").tobytes())
    text = model_config(manifest, target, signature, warmup=files)
    require(check_config(text, manifest, signature))
    (folder / CONFIG_FILE).write_bytes(text.encode())


def model_config(
    manifest: SceneManifest, target: TritonTarget, signature: Signature, *, warmup: Sequence[str] = ()
) -> str:
    """The text of `config.pbtxt` for an artefact of that signature, with the manifest in its parameters.

    warmup: files with the inputs of a first request, in `WARMUP_FOLDER`.

    A request is one bundle of rays, so Triton's own batching is off; yet `dynamic_batching` stands there,
    because it makes Triton drop a queued request whose caller has gone or whose gRPC deadline has passed.
    """
    config = ModelConfig(
        name=manifest.model_name,
        backend=target.backend,
        platform=target.platform,
        default_model_filename=target.file_name or manifest.artefact.name,
        input=[ModelInput(**_tensor(spec)) for spec in signature.inputs],
        output=[ModelOutput(**_tensor(spec)) for spec in signature.outputs],
    )
    kind = ModelInstanceGroup.KIND_AUTO  # Triton chooses, unless only one kind of device can run the artefact
    if target.device_bound:
        kinds = {"cpu": ModelInstanceGroup.KIND_CPU, "cuda": ModelInstanceGroup.KIND_GPU}
        kind = kinds[manifest.parity["device"]]
    config.instance_group.add(count=manifest.options.get("instances", 1), kind=kind)
    if warmup:
        request = config.model_warmup.add(name="a held-out view", batch_size=1)
        for spec, file in zip(signature.inputs, warmup, strict=True):
            shape = [manifest.rays_per_call if axis == "rays" else int(axis) for axis in spec.shape]
            value = request.inputs[spec.name]
            value.data_type, value.input_data_file = _TRITON_DTYPES[spec.dtype], file
            value.dims.extend(shape)
    config.version_policy.latest.num_versions = 1
    # Empty on purpose. Any queue policy in it switches Triton's prefetching off, and each waiting request
    # then costs up to 500 ms (measured: a burst of four 50 ms requests takes 1.17 s instead of 0.22 s).
    config.dynamic_batching.SetInParent()
    if target.accelerate is not None:
        target.accelerate(config, signature.inputs, manifest.rays_per_call)
    config.parameters[MANIFEST_KEY].string_value = to_json(manifest)
    # Zero is the field's default and so not printed; unwritten, Triton may complete it to something else.
    return "max_batch_size: 0\n" + text_format.MessageToString(config, as_utf8=True)


def placeholder_config(manifest: SceneManifest, target: TritonTarget) -> str:
    """The text of `config.pbtxt` of a model that takes nothing and renders nothing."""
    config = ModelConfig(
        name=manifest.model_name, backend=target.backend, default_model_filename=target.file_name
    )
    config.instance_group.add(count=1, kind=ModelInstanceGroup.KIND_CPU)
    config.version_policy.latest.num_versions = 1
    return text_format.MessageToString(config, as_utf8=True)


def check_config(text: str, manifest: SceneManifest, signature: Signature) -> tuple[Check, ...]:
    """Reads `text` as Triton will and compares it with the artefact's own signature."""
    config = text_format.Parse(text, ModelConfig())
    read = Signature(tuple(map(_spec, config.input)), tuple(map(_spec, config.output)))
    return (
        equal("name", CONFIG_FILE, config.name, manifest.model_name),
        equal("max_batch_size", CONFIG_FILE, config.max_batch_size, 0),
        *(
            equal(kind, CONFIG_FILE, ", ".join(map(str, got)), ", ".join(map(str, expected)))
            for kind, got, expected in zip(Signature._fields, read, signature, strict=True)
        ),
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
