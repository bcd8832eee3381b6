"""Cities in this process, by the compiled kernels: blocks come and go within a bound of memory.

    a picture: a small one shows which blocks it needs -> these are loaded, by threads of their own, while
    others have their turns -> tiles, with what is there

Blocks that do not fit into memory beside the others of a picture are loaded while it is rendered, in one
piece so that each is loaded once.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Hashable, Iterable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from neurocity.cameras import Camera, Rays
from neurocity.city.loading import Urgency
from neurocity.city.manifest import City
from neurocity.city.renderer import MOST_EXPECTED, CityRenderer, View, pixel_of
from neurocity.city.residency import Hold, Loaded, Residency, Want
from neurocity.contract import SceneManifest
from neurocity.errors import EngineError, MissingDependencyError
from neurocity.kernels.library import library
from neurocity.kernels.work import Work
from neurocity.light import Light
from serving.engines.base import EngineOptions
from serving.engines.blocks import BlockCounts, BlockState, OpenInBlocks
from serving.engines.call_threads import CallThreads
from serving.engines.rays import check_light

log = logging.getLogger("neurocity.serving")

ROUNDS = 4
"""Of looking what a picture needs: blocks that have come show what is behind gaps of their stand-ins."""


class CityEngine:
    """See `blocks.CityEngine`. residency: of the blocks of all cities."""

    def __init__(self, options: EngineOptions, memory_bytes: int) -> None:
        """Raises MissingDependencyError where the kernels were not built, and for other devices than cpu."""
        if options.device != "cpu":
            raise MissingDependencyError(f"device {options.device!r}: cities are rendered on cpu")
        library()
        self.residency = Residency(memory_bytes, _tell_broken)
        self.threads = CallThreads(options.concurrent_calls, "city")
        self.scouts = CallThreads(1, "scout")
        self.threads_of_call = options.threads
        self._renderers = WeakValueDictionary[Path, CityRenderer]()

    def open(self, folder: Path, city: City, manifest: SceneManifest) -> "OpenCity":
        """See `blocks.CityEngine`."""
        before = self._renderers.get(folder)
        renderer = CityRenderer(folder, residency=self.residency, city=city, before=before)
        self._renderers[folder] = renderer
        return OpenCity(self, renderer, manifest)

    def counts(self) -> BlockCounts:
        """See `blocks.CityEngine`."""
        residency = self.residency
        counts = residency.counts
        return BlockCounts(
            loaded=counts.loads,
            failed=counts.failures,
            load_seconds=counts.seconds,
            evicted=counts.evicted,
            resident=residency.models,
            resident_bytes=residency.bytes,
            limit_bytes=residency.limit_bytes,
            oldest_seconds=residency.oldest_seconds(),
        )

    def close(self) -> None:
        """See `blocks.CityEngine`."""
        self.threads.close()
        self.scouts.close()


class OpenCity(OpenInBlocks):
    """See `OpenInBlocks`."""

    maps_file = True
    call_queue: Hashable | None = None

    def __init__(self, engine: CityEngine, renderer: CityRenderer, manifest: SceneManifest) -> None:
        self.manifest = manifest
        self.engine, self.renderer = engine, renderer
        self.bytes = renderer.coarse.bytes
        self._expecting: asyncio.Task[None] | None = None

    async def render(self, rays: Rays, deadline: float | None) -> Light:
        """See `OpenVersion.render`; by what is in memory."""
        with Hold(self.engine.residency) as hold:
            return await self.render_view(rays, View(hold, until=-math.inf), deadline)

    @asynccontextmanager
    async def view(self, camera: Camera, until: float) -> AsyncIterator["CityPicture"]:
        """See `OpenInBlocks`."""
        with Hold(self.engine.residency) as hold:
            picture = CityPicture(self, camera, View(hold, pixel_of(camera), until))
            if picture.waits:
                await picture.prepare()
            yield picture
            picture.ended()

    def expect(self, camera: Camera) -> None:
        """See `OpenInBlocks`; one camera at a time, others meanwhile are as good as asked for too late."""
        if self._expecting is None or self._expecting.done():
            self._expecting = asyncio.get_running_loop().create_task(self._expect(camera))

    def load_seconds(self, camera: Camera) -> float:
        """See `OpenInBlocks`."""
        residency = self.engine.residency
        return residency.seconds(residency.fitting(self.renderer.may_want(camera)))

    def has_all(self, camera: Camera) -> bool:
        """Whether all that a picture of the camera may show is in memory."""
        wants = self.renderer.may_want(camera)
        return len(wants) < MOST_EXPECTED and all(self.engine.residency.has(want.key) for want in wants)

    def state(self) -> BlockState:
        """See `OpenInBlocks`."""
        loaded, size = self.renderer.resident()
        broken = self.renderer.broken()
        return BlockState(len(self.renderer.city.blocks), loaded, self.bytes + size, broken)

    def close(self) -> None:
        """See `OpenVersion.close`."""
        self.renderer.close()

    async def scout(self, camera: Camera) -> list[Want]:
        """What a picture of the camera needs, in the order of its distance."""

        def call() -> list[Want]:
            with Hold(self.engine.residency) as hold:
                return [*self.renderer.scout(camera, hold).wanted.values()]

        return await self.engine.scouts.call(call, None, None)

    async def render_view(self, rays: Rays, view: View, deadline: float | None) -> Light:
        """The light of a picture's rays, see `OpenVersion.render`."""
        work, threads = Work(), self.engine.threads_of_call

        def call() -> Light:
            light = self.renderer.render_view(rays, view, threads=threads, work=work)
            if light is None:
                raise EngineError("the render was stopped")
            return check_light(self.manifest.scene, len(rays), light)

        def abandon() -> None:
            work.stop = 1

        return await self.engine.threads.call(call, deadline, abandon)

    def ask(self, wants: Iterable[Want], urgency: Urgency) -> "list[Future[Loaded | None]]":
        """Have these loaded that are not in memory, nor broken."""
        residency = self.engine.residency
        return [
            residency.ask(want, urgency)
            for want in wants
            if not residency.has(want.key) and not residency.failed(want.key)
        ]

    async def _expect(self, camera: Camera) -> None:
        self.ask(self.engine.residency.fitting(await self.scout(camera)), Urgency.EXPECTED)


class CityPicture:
    """See `BlockView`. waits: whether it waits for blocks that are not there."""

    def __init__(self, opened: OpenCity, camera: Camera, view: View) -> None:
        self.in_one = False
        self._opened, self._camera, self._view = opened, camera, view
        self._residency = opened.engine.residency
        self.waits = view.until > time.monotonic()

    @property
    def coarse(self) -> tuple[str, ...]:
        """See `BlockView`."""
        return tuple(sorted(self._view.coarse))

    @property
    def settled(self) -> bool:
        """See `BlockView`."""
        return not self._view.missing

    @property
    def pending(self) -> bool:
        """See `BlockView`."""
        return any(not self._residency.failed(key) for key in self._view.missing)

    @property
    def waited_seconds(self) -> float:
        """See `BlockView`."""
        return self._view.hold.waited_seconds

    async def prepare(self) -> None:
        """Load what it needs, as much as fits into memory, and hold it; returns at its time at the latest."""
        residency, until = self._residency, self._view.until
        if self._opened.has_all(self._camera):
            return
        asked: set[str] = set()
        for _ in range(ROUNDS):
            wanted = await self._opened.scout(self._camera)
            fitting = residency.fitting(wanted)
            self.in_one = len(fitting) < len(wanted)
            residency.used(fitting)
            new = [want for want in fitting if want.key not in asked]
            asked.update(want.key for want in new)
            loads = self._opened.ask(new, Urgency.WAITED)
            left = until - time.monotonic()
            if not loads or left <= 0.0:
                break
            await _ended(loads, None if math.isinf(left) else left)
        # What is not there, and is not broken, has no room beside what other pictures hold.
        lost = [want for want in fitting if self._view.hold.find(want) is None]
        if any(not residency.failed(want.key) for want in lost) and time.monotonic() < until:
            self.in_one = True

    async def render(self, rays: Rays, deadline: float | None) -> Light:
        """See `BlockView`."""
        return await self._opened.render_view(rays, self._view, deadline)

    def ended(self) -> None:
        """Have loaded what it was shown without, or else what is beside it."""
        fitting = self._residency.fitting(self._view.wanted.values())
        self._residency.used(fitting)
        if not self.waits:
            self._opened.ask((want for want in fitting if want.key in self._view.missing), Urgency.SHOWN)
        elif self.settled:
            self._opened.ask(self._opened.renderer.around(self._camera), Urgency.EXPECTED)


def _tell_broken(place: str, reason: str) -> None:
    log.warning("block %s: something coarser stands in, since it cannot be loaded: %s", place, reason)


async def _ended(loads: "Iterable[Future[Loaded | None]]", seconds: float | None) -> None:
    """Wait for loads, so long at most. What one raises is raised where its block is rendered."""
    futures = [asyncio.wrap_future(load) for load in loads]
    for future in futures:
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait(futures, timeout=seconds)
