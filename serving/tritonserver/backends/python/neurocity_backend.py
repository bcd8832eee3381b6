"""What the python-based backends share: reading a model's configuration and answering its requests.

Stands beside Triton's `triton_python_backend_utils` in the folder of the python backend, which is on the
`sys.path` of every stub process; it can be imported nowhere else. The package `neurocity` is linked there.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

CANCELLATION_POLL_SECONDS = 0.05

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What Triton tells an instance of a model.

    artefact: the file that it runs.
    device: "cpu", or "cuda:INDEX" of the GPU that it runs on.
    inputs, outputs: their names in `config.pbtxt`.
    parameters: the string parameters of `config.pbtxt`.
    """

    artefact: Path
    device: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, str]

    @classmethod
    def from_arguments(cls, arguments: dict[str, str], *, default_file: str) -> "Instance":
        """The instance described by the argument of `TritonPythonModel.initialize`.

        Raises TritonModelException when the configuration asks for what these backends do not offer.
        """
        config = json.loads(arguments["model_config"])
        if config["max_batch_size"] != 0:
            raise pb_utils.TritonModelException(
                f"max_batch_size: got {config['max_batch_size']}, expected 0 (the ray axis is free in dims)"
            )
        folder = Path(arguments["model_repository"]) / arguments["model_version"]
        artefact = folder / (config["default_model_filename"] or default_file)
        if not artefact.is_file():
            raise pb_utils.TritonModelException(f"no file {artefact}")
        gpu = f"cuda:{arguments['model_instance_device_id']}"
        return cls(
            artefact=artefact,
            device=gpu if arguments["model_instance_kind"] == "GPU" else "cpu",
            inputs=tuple(item["name"] for item in config["input"]),
            outputs=tuple(item["name"] for item in config["output"]),
            parameters={key: value["string_value"] for key, value in config["parameters"].items()},
        )

    def integer_parameter(self, name: str, default: int) -> int:
        """A parameter of `config.pbtxt` as a number; raises TritonModelException when it is none."""
        text = self.parameters.get(name, str(default))
        try:
            return int(text)
        except ValueError:
            raise pb_utils.TritonModelException(
                f"parameters[{name}]: got {text!r}, expected a number"
            ) from None


def check_names(kind: str, configured: Sequence[str], known: Sequence[str]) -> None:
    """Raise TritonModelException when `config.pbtxt` names what the artefact does not have."""
    if unknown := [name for name in configured if name not in known]:
        raise pb_utils.TritonModelException(
            f"config.pbtxt has {kind} {', '.join(unknown)}, the artefact has {', '.join(known)}"
        )


def answer(request: Any, run: Callable[[Arrays, list[str]], Arrays]) -> Any:
    """The response to one request.

    run: (inputs by name, names of the wanted outputs) -> outputs by name. The inputs are views of the
    request's memory. Its exceptions become an error response, so that they do not fail the other requests.
    """
    if request.is_cancelled():
        return _failed("the request was cancelled before it ran", pb_utils.TritonError.CANCELLED)
    inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
    try:
        outputs = run(inputs, sorted(request.requested_output_names()))
    except Exception as error:  # whatever a runtime raises
        if request.is_cancelled():
            return _failed("the request was cancelled while it ran", pb_utils.TritonError.CANCELLED)
        return _failed(f"{type(error).__name__}: {error}", pb_utils.TritonError.INTERNAL)
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])


def _failed(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


@contextlib.contextmanager
def when_cancelled(request: Any, stop: Callable[[], None]) -> Iterator[None]:
    """Inside the `with`, call `stop` from a thread of its own as soon as `request` is cancelled."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(CANCELLATION_POLL_SECONDS):
            if request.is_cancelled():
                stop()
                return

    watcher = threading.Thread(target=watch, name="cancellation", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
