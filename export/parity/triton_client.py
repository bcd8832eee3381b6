"""An artefact that a running Triton server has, as a renderer: asked over gRPC, one call a request."""

from collections.abc import Callable
from typing import Any

from export.checks import Check, equal
from export.renderer import Renderer
from neurocity.cameras import Rays
from neurocity.contract import MANIFEST_KEY, SceneManifest, TensorSpec, manifest_from_json
from neurocity.errors import EngineError, EngineUnavailableError, UnsupportedError
from neurocity.light import Light
from neurocity.triton_channel import CHANNEL_ARGUMENTS, engine_error, import_client
from neurocity.triton_names import by_contract_name

_TIMEOUT_SECONDS = 120.0


def open_on_server(url: str, manifest: SceneManifest) -> tuple[Renderer, tuple[Check, ...]]:
    """The server's model of that name and version, and whether it is the same artefact.

    Raises EngineUnavailableError when the server cannot be reached or has no such version ready, EngineError
    when it fails, UnsupportedError when its model renders nothing, ManifestError when it describes the model
    in a way that cannot be read, and MissingDependencyError without tritonclient.
    """
    triton = import_client()
    name, version = manifest.model_name, str(manifest.version)
    client = triton.InferenceServerClient(url, channel_args=CHANNEL_ARGUMENTS)

    def ask(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except triton.InferenceServerException as error:
            raise engine_error(error, url) from error

    config = ask(client.get_model_config, name, version).config
    if not ask(client.is_model_ready, name, version):
        raise EngineUnavailableError(f"Triton at {url}: {name} version {version} is not ready")
    if not config.input and not config.output:
        raise UnsupportedError(
            f"Triton at {url}: {name} takes and gives nothing: there it stands in for files that users draw "
            "elsewhere; verify it without --url, or a web folder where it is published with --url "
            "https://HOST/PATH/"
        )
    inputs, outputs = (
        _names(tensors, specs, f"Triton at {url}: {name}")
        for tensors, specs in ((config.input, manifest.inputs), (config.output, manifest.outputs))
    )
    wanted = [triton.InferRequestedOutput(output) for output in outputs]

    def render(rays: Rays) -> Light:
        tensors = []
        for label, array in zip(inputs, rays.arrays(), strict=True):
            tensor = triton.InferInput(label, list(array.shape), "FP32")
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        answer = ask(client.infer, name, tensors, version, outputs=wanted, client_timeout=_TIMEOUT_SECONDS)
        return Light(*(answer.as_numpy(output) for output in outputs))

    return render, _same_artefact(config, manifest)


def _names(tensors: Any, specs: tuple[TensorSpec, ...], where: str) -> list[str]:
    """The server's names of the graph's inputs or outputs, in the order of the contract."""
    names = [tensor.name for tensor in tensors]
    found = by_contract_name(names, specs)
    if missing := [spec.name for spec in specs if spec.name not in found]:
        raise EngineError(f"{where} has no tensor {', '.join(missing)}; it has {', '.join(names)}")
    return [found[spec.name] for spec in specs]


def _same_artefact(config: Any, manifest: SceneManifest) -> tuple[Check, ...]:
    """Whether the server was started with the artefact whose golden files are at hand."""
    where = f"server's {config.name}"
    if MANIFEST_KEY not in config.parameters:
        return (equal("manifest", where, "none", "that of the artefact"),)
    served = manifest_from_json(config.parameters[MANIFEST_KEY].string_value, where)
    return (
        equal("version", where, served.version, manifest.version),
        equal("artefact SHA-256", where, served.artefact.sha256, manifest.artefact.sha256),
    )
