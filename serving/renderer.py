"""Camera to light: rays through an engine, put together as an image."""

import asyncio

from neurocity.cameras import Camera
from serving.engines.base import Engine, RenderedRays


async def render_camera(engine: Engine, scene: str, camera: Camera, deadline: float | None) -> RenderedRays:
    """What `camera` sees of `scene`: rgb [H, W, 3] without background, depth [H, W], opacity [H, W].

    deadline: instant on the clock of `time.monotonic()`, or None. Cancelling the task stops the engine's work
    as `Engine.render` says; raises as that does.
    """
    rays = await asyncio.to_thread(camera.rays)
    rgb, depth, opacity = await engine.render(scene, rays.origins, rays.directions, deadline)
    size = camera.height, camera.width
    return RenderedRays(rgb.reshape(*size, 3), depth.reshape(size), opacity.reshape(size))
