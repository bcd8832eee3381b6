"""The compiled kernels in this process: a library of the package, neither PyTorch nor ONNX Runtime."""

from collections.abc import Callable
from typing import Any

from neurocity.cameras import Rays
from neurocity.errors import EngineError
from neurocity.kernels.file import open_file, scene_data, scene_inputs
from neurocity.kernels.library import library
from neurocity.kernels.scene import open_scene, render_rays
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
    devices = ("cpu",)

    def load(self, version: Version, options: EngineOptions) -> Any:
        """See `InProcessEngine.load`.

        Raises MissingDependencyError where the kernels were not built, EngineError when the scene's rays are
        not the manifest's, and ManifestError when the file is not a scene.
        """
        library()
        file = open_file(version.artefact)
        got, expected = scene_inputs(file), version.manifest.inputs
        if got != expected:
            names = [[spec.name for spec in specs] for specs in (got, expected)]
            raise EngineError(f"{version.artefact}: takes {names[0]}, its manifest says {names[1]}")
        return open_scene(scene_data(file)), options.threads

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
