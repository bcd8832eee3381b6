"""The scenes that a Triton server offers."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from neurocity.contract import MANIFEST_KEY, SceneManifest, manifest_from_json
from neurocity.errors import EngineError, ManifestError
from neurocity.triton_channel import engine_error, import_client
from neurocity.triton_names import by_contract_name

CLIENT = "tritonclient.grpc.aio"

PREFERRED_FORMATS = ("onnx", "torchscript")
"""Which artefact of a scene renders when the server has several; other formats come after these, by name."""

CONTROL_TIMEOUT_SECONDS = 10.0

UNLOADED = "unloaded"
"""What the server says of a model that was taken away on purpose."""


@dataclass(frozen=True)
class Model:
    """A scene's model on the server.

    inputs: contract name -> the model's name of that input (in AOTInductor packages `INPUT__0`).
    outputs: likewise (`rgb`; in TorchScript models `rgb__0`, in AOTInductor packages `OUTPUT__0`).
    window: tiles of one render that are under way at the same time: one for each instance of the model, and
        one that travels meanwhile.
    """

    name: str
    version: str
    manifest: SceneManifest
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    window: int


async def find_models(client: Any, url: str) -> tuple[list[Model], dict[str, str]]:
    """The ready models of the server that have a manifest, the preferred of a scene last; and the names of
    those that cannot be used now, with the reasons.

    Raises EngineUnavailableError (not reachable) and EngineError (no scene at all).
    """
    exception = import_client(CLIENT).InferenceServerException
    try:
        index = await client.get_model_repository_index(client_timeout=CONTROL_TIMEOUT_SECONDS)
        ready = {(item.name, item.version) for item in index.models if item.state == "READY"}
        configs = [
            (await client.get_model_config(name, client_timeout=CONTROL_TIMEOUT_SECONDS)).config
            for name in sorted({name for name, _ in ready})
        ]
    except exception as error:
        raise engine_error(error, url) from error
    refused = {
        item.name: f"Triton says {item.state}" + (f": {item.reason}" if item.reason else "")
        for item in index.models
        if item.state not in ("", "READY") and item.reason != UNLOADED
    }
    models = []
    for config in configs:
        refused.pop(config.name, None)  # an older version of it is ready
        if MANIFEST_KEY in config.parameters:
            try:
                models.append(read_model(config, ready))
            except ManifestError as error:
                refused[config.name] = str(error)
    if not models:
        raise EngineError(
            f"Triton at {url}: no scene among its {len(configs)} models "
            f"(a scene has the parameter {MANIFEST_KEY!r} in config.pbtxt; neurocity-export writes it)"
        )
    models.sort(key=_preference, reverse=True)
    return models, refused


def read_model(config: Any, ready: Set[tuple[str, str]]) -> Model:
    """The scene that a `ModelConfig` with a manifest describes; raises ManifestError unless it is `ready`."""
    manifest = manifest_from_json(config.parameters[MANIFEST_KEY].string_value, f"model {config.name!r}")
    version = str(manifest.version)
    if (config.name, version) not in ready:
        versions = ", ".join(sorted(version for name, version in ready if name == config.name))
        raise ManifestError(
            f"model {config.name!r}: its manifest is of version {version}, the server has {versions} ready"
        )
    inputs = by_contract_name((tensor.name for tensor in config.input), manifest.inputs)
    outputs = by_contract_name((tensor.name for tensor in config.output), manifest.outputs)
    for known, specs in ((inputs, manifest.inputs), (outputs, manifest.outputs)):
        if missing := [spec.name for spec in specs if spec.name not in known]:
            raise ManifestError(
                f"model {config.name!r}: config.pbtxt lacks {', '.join(missing)} of the manifest"
            )
    window = 1 + sum(group.count for group in config.instance_group)
    return Model(config.name, version, manifest, inputs, outputs, window)


def _preference(model: Model) -> tuple[bool, int, str]:
    """Sorts what to prefer before the others: full precision, then the format."""
    name = model.manifest.format
    rank = PREFERRED_FORMATS.index(name) if name in PREFERRED_FORMATS else len(PREFERRED_FORMATS)
    return model.manifest.precision != "fp32", rank, name
