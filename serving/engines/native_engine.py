"""The compiled kernels in this process: a library of the package, neither PyTorch nor ONNX Runtime."""

from collections.abc import Callable
from typing import Any

from neurocity.cameras import Rays
from neurocity.errors import EngineError
from neurocity.kernels.artefact import open_artefact
from neurocity.kernels.library import library
from neurocity.kernels.scene import render_rays
from neurocity.kernels.work import Work
from neurocity.light import Light
from neurocity.model_repository import Version
from serving.engines.base import EngineOptions
from serving.engines.in_process import Call, InProcessEngine
from serving.engines.rays import Inputs


class NativeEngine(InProcessEngine):
    """Renders whole pictures, whose squares threads share out; nobody waits for an abandoned one.

    Files are mapped into memory: what is never looked at is never read, and gateways beside each other share
    what is.
    """

    name = "native"
    formats = ("native",)
    library = "the compiled kernels"
    whole_pictures = True
    maps_files = True
    devices = ("cpu",)

    def __init__(self, options: EngineOptions) -> None:
        """Raises MissingDependencyError where the kernels were not built, and as `InProcessEngine`."""
        super().__init__(options)
        library()

    def load(self, version: Version, options: EngineOptions) -> Any:
        """See `InProcessEngine.load` and `open_artefact`."""
        return open_artefact(version.artefact, version.manifest.inputs), options.threads

    def prepare(self, program: Any, inputs: Inputs, width: int) -> tuple[Call, Callable[[], None]]:
        """See `InProcessEngine.prepare`."""
        (scene, threads), work = program, Work()

        def call() -> Light:
            light = render_rays(scene, Rays(*inputs.values(), width=width), threads=threads, work=work)
            if light is None:
                raise EngineError("the render was stopped")
            return light

        def abandon() -> None:
            work.stop = 1

        return call, abandon
