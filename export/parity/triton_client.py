"""An artefact that a running Triton server has, as a renderer: asked over gRPC, one call a request."""

import re
from typing import TYPE_CHECKING, Any

from export.checks import Check, equal
from export.renderer import Renderer
from neurocity.cameras import Rays
from neurocity.contract import (
    MANIFEST_KEY,
    RAY_DIRECTIONS,
    RAY_ORIGINS,
    RENDER_OUTPUTS,
    SceneManifest,
    manifest_from_json,
)
from neurocity.errors import EngineError, EngineUnavailableError, MissingDependencyError
from neurocity.light import Light

if TYPE_CHECKING:
    from types import ModuleType

_TIMEOUT_SECONDS = 120.0
_CHANNEL = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
"""A call may be any size; gRPC's own limit is 4 MiB."""
_UNAVAILABLE = ("UNAVAILABLE", "CANCELLED", "NOT_FOUND", "DEADLINE_EXCEEDED")


def open_on_server(url: str, manifest: SceneManifest) -> tuple[Renderer, tuple[Check, ...]]:
    """The server's model of that name and version, and whether it is the same artefact.

    Raises EngineUnavailableError when the server cannot be reached or has no such version ready, EngineError
    when it fails, ManifestError when it describes the model in a way that cannot be read, and
    MissingDependencyError without tritonclient.
    """
    triton = _import_client()
    name, version = manifest.model_name, str(manifest.version)
    client = triton.InferenceServerClient(url, channel_args=_CHANNEL)
    config = _ask_server(triton, url, client.get_model_config, name, version).config
    if not _ask_server(triton, url, client.is_model_ready, name, version):
        raise EngineUnavailableError(f"Triton at {url}: {name} version {version} is not ready")
    outputs = {re.sub(r"__\d+$", "", output.name): output.name for output in config.output}
    if missing := [spec.name for spec in RENDER_OUTPUTS if spec.name not in outputs]:
        raise EngineError(f"Triton at {url}: {name} has no output {', '.join(missing)}")
    wanted = [triton.InferRequestedOutput(outputs[spec.name]) for spec in RENDER_OUTPUTS]

    def render(rays: Rays) -> Light:
        inputs = []
        for label, array in zip((RAY_ORIGINS, RAY_DIRECTIONS), rays.arrays(), strict=True):
            tensor = triton.InferInput(label, list(array.shape), "FP32")
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        answer = _ask_server(
            triton, url, client.infer, name, inputs, version, outputs=wanted, client_timeout=_TIMEOUT_SECONDS
        )
        return Light(*(answer.as_numpy(outputs[spec.name]) for spec in RENDER_OUTPUTS))

    return render, _same_artefact(config, manifest)


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


def _ask_server(triton: "ModuleType", url: str, call: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return call(*arguments, **options)
    except triton.InferenceServerException as error:
        status = str(error.status()).removeprefix("StatusCode.")
        kind = EngineUnavailableError if status in _UNAVAILABLE else EngineError
        raise kind(f"Triton at {url}: {error.message()} ({status})") from error


def _import_client() -> "ModuleType":
    try:
        import tritonclient.grpc as triton  # noqa: PLC0415, wanted only with --url
    except ImportError as error:
        raise MissingDependencyError(
            f"--url needs tritonclient ({error}); pip install 'neurocity[triton]' brings it"
        ) from None
    module: ModuleType = triton
    return module
