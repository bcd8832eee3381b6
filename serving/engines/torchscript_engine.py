"""TorchScript artefacts in this process. PyTorch is imported when the engine is opened, not before."""

import importlib
import warnings
from collections.abc import Iterable
from typing import Any

from neurocity.errors import MissingDependencyError
from neurocity.light import Float32
from neurocity.model_repository import Version
from neurocity.resources import available_processors
from serving.engines.base import EngineOptions
from serving.engines.in_process import Call, InProcessEngine
from serving.engines.rays import Inputs


class TorchScriptEngine(InProcessEngine):
    """Renders with one TorchScript module a scene; an abandoned call runs to its end."""

    name = "torch"
    formats = ("torchscript",)
    library = "PyTorch"

    def __init__(self, options: EngineOptions) -> None:
        self._torch = import_torch(options.device)
        self._device = options.device
        self._torch.set_num_threads(options.threads or available_processors())
        super().__init__(options)

    def load(self, version: Version, options: EngineOptions) -> Any:
        """See `InProcessEngine.load`."""
        with warnings.catch_warnings():
            # TorchScript is deprecated in favour of torch.export, and yet what these artefacts are.
            warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
            return self._torch.jit.load(version.artefact, map_location=options.device).eval()

    def prepare(self, program: Any, inputs: Inputs, width: int) -> tuple[Call, None]:  # noqa: ARG002
        """See `InProcessEngine.prepare`."""

        def call() -> Iterable[Float32]:
            with self._torch.inference_mode():
                tensors = {
                    name: self._torch.tensor(array, device=self._device) for name, array in inputs.items()
                }
                return [output.cpu().numpy() for output in program(**tensors)]

        return call, None


def import_torch(device: str) -> Any:
    """The torch package; raises MissingDependencyError when it, or the device, is absent."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError(
            f"the torch engine needs PyTorch ({error}); install neurocity[cpu], or use --engine auto"
        ) from None
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError("device 'cuda': PyTorch sees no CUDA device; use --device cpu")
    return torch
