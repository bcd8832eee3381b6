"""The way from a scene, a camera and options to encoded pixels. There is no other.

It knows nothing of HTTP: a request, a frame of a live view, a video and a batch command ask alike.

    cache -> the same picture under way -> admission -> turns, tile by tile -> encoding -> cache
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from weakref import WeakKeyDictionary

from neurocity.cameras import Camera, Rays
from neurocity.contract import SceneManifest
from neurocity.errors import DeadlineExceededError, EngineUnavailableError
from neurocity.light import Light
from neurocity.pictures.encode import bare_pixels, encoding
from neurocity.pictures.encoded import EncodedImage
from neurocity.pictures.options import RenderOptions
from neurocity.pictures.steps import do
from neurocity.resources import available_processors
from neurocity.world import place_camera
from serving.engines.base import Served
from serving.engines.blocks import BlockView, OpenInBlocks
from serving.render.admission import Admission, Budget, OverloadedError, Work
from serving.render.answers import Answers
from serving.render.block_views import NOT_AT_ALL, WholeView, load_seconds, timed, view_of, wait_until
from serving.render.cancel import Cancel
from serving.render.cost import SHARED_TILE_SECONDS, TILE_SECONDS, EncodingCost, SceneCost
from serving.render.encoders import Encoders, Encoding
from serving.render.flights import Flight, Flights
from serving.render.limits import Limits
from serving.render.picture import Picture, PictureRequest, Stages
from serving.render.picture_cache import PictureCache
from serving.render.picture_job import PictureJob
from serving.render.picture_key import picture_key
from serving.render.quotas import Quotas
from serving.render.readiness import Readiness
from serving.render.tiles import count_tiles, render_in_tiles, tile_rows
from serving.render.turns import PATIENT, Turns, size_class
from serving.scenes.loaded import VersionRefusedError
from serving.scenes.scenes import Scenes
from serving.scenes.version import SceneVersion
from serving.spans import span

SMALL_PIXELS = 2**16
"""Pixels whose rays, and whose numbers as npy, are made on the event loop: in half a millisecond each, which
is as long as the way to another thread and back takes."""

SMALL_COMPRESSED_PIXELS = 2**12
"""Likewise pixels that are compressed, by the slowest of the formats."""


class RenderService:
    """Makes pictures of scenes, within limits and a budget. Used from one event loop."""

    def __init__(
        self,
        scenes: Scenes,
        limits: Limits,
        budget: Budget | None = None,
        made: Callable[[Stages], None] = lambda _: None,
    ) -> None:
        """`made` is told of each picture that was rendered, not of those that were kept."""
        chosen = budget or Budget()
        self._scenes = scenes
        self._made = made
        self._limits = limits
        self._costs = WeakKeyDictionary[SceneVersion, SceneCost]()
        self._encoding = EncodingCost()
        self._admission = Admission(chosen, scenes.calls_at_once)
        self._quotas = Quotas()
        self._turns = Turns(scenes.calls_at_once, lambda place: not self._admission.gives_way(place))
        processors = available_processors()
        self._encoders = Encoders(Turns(1), processors)
        self._urgent = self._encoders
        if scenes.fills_processors:
            threads = max(1, processors // scenes.calls_at_once)
            self._urgent = Encoders(self._turns, threads, beside=self._encoders.beside)
        self._answers = Answers(self._admission)
        self._flights = Flights[Picture]()
        self._cache = PictureCache[Picture](chosen.cache_bytes, lambda kept: len(kept.image.data))
        self._readiness = Readiness(scenes)

    def scenes(self) -> Mapping[str, SceneManifest]:
        """Scene name -> manifest of its newest version."""
        return self._scenes.scenes()

    def scene(self, name: str, version: int | None = None) -> SceneManifest:
        """The manifest of a version of a scene, see `Scenes.find`."""
        return self._scenes.find(name, version).manifest

    def key(self, version: SceneVersion, camera: Camera, options: RenderOptions) -> str:
        """The `picture_key` of a picture of a version; the camera is in world coordinates."""
        content = version.offer.content
        return picture_key(version.manifest, camera, options, content(camera) if content else None)

    def expect(self, scene: str, camera: Camera, version: int | None = None) -> None:
        """A picture of that camera may be asked for soon: blocks that it shows are loaded, if there is room.

        Raises SceneNotFoundError and CameraError.
        """
        found = self._scenes.find(scene, version)
        if isinstance(found.opened, OpenInBlocks):
            found.opened.expect(place_camera(camera, found.manifest.info))

    def served_by(self, name: str, version: int | None = None) -> Served:
        """What renders that scene of `scenes`, and why it does."""
        return self._scenes.find(name, version).served

    def pixels_per_second(self, version: SceneVersion) -> float | None:
        """How fast a version was rendered lately, or by its manifest; None where neither says."""
        return self._cost(version).pixels_per_second()

    @asynccontextmanager
    async def hold(self, scene: str, version: int | None = None) -> AsyncIterator[SceneVersion]:
        """Inside the `async with`, a version stays as it is, for `PictureRequest.held`.

        It is for whoever makes many pictures that must be of one version. The version is loaded now, and is
        not freed before the end. Raises SceneNotFoundError, EngineError and EngineUnavailableError.
        """
        found = self._scenes.find(scene, version)
        async with found.lease():
            yield found

    def check(self, scene: str, width: int, height: int, version: int | None = None) -> SceneManifest:
        """The scene's manifest, when a picture of that size may be asked of it; cheap.

        Raises SceneNotFoundError and RequestError.
        """
        manifest = self.scene(scene, version)
        self._limits.check(width, height)
        return manifest

    def expected_seconds(self, scene: str, pixels: int, version: int | None = None) -> float:
        """What the engine takes for so many pixels of a scene, about, when it has nothing else to do.

        Raises SceneNotFoundError.
        """
        return self._cost(self._scenes.find(scene, version)).seconds(pixels)

    def reserved_seconds(self) -> float:
        """The engine's work that is running or waiting, in seconds."""
        return self._admission.reserved_seconds()

    def queue_share(self) -> float:
        """See `Admission.queue_share`."""
        return self._admission.queue_share()

    def reserved_bytes(self) -> int:
        """Memory of pictures that are being made, and of answers that are being read."""
        return self._admission.reserved_bytes()

    def answering(self, picture: Picture) -> AbstractContextManager[None]:
        """Inside the `with`, the picture's bytes are taken from the budget: its client is reading them."""
        return self._answers.holding(picture.image.data)

    async def render(self, request: PictureRequest, cancel: Cancel) -> Picture:
        """The picture, or what stands in its way. Equal pictures that are asked for meanwhile are made once.

        Raises OverloadedError at once when there is no room for the work, QuotaExceededError when the client
        has had its pixels, RenderCancelledError, DeadlineExceededError, CameraError (the lens has no ray for
        a pixel), and as `check`, `place_camera` and `Engine.render`.
        """
        return await cancel.run(self._render(request, cancel.deadline))

    async def ready(self) -> None:
        """Return when scenes can be rendered now; raises EngineUnavailableError otherwise."""
        await self._readiness.check()

    async def _render(self, request: PictureRequest, deadline: float | None) -> Picture:
        """Begins again where the newest version was unloaded by its server, or turns out to be broken."""
        while True:
            version = request.held or self._scenes.find(request.scene, request.version)
            try:
                return await self._render_version(request, version, deadline)
            except (EngineUnavailableError, VersionRefusedError):
                pinned = request.held is not None or request.version is not None
                if pinned or not await self._replaced(version, deadline):
                    raise

    async def _replaced(self, version: SceneVersion, deadline: float | None) -> bool:
        """Whether another version is the newest by now; False where that is not known at the deadline."""
        try:
            async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                return await self._scenes.replaced(version)
        except TimeoutError:
            return False

    async def _render_version(
        self, request: PictureRequest, version: SceneVersion, deadline: float | None
    ) -> Picture:
        self._limits.check(request.camera.width, request.camera.height)
        if request.for_film:
            return await self._flights.join(object(), deadline, partial(self._begin, request, version, ""))
        known = request.key if request.shown is version.manifest else None
        key = known or self.key(version, request.camera, request.options)
        if (kept := self._cache.get(key)) is not None:
            return kept
        waits = request.wait_seconds > 0.0  # who does is not served by the picture of who does not
        begin = partial(self._begin, request, version, key)
        made = await self._flights.join((key, waits), deadline, begin)
        if request.keep and made.settled:
            self._cache.put(key, made)
        return made

    def _begin(
        self, request: PictureRequest, version: SceneVersion, key: str, flight: Flight[Picture]
    ) -> Coroutine[None, None, Picture]:
        """Reserve the work and give back what does it.

        Raises as `Quotas.check`, `Admission.reserve` and `place_camera`.
        """
        with span("admit"):
            job = self._admit(request, version, key, flight)

        def end() -> None:
            job.reservation.release()
            self._quotas.take(request.client, -job.pixels_left)

        # Not in the coroutine: one that is cancelled before its first step never comes to its `finally`.
        flight.on_end(end)
        return self._traced(job, flight)

    def _admit(
        self, request: PictureRequest, version: SceneVersion, key: str, flight: Flight[Picture]
    ) -> PictureJob:
        """Reserve the work; raises as `_begin`."""
        camera = place_camera(request.camera, version.manifest.info)
        cost = self._cost(version)
        pixels = camera.width * camera.height
        self._quotas.check(request.client, pixels)
        encode_seconds = self._encoding.seconds(request.options, pixels)
        tiles = count_tiles(camera.width, camera.height, cost.usual_tile_pixels())
        until = wait_until(request.wait_seconds, flight.deadline)
        loads = load_seconds(version, camera, until)
        work = Work(
            client=request.client,
            size_class=PATIENT if request.for_film else size_class(tiles),
            pixels=pixels,
            seconds=cost.seconds(pixels) + encode_seconds / available_processors(),
            certain=cost.is_fresh(),
        )
        left = None if flight.deadline is None else flight.deadline - time.monotonic()
        try:
            reservation = self._admission.reserve(replace(work, seconds=work.seconds + loads), left)
        except (OverloadedError, DeadlineExceededError):
            if not loads or request.for_film:
                raise
            # Nobody is refused because of blocks that are not there.
            until, loads = NOT_AT_ALL, 0.0
            reservation = self._admission.reserve(work, left)
        job = PictureJob(
            version=version,
            key=key,
            until=until,
            load_seconds=loads,
            camera=camera,
            options=request.options,
            for_film=request.for_film,
            cost=cost,
            reservation=reservation,
            pixels_left=pixels,
        )
        self._quotas.take(request.client, pixels)
        return job

    async def _traced(self, job: PictureJob, flight: Flight[Picture]) -> Picture:
        about = {"scene": job.manifest.scene, "engine": job.version.served.engine}
        with span("render", pixels=job.pixels_left, **about) as traced:
            try:
                return await self._make(job, flight)
            finally:
                job.tiles.trace(traced)

    async def _make(self, job: PictureJob, flight: Flight[Picture]) -> Picture:
        asked, place = time.perf_counter(), job.reservation.place
        first = unused = None
        turns: Encoding | None = None

        async def render_tile(view: BlockView, camera: Camera) -> Light:
            nonlocal turns, unused
            seconds = job.cost.seconds(camera.width * camera.height)
            # A picture that waits holds its camera alone. One under way has its next tiles' rays ready, so
            # that the engine does not wait for them.
            rays = await self._rays(job, camera) if not unused else None
            ticket, unused = unused or self._turns.ask(place, seconds, queue), None
            async with self._turns.taken(ticket):
                rays = rays or await self._rays(job, camera)
                waited = view.waited_seconds
                try:
                    light = await view.render(rays, flight.deadline)
                except BaseException:
                    if ticket.began < math.inf:
                        job.reservation.left()
                    raise
                ended = time.perf_counter()
                # One that waited for blocks has waited for those of all its tiles.
                if ticket.began < ended and view.waited_seconds == waited:
                    job.cost.measured(len(rays), ended - ticket.began)
                job.tiles.add(min(ticket.began, ended), ended)
                job.pixels_left -= len(rays)
                if not job.pixels_left and (turns := self._encoding_of(job)):
                    turns.ask()  # before this turn ends
            job.reservation.done(seconds)
            return light

        at_once = self._scenes.calls_at_once + 2
        try:
            # To its last tile; it may be loaded first, and then its blocks.
            async with (
                job.version.lease() as opened,
                timed(view_of(opened, job.camera, job.until)) as (view, waited),
            ):
                job.reservation.done(job.load_seconds)
                most = job.pixels if view.in_one else min(job.pixels, job.cost.tile_pixels())
                queue = opened.call_queue
                first = unused = self._turns.ask(place, job.cost.seconds(most), queue)
                await first.told
                rows = self._tile_rows(job, view)  # not before: who else waits is another one by now
                light = await render_in_tiles(partial(render_tile, view), job.camera, rows, at_once)
            rendered = time.perf_counter()
            began = min(first.began, rendered)
            with span("encode", format=job.options.format):
                image = await self._encode(job, light, turns)
        finally:
            if unused:
                self._turns.leave(unused)
            if turns:
                turns.leave()
        stages = Stages(
            scene=job.manifest.scene,
            engine=job.version.served.engine,
            pixels=job.pixels,
            queue=began - asked - waited,
            load=waited,
            compute=rendered - began,
            encode=time.perf_counter() - rendered,
            in_blocks=not isinstance(view, WholeView),
            coarse=bool(view.coarse) and not view.settled,
        )
        self._made(stages)
        return Picture(
            image=image,
            manifest=job.manifest,
            stages=stages,
            key=job.key,
            coarse=view.coarse,
            settled=view.settled,
            pending=view.pending,
        )

    def _tile_rows(self, job: PictureJob, view: BlockView) -> int:
        if view.in_one:
            return job.camera.height
        pixels = job.cost.tile_pixels(shared=self._admission.gives_way(job.reservation.place))
        return tile_rows(job.camera.width, job.camera.height, pixels)

    def _encoding_of(self, job: PictureJob) -> Encoding | None:
        """The encoding of a picture; None of one that is small enough to be encoded on the event loop.

        Who waits for a single picture, as people do, has the processors for it. The pictures of others are
        encoded while the engine renders the next.
        """
        copied = job.options.format == "npy" and job.options.output != "normal"
        if job.pixels <= (SMALL_PIXELS if copied else SMALL_COMPRESSED_PIXELS):
            return None
        seconds = self._encoding.seconds(job.options, job.pixels)
        turn_seconds = SHARED_TILE_SECONDS if self._admission.is_shared() else TILE_SECONDS
        place = job.reservation.place
        urgent = not job.for_film and self._admission.waits_for_one(place.client)
        return Encoding(self._urgent if urgent else self._encoders, place, seconds, turn_seconds)

    async def _encode(self, job: PictureJob, light: Light, turns: Encoding | None) -> EncodedImage:
        steps = (bare_pixels if job.for_film else encoding)(light, job.camera, job.manifest.info, job.options)
        if turns is None:
            began = time.perf_counter()
            image, spent = do(steps), time.perf_counter() - began
        else:
            image, spent = await turns.run(steps), turns.seconds
        if not job.for_film:
            self._encoding.measured(job.options, job.pixels, spent)
        job.reservation.done(spent / available_processors())
        return image

    async def _rays(self, job: PictureJob, camera: Camera) -> Rays:
        make_rays = partial(camera.rays, radii=job.manifest.takes_ray_radii)
        small = camera.width * camera.height <= SMALL_PIXELS
        return make_rays() if small else await asyncio.to_thread(make_rays)

    def _cost(self, version: SceneVersion) -> SceneCost:
        if version not in self._costs:
            self._costs[version] = SceneCost(version.manifest, time.monotonic)
        return self._costs[version]
