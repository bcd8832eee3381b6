"""A Triton server somewhere else, over gRPC. The scenes are those that the server itself describes.

A model whose configuration has a manifest among its parameters (`neurocity.manifest`) is a scene; other
models of the server are left alone. Rays go in tiles of the manifest's `rays_per_call`, a few at a time. A
tile's RPC carries the render's deadline: Triton drops a queued request whose deadline has passed or whose
caller has gone.

The server may be given new versions and scenes while it runs. A render whose version was unloaded under it
begins again with the one that took its place, so that no picture mixes two; new scenes are found by `ready`.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurocity.contract import DEPTH, OPACITY, RAY_DIRECTIONS, RAY_ORIGINS, RGB, SceneManifest
from neurocity.errors import (
    ConfigError,
    DeadlineExceededError,
    EngineError,
    EngineUnavailableError,
    ManifestError,
)
from serving.engines.base import EngineOptions, Float32, RenderedRays, check_rays, check_rendered, find_scene
from serving.engines.triton_models import Model, engine_error, find_models, import_client

CANARY_TIMEOUT_SECONDS = 5.0
CHANNEL_ARGUMENTS = [
    # A tile may be any size; gRPC's own limit is 4 MiB.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC waits up to two minutes before it tries a lost server again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


class TritonEngine:
    """Renders on a Triton server; see the module's text."""

    name = "triton"

    def __init__(self, url: str, client: Any, models: Mapping[str, Model]) -> None:
        self._tritonclient = import_client()
        self._url = url
        self._client = client
        self._take(models)

    @classmethod
    async def open(cls, options: EngineOptions) -> "TritonEngine":
        """See `Engine.open`; also raises ConfigError without `options.triton_url`."""
        url = options.triton_url
        if not url:
            raise ConfigError("triton_url: the triton engine needs HOST:PORT of a server's gRPC endpoint")
        client = import_client().InferenceServerClient(url, channel_args=CHANNEL_ARGUMENTS)
        try:
            return cls(url, client, await find_models(client, url))
        except BaseException:
            await client.close()
            raise

    def scenes(self) -> Mapping[str, SceneManifest]:
        """See `Engine.scenes`."""
        return self._manifests

    async def render(
        self, scene: str, ray_origins: Float32, ray_directions: Float32, deadline: float | None
    ) -> RenderedRays:
        """See `Engine.render`."""
        find_scene(self._manifests, scene)
        check_rays(ray_origins, ray_directions)
        model = self._models[scene]
        while True:
            try:
                return await self._render(model, ray_origins, ray_directions, deadline)
            except EngineUnavailableError:
                before, model = model, await self._newest(model)
                if model.version == before.version:
                    raise

    async def _render(
        self, model: Model, ray_origins: Float32, ray_directions: Float32, deadline: float | None
    ) -> RenderedRays:
        """All tiles by one version of a model; raises as `Engine.render`."""
        rays = len(ray_origins)
        rendered = RenderedRays(
            np.empty((rays, 3), np.float32), np.empty(rays, np.float32), np.empty(rays, np.float32)
        )
        tiles = tile_slices(rays, model.manifest.rays_per_call)

        async def work() -> None:
            for tile in tiles:
                part = await self._infer(model, ray_origins[tile], ray_directions[tile], deadline)
                for whole, array in zip(rendered, part, strict=True):
                    whole[tile] = array

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(model.window):
                    workers.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return rendered

    async def ready(self) -> None:
        """See `Engine.ready`; renders a ray of each scene, for Triton says ready with a dead backend."""
        await self._refresh()
        limit = time.monotonic() + CANARY_TIMEOUT_SECONDS
        for scene, model in self._models.items():
            try:
                await self.render(scene, *canary_ray(model.manifest), limit)
            except EngineError as error:
                raise EngineUnavailableError(f"scene {scene!r} did not render a ray: {error}") from error

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._client.close()

    def _take(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self._manifests = {scene: model.manifest for scene, model in models.items()}

    async def _refresh(self) -> None:
        """Ask the server again what it has. Raises EngineUnavailableError where `find_models` fails."""
        try:
            self._take(await find_models(self._client, self._url))
        except EngineUnavailableError:
            raise
        except (EngineError, ManifestError) as error:
            raise EngineUnavailableError(str(error)) from error

    async def _newest(self, model: Model) -> Model:
        """What the server has now of that model's scene; the same model if that cannot be found out."""
        with contextlib.suppress(EngineUnavailableError):
            await self._refresh()
        return self._models.get(model.manifest.scene, model)

    async def _infer(
        self, model: Model, ray_origins: Float32, ray_directions: Float32, deadline: float | None
    ) -> RenderedRays:
        """One tile; raises as `Engine.render`."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceededError("the deadline of the render has passed")
        inputs = []
        for name, array in ((RAY_ORIGINS, ray_origins), (RAY_DIRECTIONS, ray_directions)):
            tensor = self._tritonclient.InferInput(model.inputs[name], list(array.shape), "FP32")
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        names = [model.outputs[name] for name in (RGB, DEPTH, OPACITY)]
        try:
            result = await self._client.infer(
                model.name,
                inputs,
                model_version=model.version,
                outputs=[self._tritonclient.InferRequestedOutput(name) for name in names],
                client_timeout=left,
                # In microseconds; counts where the model's configuration has a queue policy that heeds it.
                timeout=None if left is None else math.ceil(left * 1e6),
            )
        except self._tritonclient.InferenceServerException as error:
            raise engine_error(error, self._url) from error
        rendered = RenderedRays(*(result.as_numpy(name) for name in names))
        return check_rendered(model.manifest.scene, len(ray_origins), rendered)


def tile_slices(rays: int, rays_per_call: int) -> Iterator[slice]:
    """Slices of at most `rays_per_call` that cover `range(rays)` in order."""
    return (slice(start, min(start + rays_per_call, rays)) for start in range(0, rays, rays_per_call))


def canary_ray(manifest: SceneManifest) -> tuple[Float32, Float32]:
    """One ray [1, 3], [1, 3] through the scene's box, from its lowest corner to its highest."""
    bounds = np.array(manifest.info.bounds, np.float64)
    diagonal = bounds[3:] - bounds[:3]
    direction = diagonal / np.linalg.norm(diagonal)
    return bounds[None, :3].astype(np.float32), direction[None].astype(np.float32)
