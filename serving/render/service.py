"""The way from a scene, a camera and options to encoded pixels. There is no other.

It knows nothing of HTTP: a request, a frame of a live view, a video and a batch command ask alike.

    cache -> the same picture under way -> admission -> turns, tile by tile -> encoding -> cache
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial

from neurocity.cameras import Camera, Rays
from neurocity.contract import SceneManifest
from neurocity.light import Light
from neurocity.resources import available_processors
from neurocity.world import place_camera
from serving.engines.base import Engine, Served, find_scene
from serving.render.admission import Admission, Budget, Reservation, Work
from serving.render.cancel import Cancel
from serving.render.cost import EncodingCost, SceneCost
from serving.render.flights import Flight, Flights
from serving.render.images import EncodedImage, encode
from serving.render.options import Limits, RenderOptions
from serving.render.picture_cache import PictureCache
from serving.render.picture_key import picture_key
from serving.render.readiness import Readiness
from serving.render.tiles import count_tiles, render_in_tiles, tile_rows
from serving.render.turns import Turns, size_class

SMALL_PIXELS = 2**16
"""Pixels whose rays, and whose numbers as npy, are made on the event loop: in half a millisecond each, which
is as long as the way to another thread and back takes."""

SMALL_COMPRESSED_PIXELS = 2**12
"""Likewise pixels that are compressed, by the slowest of the formats."""


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """A picture of a scene, of the size of the camera, which is in world coordinates.

    client: who asks. The engine's time is shared out fairly between clients.
    """

    scene: str
    camera: Camera
    options: RenderOptions = field(default_factory=RenderOptions)
    client: Hashable = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded picture, the version of the scene that it shows, and the milliseconds that it took.

    render_ms: from its first tile's turn to the last one's end.
    """

    image: EncodedImage
    scene_version: int
    render_ms: float
    encode_ms: float


@dataclass(frozen=True, kw_only=True)
class Stages:
    """A picture that was rendered, and the seconds that it waited, was rendered and was encoded."""

    scene: str
    engine: str
    pixels: int
    queue: float
    compute: float
    encode: float


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is known of a picture that is going to be made. camera: in scene coordinates."""

    manifest: SceneManifest
    camera: Camera
    options: RenderOptions
    cost: SceneCost
    reservation: Reservation


class RenderService:
    """Makes pictures of the scenes of an engine, within limits and a budget. Used from one event loop."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        budget: Budget | None = None,
        made: Callable[[Stages], None] = lambda _: None,
    ) -> None:
        """`made` is told of each picture that was rendered, not of those that were kept."""
        chosen = budget or Budget()
        self._engine = engine
        self._made = made
        self._limits = limits
        self._costs: dict[tuple[str, str, str], SceneCost] = {}
        self._encoding = EncodingCost()
        self._admission = Admission(chosen, engine.calls_at_once)
        self._turns = Turns(engine.calls_at_once)
        self._flights = Flights[Picture]()
        self._cache = PictureCache[Picture](chosen.cache_bytes)
        self._readiness = Readiness(engine)

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

    def reserved_seconds(self) -> float:
        """The engine's work that is running or waiting, in seconds."""
        return self._admission.reserved_seconds()

    async def render(self, request: PictureRequest, cancel: Cancel) -> Picture:
        """The picture, or what stands in its way. Equal pictures that are asked for meanwhile are made once.

        Raises OverloadedError at once when there is no room for the work, RenderCancelledError,
        DeadlineExceededError, CameraError (the lens has no ray for a pixel), and as `check`, `place_camera`
        and `Engine.render`.
        """
        return await cancel.run(self._render(request, cancel.deadline))

    async def ready(self) -> None:
        """Return when scenes can be rendered now; raises EngineUnavailableError otherwise."""
        await self._readiness.check()

    async def _render(self, request: PictureRequest, deadline: float | None) -> Picture:
        manifest = self.check(request.scene, request.camera.width, request.camera.height)
        key = picture_key(manifest, request.camera, request.options)
        if (kept := self._cache.get(key)) is not None:
            return kept
        begin = partial(self._begin, request, manifest)
        made = await self._flights.join(key, deadline, begin)
        self._cache.put(key, made, len(made.image.data))
        return made

    def _begin(
        self, request: PictureRequest, manifest: SceneManifest, flight: Flight[Picture]
    ) -> Coroutine[None, None, Picture]:
        """Reserve the work and give back what does it; raises as `Admission.reserve` and `place_camera`."""
        camera = place_camera(request.camera, manifest.info)
        cost = self._cost(manifest)
        pixels = camera.width * camera.height
        encoding = self._encoding.seconds(request.options.format, pixels)
        work = Work(
            client=request.client,
            size_class=size_class(count_tiles(camera.width, camera.height, cost.tile_pixels())),
            pixels=pixels,
            seconds=cost.seconds(pixels) + encoding / available_processors(),
            certain=cost.is_fresh(),
        )
        left = None if flight.deadline is None else flight.deadline - time.monotonic()
        job = _Job(
            manifest=manifest,
            camera=camera,
            options=request.options,
            cost=cost,
            reservation=self._admission.reserve(work, left),
        )
        # Not in the coroutine: one that is cancelled before its first step never comes to its `finally`.
        flight.on_end(job.reservation.release)
        return self._make(job, flight)

    async def _make(self, job: _Job, flight: Flight[Picture]) -> Picture:
        asked, began = time.perf_counter(), list[float]()

        async def render_tile(camera: Camera) -> Light:
            seconds = job.cost.seconds(camera.width * camera.height)
            # A picture that waits holds its camera alone. One under way has a tile's rays ready, so that the
            # engine does not wait for them.
            rays = await self._rays(job, camera) if began else None
            async with self._turns.turn(job.reservation.place, seconds) as turn_began:
                began.append(turn_began)
                rays = rays or await self._rays(job, camera)
                light = await self._engine.render(job.manifest.scene, rays, flight.deadline)
                job.cost.measured(len(rays), time.perf_counter() - turn_began)
            job.reservation.done(seconds)
            return light

        rows = tile_rows(job.camera.width, job.camera.height, job.cost.tile_pixels())
        light = await render_in_tiles(render_tile, job.camera, rows, self._engine.calls_at_once + 1)
        rendered = time.perf_counter()
        make_image = partial(encode, light, job.manifest, job.options)
        most = SMALL_PIXELS if job.options.format == "npy" else SMALL_COMPRESSED_PIXELS
        at_once = job.camera.width * job.camera.height <= most
        image = make_image() if at_once else await asyncio.to_thread(make_image)
        stages = Stages(
            scene=job.manifest.scene,
            engine=self.served_by(job.manifest.scene).engine,
            pixels=job.camera.width * job.camera.height,
            queue=began[0] - asked,
            compute=rendered - began[0],
            encode=time.perf_counter() - rendered,
        )
        self._encoding.measured(job.options.format, stages.pixels, stages.encode)
        self._made(stages)
        return Picture(
            image=image,
            scene_version=job.manifest.version,
            render_ms=stages.compute * 1e3,
            encode_ms=stages.encode * 1e3,
        )

    async def _rays(self, job: _Job, camera: Camera) -> Rays:
        make_rays = partial(camera.rays, radii=job.manifest.takes_ray_radii)
        small = camera.width * camera.height <= SMALL_PIXELS
        return make_rays() if small else await asyncio.to_thread(make_rays)

    def _cost(self, manifest: SceneManifest) -> SceneCost:
        key = manifest.scene, self.served_by(manifest.scene).engine, manifest.artefact.sha256
        if key not in self._costs:
            self._costs[key] = SceneCost(manifest, time.monotonic)
        return self._costs[key]
