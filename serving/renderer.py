"""Camera to light: rays, cut into calls of the size that the artefact likes, put together again."""

import asyncio

import numpy as np

from neurocity.cameras import Camera
from serving.engines.base import Engine, RenderedRays, find_scene


async def render_camera(engine: Engine, scene: str, camera: Camera, deadline: float | None) -> RenderedRays:
    """What `camera` sees of `scene`: rgb [H, W, 3] without background, depth [H, W], opacity [H, W].

    deadline: instant on the clock of `time.monotonic()`, or None. Cancelling the task abandons the calls that
    are left. Raises as `Engine.render` does.
    """
    rays_per_call = find_scene(engine.scenes(), scene).rays_per_call
    ray_origins, ray_directions = await asyncio.to_thread(camera.rays)
    rays = len(ray_origins)
    image = RenderedRays(
        rgb=np.empty((rays, 3), np.float32),
        depth=np.empty(rays, np.float32),
        opacity=np.empty(rays, np.float32),
    )
    for start in range(0, rays, rays_per_call):
        part = slice(start, start + rays_per_call)
        rendered = await engine.render(scene, ray_origins[part], ray_directions[part], deadline)
        for whole, values in zip(image, rendered, strict=True):
            whole[part] = values
    size = camera.height, camera.width
    return RenderedRays(image.rgb.reshape(*size, 3), image.depth.reshape(size), image.opacity.reshape(size))
