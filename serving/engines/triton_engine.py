"""A Triton server somewhere else, over gRPC. The scenes are those that the server itself describes.

A model whose configuration has a manifest among its parameters (`neurocity.manifest`) is a scene; other
models of the server are left alone. Rays go in tiles of the manifest's `rays_per_call`, a few at a time. A
tile's RPC carries the render's deadline: Triton drops a queued request whose deadline has passed or whose
caller has gone.

The server may be given new versions and scenes while it runs. A render whose version was unloaded under it
begins again with the one that took its place, so that no picture mixes two; new scenes are found by `ready`.
"""

import contextlib
import math
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from neurocity.cameras import Rays
from neurocity.contract import RENDER_OUTPUTS, SceneManifest
from neurocity.errors import ConfigError, EngineError, EngineUnavailableError, ManifestError
from neurocity.light import Light
from neurocity.triton_channel import CHANNEL_ARGUMENTS, engine_error, import_client
from serving.engines.base import EngineOptions, Served, asked_for, find_scene, seconds_left
from serving.engines.rays import Inputs, check_light, graph_inputs, render_canaries, render_in_calls
from serving.engines.triton_models import CLIENT, PREFERRED_FORMATS, Model, find_models


class TritonEngine:
    """Renders on a Triton server; see the module's text."""

    name = "triton"
    formats: tuple[str, ...] = PREFERRED_FORMATS

    def __init__(self, url: str, client: Any, models: Mapping[str, Model]) -> None:
        self._tritonclient = import_client(CLIENT)
        self._url = url
        self._client = client
        self._take(models)
        self.calls_at_once = max(model.window for model in models.values())

    @classmethod
    async def open(cls, options: EngineOptions) -> "TritonEngine":
        """See `Engine.open`; also raises ConfigError without `options.triton_url`."""
        url = options.triton_url
        if not url:
            raise ConfigError("triton_url: the triton engine needs HOST:PORT of a server's gRPC endpoint")
        client = import_client(CLIENT).InferenceServerClient(url, channel_args=CHANNEL_ARGUMENTS)
        try:
            return cls(url, client, await find_models(client, url))
        except BaseException:
            await client.close()
            raise

    def scenes(self) -> Mapping[str, SceneManifest]:
        """See `Engine.scenes`."""
        return self._manifests

    def served_by(self, scene: str) -> Served:  # noqa: ARG002, all are
        """See `Engine.served_by`."""
        return asked_for(self.name)

    async def render(self, scene: str, rays: Rays, deadline: float | None) -> Light:
        """See `Engine.render`."""
        find_scene(self._manifests, scene)
        model = self._models[scene]
        while True:
            try:
                inputs = graph_inputs(model.manifest, rays)
                infer = partial(self._infer, model, deadline=deadline)
                return await render_in_calls(infer, inputs, model.manifest.rays_per_call, model.window)
            except EngineUnavailableError:
                before, model = model, await self._newest(model)
                if model.version == before.version:
                    raise

    async def ready(self, scenes: Collection[str] | None = None) -> None:
        """See `Engine.ready`; the server is asked first what it has now."""
        await self._refresh()
        await render_canaries(self, scenes)

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

    async def _infer(self, model: Model, inputs: Inputs, deadline: float | None) -> Light:
        """One tile; raises as `Engine.render`."""
        left = seconds_left(deadline)
        tensors = []
        for name, array in inputs.items():
            tensor = self._tritonclient.InferInput(model.inputs[name], list(array.shape), "FP32")
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        names = [model.outputs[spec.name] for spec in RENDER_OUTPUTS]
        try:
            result = await self._client.infer(
                model.name,
                tensors,
                model_version=model.version,
                outputs=[self._tritonclient.InferRequestedOutput(name) for name in names],
                client_timeout=left,
                # In microseconds; counts where the model's configuration has a queue policy that heeds it.
                timeout=None if left is None else math.ceil(left * 1e6),
            )
        except self._tritonclient.InferenceServerException as error:
            raise engine_error(error, self._url) from error
        rays = len(next(iter(inputs.values())))
        return check_light(model.manifest.scene, rays, Light(*(result.as_numpy(name) for name in names)))
