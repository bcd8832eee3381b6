"""TorchScript artefacts in this process. PyTorch is imported when the engine is opened, not before."""

import asyncio
import importlib
import warnings
from collections.abc import Mapping
from typing import Any

from neurocity.contract import SceneManifest
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

FORMAT = "torchscript"


class TorchEngine:
    """Renders with one TorchScript module a scene; an abandoned call runs to its end, unheard."""

    name = "torch"

    def __init__(self, artefacts: Mapping[str, Artefact], options: EngineOptions) -> None:
        self._torch = import_torch(options.device)
        if options.threads:
            self._torch.set_num_threads(options.threads)
        self._device = options.device
        self._manifests = {scene: artefact.manifest for scene, artefact in artefacts.items()}
        self._modules = {scene: self._load(artefact) for scene, artefact in artefacts.items()}
        self._threads = CallThreads(options.concurrent_calls, self.name)

    @classmethod
    async def open(cls, options: EngineOptions) -> "TorchEngine":
        """See `Engine.open`; reads the `torchscript` artefacts of `options.repository`."""

        def load() -> "TorchEngine":
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
            return await self._threads.run(lambda: self._render_tile(scene, origins, directions), deadline)

        return await render_in_tiles(render_tile, manifest.rays_per_call, ray_origins, ray_directions)

    def _render_tile(self, scene: str, ray_origins: Float32, ray_directions: Float32) -> RenderedRays:
        torch, module = self._torch, self._modules[scene]
        try:
            with torch.inference_mode():
                origins = torch.tensor(ray_origins, device=self._device)
                directions = torch.tensor(ray_directions, device=self._device)
                rgb, depth, opacity = (output.cpu().numpy() for output in module(origins, directions))
        except Exception as error:  # an artefact may raise anything
            raise EngineError(f"scene {scene!r}: PyTorch failed: {error}") from error
        return check_rendered(scene, len(ray_origins), RenderedRays(rgb, depth, opacity))

    async def ready(self) -> None:
        """See `Engine.ready`: a loaded module stays ready."""

    async def close(self) -> None:
        """See `Engine.close`."""
        await asyncio.to_thread(self._threads.close)
        self._modules.clear()

    def _load(self, artefact: Artefact) -> Any:
        try:
            with warnings.catch_warnings():
                # TorchScript is deprecated in favour of torch.export, and yet what these artefacts are.
                warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
                return self._torch.jit.load(artefact.path, map_location=self._device).eval()
        except Exception as error:  # a broken archive raises anything
            raise EngineError(f"{artefact.path}: PyTorch cannot open it: {error}") from error


def import_torch(device: str) -> Any:
    """The torch package; raises MissingDependencyError when it, or the device, is absent."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError(
            f"the torch engine needs PyTorch ({error}); install neurocity[cpu], or use --engine onnxruntime"
        ) from None
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError("device 'cuda': PyTorch sees no CUDA device; use --device cpu")
    return torch
