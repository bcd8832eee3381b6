"""A Triton server somewhere else, over gRPC. The scenes are those that the server itself describes.

A model whose configuration has a manifest among its parameters (`neurocity.manifest`) is a scene; other
models of the server are left alone. Rays go in tiles of the manifest's `rays_per_call`, a few at a time. A
tile's RPC carries the render's deadline: Triton drops a queued request whose deadline has passed or whose
caller has gone.

The server may be given new versions and scenes while it runs. What renders a version that was unloaded gets
EngineUnavailableError.
"""

import math
from collections.abc import Hashable
from functools import partial
from typing import Any

from neurocity.cameras import Rays
from neurocity.contract import RENDER_OUTPUTS
from neurocity.errors import ConfigError
from neurocity.light import Light
from neurocity.triton_channel import CHANNEL_ARGUMENTS, engine_error, import_client
from serving.engines.base import EngineOptions, Found, Offer, OpenVersion, asked_for, seconds_left
from serving.engines.rays import Inputs, check_light, graph_inputs, render_in_calls
from serving.engines.triton_models import CLIENT, PREFERRED_FORMATS, Model, find_models
from serving.spans import trace_headers


class TritonEngine:
    """The scenes of a Triton server, a `Source`; see the module's text."""

    name = "triton"
    formats: tuple[str, ...] = PREFERRED_FORMATS
    loads = False
    fills_processors = False

    def __init__(self, url: str, client: Any) -> None:
        self._url = url
        self._client = client
        self.calls_at_once = 1

    @classmethod
    async def start(cls, options: EngineOptions) -> "TritonEngine":
        """The engine, connected. Raises ConfigError without `options.triton_url`, and as `look`."""
        url = options.triton_url
        if not url:
            raise ConfigError("triton_url: the triton engine needs HOST:PORT of a server's gRPC endpoint")
        client = import_client(CLIENT).InferenceServerClient(url, channel_args=CHANNEL_ARGUMENTS)
        engine = cls(url, client)
        try:
            models, _ = await find_models(client, url)
        except BaseException:
            await client.close()
            raise
        engine.calls_at_once = max(model.window for model in models)
        return engine

    async def look(self) -> Found:
        """See `Source.look`; of several models of a version of a scene, the preferred one."""
        models, refused = await find_models(self._client, self._url)
        offers: dict[str, dict[int, Offer]] = {}
        for model in models:
            manifest = model.manifest
            offers.setdefault(manifest.scene, {})[manifest.version] = self._offer(model)
        return Found(offers=offers, refused=refused)

    async def close(self) -> None:
        """See `Source.close`."""
        await self._client.close()

    def _offer(self, model: Model) -> Offer:
        async def open_model() -> OpenVersion:
            return OpenModel(self._url, self._client, model)

        return Offer(
            manifest=model.manifest,
            served=asked_for(self.name),
            place=model.name,
            identity=repr(model),  # all that the server says of it
            open=open_model,
        )


class OpenModel:
    """A version of a model that the server has loaded. See `OpenVersion`."""

    maps_file = False
    call_queue: Hashable | None = None

    def __init__(self, url: str, client: Any, model: Model) -> None:
        self.manifest = model.manifest
        self._tritonclient = import_client(CLIENT)
        self._url = url
        self._client = client
        self._model = model

    async def render(self, rays: Rays, deadline: float | None) -> Light:
        """See `OpenVersion.render`."""
        infer = partial(self._infer, deadline=deadline)
        inputs = graph_inputs(self.manifest, rays)
        return await render_in_calls(infer, inputs, self.manifest.rays_per_call, self._model.window)

    def close(self) -> None:
        """See `OpenVersion.close`; it is the server that unloads a model."""

    async def _infer(self, inputs: Inputs, deadline: float | None) -> Light:
        """One tile; raises as `OpenVersion.render`."""
        left = seconds_left(deadline)
        model = self._model
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
                headers=trace_headers(),
                # In microseconds; counts where the model's configuration has a queue policy that heeds it.
                timeout=None if left is None else math.ceil(left * 1e6),
            )
        except self._tritonclient.InferenceServerException as error:
            raise engine_error(error, self._url) from error
        rays = len(next(iter(inputs.values())))
        return check_light(model.manifest.scene, rays, Light(*(result.as_numpy(name) for name in names)))
