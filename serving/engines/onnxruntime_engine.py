"""ONNX Runtime in this process: the default engine."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from neurocity.contract import DEPTH, OPACITY, RAY_DIRECTIONS, RAY_ORIGINS, RGB, SceneManifest
from neurocity.errors import EngineError, MissingDependencyError
from serving.engines.artefacts import Artefact, find_artefacts
from serving.engines.base import (
    EngineOptions,
    Float32,
    RenderedRays,
    check_rays,
    check_rendered,
    find_scene,
)
from serving.engines.calls import CallThreads, render_in_tiles

FORMAT = "onnx"
PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    # TensorFloat-32 keeps 10 bits of a product; artefacts were proved equal to the model in float32.
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
}
OUTPUT_NAMES = [RGB, DEPTH, OPACITY]


class OnnxRuntimeEngine:
    """Renders with one ONNX Runtime session a scene; a call in progress stops when nobody waits for it.

    A session keeps the memory of its largest call for the next one, since giving it back costs a third of the
    render in page faults; `rays_per_call` and `concurrent_calls` bound it.
    """

    name = "onnxruntime"

    def __init__(self, artefacts: Mapping[str, Artefact], options: EngineOptions) -> None:
        self._manifests = {scene: artefact.manifest for scene, artefact in artefacts.items()}
        self._sessions = {
            scene: open_session(artefact.path, options) for scene, artefact in artefacts.items()
        }
        self._threads = CallThreads(options.concurrent_calls, self.name)

    @classmethod
    async def open(cls, options: EngineOptions) -> "OnnxRuntimeEngine":
        """See `Engine.open`; reads the `onnx` artefacts of `options.repository`."""

        def load() -> "OnnxRuntimeEngine":
            return cls(find_artefacts(options.repository, FORMAT, options.precision), options)

        return await asyncio.to_thread(load)

    def scenes(self) -> Mapping[str, SceneManifest]:
        """See `Engine.scenes`."""
        return self._manifests

    async def render(
        self, scene: str, ray_origins: Float32, ray_directions: Float32, deadline: float | None
    ) -> RenderedRays:
        """See `Engine.render`."""
        manifest = find_scene(self._manifests, scene)
        check_rays(ray_origins, ray_directions)

        async def render_tile(origins: Float32, directions: Float32) -> RenderedRays:
            return await self._render_tile(scene, origins, directions, deadline)

        return await render_in_tiles(render_tile, manifest.rays_per_call, ray_origins, ray_directions)

    async def _render_tile(
        self, scene: str, ray_origins: Float32, ray_directions: Float32, deadline: float | None
    ) -> RenderedRays:
        session = self._sessions[scene]
        run_options = onnxruntime.RunOptions()
        feeds = {
            RAY_ORIGINS: np.ascontiguousarray(ray_origins),
            RAY_DIRECTIONS: np.ascontiguousarray(ray_directions),
        }

        def call() -> RenderedRays:
            try:
                outputs = session.run(OUTPUT_NAMES, feeds, run_options)
            except Exception as error:  # ONNX Runtime's exceptions have no common base
                raise EngineError(f"scene {scene!r}: ONNX Runtime failed: {error}") from error
            return check_rendered(scene, len(ray_origins), RenderedRays(*outputs))

        def abandon() -> None:
            run_options.terminate = True

        return await self._threads.run(call, deadline, abandon)

    async def ready(self) -> None:
        """See `Engine.ready`: an opened session stays ready."""

    async def close(self) -> None:
        """See `Engine.close`."""
        await asyncio.to_thread(self._threads.close)
        self._sessions.clear()


def open_session(path: Path, options: EngineOptions) -> Any:
    """An inference session that computes on the device asked for, and nowhere else.

    Raises MissingDependencyError when this build of ONNX Runtime or this machine lacks the device, and
    EngineError when the file is not a render graph.
    """
    provider, provider_options = PROVIDERS[options.device]
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise MissingDependencyError(
            f"device {options.device!r} needs ONNX Runtime's {provider}, this build has "
            f"{', '.join(available)}; install the package onnxruntime-gpu in place of onnxruntime"
        )
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    try:
        session = onnxruntime.InferenceSession(
            path, session_options, providers=[(provider, provider_options)]
        )
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise EngineError(f"{path}: ONNX Runtime cannot open it: {error}") from error
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise MissingDependencyError(
            f"{path}: asked for {provider}, got {session.get_providers()[0]}; the device or its libraries "
            "are not usable on this machine"
        )
    inputs = {item.name for item in session.get_inputs()}
    outputs = {item.name for item in session.get_outputs()}
    if not {RAY_ORIGINS, RAY_DIRECTIONS} <= inputs or not set(OUTPUT_NAMES) <= outputs:
        raise EngineError(
            f"{path}: has inputs {sorted(inputs)} and outputs {sorted(outputs)}, expected "
            f"{[RAY_ORIGINS, RAY_DIRECTIONS]} and {OUTPUT_NAMES}"
        )
    return session
