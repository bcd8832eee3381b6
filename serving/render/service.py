"""The way from a scene, a camera and options to encoded pixels. There is no other.

It knows nothing of HTTP: a request, a frame of a live view, a video and a batch command ask alike.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from neurocity.cameras import Camera
from neurocity.contract import SceneManifest
from neurocity.world import place_camera
from serving.engines.base import Engine, Served, find_scene
from serving.render.cancel import Cancel
from serving.render.images import EncodedImage, encode
from serving.render.options import Limits, RenderOptions

SMALL_PIXELS = 2**16
"""Pixels whose rays, and whose numbers as npy, are made on the event loop: in half a millisecond each, which
is as long as the way to another thread and back takes."""


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """A picture of a scene, of the size of the camera, which is in world coordinates."""

    scene: str
    camera: Camera
    options: RenderOptions = field(default_factory=RenderOptions)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded picture, the version of the scene that it shows, and the milliseconds that it took."""

    image: EncodedImage
    scene_version: int
    render_ms: float
    encode_ms: float


class RenderService:
    """Makes pictures of the scenes of an engine, within limits."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    def scenes(self) -> Mapping[str, SceneManifest]:
        """Scene name -> manifest of the version that is rendered."""
        return self._engine.scenes()

    def scene(self, name: str) -> SceneManifest:
        """The manifest of a scene; raises SceneNotFoundError that lists the known ones."""
        return find_scene(self._engine.scenes(), name)

    def served_by(self, name: str) -> Served:
        """What renders that scene of `scenes`, and why it does."""
        return self._engine.served_by(name)

    def check(self, scene: str, width: int, height: int) -> SceneManifest:
        """The scene's manifest, when a picture of that size may be asked of it; cheap.

        Raises SceneNotFoundError and RequestError.
        """
        manifest = self.scene(scene)
        self._limits.check(width, height)
        return manifest

    async def render(self, request: PictureRequest, cancel: Cancel) -> Picture:
        """The picture, or what stands in its way.

        Raises RenderCancelledError, DeadlineExceededError, CameraError (the lens has no ray for a pixel), and
        as `check`, `place_camera` and `Engine.render`.
        """
        return await cancel.run(self._render(request, cancel.deadline))

    async def ready(self) -> None:
        """Return when each scene can be rendered now; raises EngineUnavailableError otherwise."""
        await self._engine.ready()

    async def _render(self, request: PictureRequest, deadline: float | None) -> Picture:
        manifest = self.check(request.scene, request.camera.width, request.camera.height)
        camera = place_camera(request.camera, manifest.info)
        started = time.perf_counter()
        small = camera.width * camera.height <= SMALL_PIXELS
        make_rays = partial(camera.rays, radii=manifest.takes_ray_radii)
        rays = make_rays() if small else await asyncio.to_thread(make_rays)
        light = await self._engine.render(request.scene, rays, deadline)
        rendered = time.perf_counter()
        picture = light.as_image(camera.height, camera.width)
        make_image = partial(encode, picture, manifest, request.options)
        at_once = small and request.options.format == "npy"  # the others are compressed
        image = make_image() if at_once else await asyncio.to_thread(make_image)
        return Picture(
            image=image,
            scene_version=manifest.version,
            render_ms=(rendered - started) * 1e3,
            encode_ms=(time.perf_counter() - rendered) * 1e3,
        )
