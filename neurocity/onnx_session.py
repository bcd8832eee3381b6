"""Opens an ONNX render graph in ONNX Runtime: the same way for the proof and for serving."""

from pathlib import Path
from typing import Any

import onnxruntime

from neurocity.contract import RENDER_OUTPUTS, SceneManifest
from neurocity.errors import EngineError, MissingDependencyError
from neurocity.resources import available_processors

_PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    # TensorFloat-32 keeps 10 bits of a product; artefacts are proved equal to the model in float32.
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
}
_ERRORS_ONLY = 3


def open_render_graph(path: Path, manifest: SceneManifest, device: str, *, threads: int = 0) -> Any:
    """The session of an artefact that its manifest describes; see `open_session`.

    Raises EngineError, too, when the graph's inputs or outputs are not the manifest's.
    """
    session = open_session(path, device, threads=threads)
    got = [sorted(item.name for item in items) for items in (session.get_inputs(), session.get_outputs())]
    expected = [sorted(spec.name for spec in specs) for specs in (manifest.inputs, RENDER_OUTPUTS)]
    if got != expected:
        raise EngineError(
            f"{path}: has inputs {got[0]} and outputs {got[1]}, expected {expected[0]} and {expected[1]}"
        )
    return session


def open_session(path: Path, device: str, *, threads: int = 0) -> Any:
    """An `onnxruntime.InferenceSession` of the file at `path` that computes on `device` and nowhere else.

    device: "cpu", "cuda" or "cuda:INDEX". threads: inside one run; 0 for one a processor
    that this process may use.
    Raises MissingDependencyError when this build of ONNX Runtime or this machine lacks the device, and
    EngineError when the file cannot be opened.
    """
    provider, provider_options = require_device(device)
    options = onnxruntime.SessionOptions()
    # Left to itself, it counts the machine's processors and pins its threads to them.
    options.intra_op_num_threads = threads or available_processors()
    # Else its threads keep their processors busy for 30 ms after each run.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[(provider, provider_options)])
    except MemoryError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise EngineError(f"{path}: ONNX Runtime cannot open it: {error}") from error
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise MissingDependencyError(
            f"{path}: asked for {provider}, got {session.get_providers()[0]}; the device or its libraries "
            "are not usable on this machine"
        )
    return session


def require_device(device: str) -> tuple[str, dict[str, str]]:
    """The execution provider of a device and its options. Raises MissingDependencyError as `open_session`."""
    kind, _, index = device.partition(":")
    provider, provider_options = _PROVIDERS[kind]
    if index:
        provider_options = provider_options | {"device_id": index}
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise MissingDependencyError(
            f"device {device!r} needs ONNX Runtime's {provider}, this build has {', '.join(available)}; "
            "install onnxruntime-gpu in place of onnxruntime: pip install 'neurocity[gpu]'"
        )
    return provider, provider_options
