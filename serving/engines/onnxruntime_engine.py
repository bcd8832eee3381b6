"""ONNX Runtime in this process."""

from collections.abc import Callable
from typing import Any

import onnxruntime

from neurocity.contract import RENDER_OUTPUTS
from neurocity.model_repository import Version
from neurocity.onnx_session import open_render_graph, require_device
from serving.engines.base import EngineOptions
from serving.engines.in_process import Call, InProcessEngine
from serving.engines.rays import Inputs

OUTPUT_NAMES = [spec.name for spec in RENDER_OUTPUTS]


class OnnxRuntimeEngine(InProcessEngine):
    """Renders with one ONNX Runtime session a scene; a call in progress stops when nobody waits for it.

    A session keeps the memory of its largest call for the next one, since giving it back costs a third of the
    render in page faults; `rays_per_call` and `concurrent_calls` bound it.
    """

    name = "onnxruntime"
    formats = ("onnx",)
    library = "ONNX Runtime"

    def __init__(self, options: EngineOptions) -> None:
        require_device(options.device)
        super().__init__(options)

    def load(self, version: Version, options: EngineOptions) -> Any:
        """See `InProcessEngine.load`. Raises EngineError when the graph is not the manifest's."""
        return open_render_graph(version.artefact, version.manifest, options.device, threads=options.threads)

    def prepare(self, program: Any, inputs: Inputs, width: int) -> tuple[Call, Callable[[], None]]:  # noqa: ARG002
        """See `InProcessEngine.prepare`."""
        run_options = onnxruntime.RunOptions()

        def abandon() -> None:
            run_options.terminate = True

        return lambda: program.run(OUTPUT_NAMES, inputs, run_options), abandon
