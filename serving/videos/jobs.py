"""The films of one gateway: who may order one, whose is made next, and its making.

One film is made at a time. Clients take turns: the next film is of the client that was served longest ago,
and of its films the oldest.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

from neurocity.errors import NeuroCityError
from neurocity.video.film import available_formats
from serving.render.admission import OverloadedError
from serving.render.quotas import Client
from serving.render.service import RenderService
from serving.videos.film import check_version, make_film
from serving.videos.job import Failure, Job, Order, Record
from serving.videos.limits import InterruptedTooOftenError, TooManyVideosError, VideoLimits
from serving.videos.paths import read_path
from serving.videos.shelf import Shelf
from serving.videos.store import VideoStore

log = logging.getLogger("neurocity.serving")

MOST_CRASHES = 3
"""Unclean ends of the process after which a film that was under way is not begun again."""

RETRY_SECONDS = 60.0
"""What clients are told where no speed is known yet."""


class VideoJobs:
    """Takes orders for films, makes them one after the other, and keeps them for a time.

    Used from one event loop. Who calls `start` calls `close`.

    shelf: the jobs. stopping: whether this process is about to end, so that nothing more is made.
    reading: held by who reads an order, which takes twenty times its size in memory.
    formats: of films that can be made here.
    """

    def __init__(
        self,
        store: VideoStore,
        service: RenderService,
        limits: VideoLimits,
        explain: Callable[[Exception], Failure],
        frame_made: Callable[[str], None] = lambda _: None,
    ) -> None:
        """explain: what clients are told of an error. frame_made: told the scene of each frame of a film."""
        self.shelf = Shelf(store, limits.bytes, limits.seconds)
        self.stopping = False
        self.reading = asyncio.Lock()
        self.formats: tuple[str, ...] = ()
        self._limits = limits
        self._service = service
        self._explain = explain
        self._frame_made = frame_made
        self._arriving: Counter[Client] = Counter()
        self._served: dict[Client, float] = {}
        self._ordered = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up what the last process left, and begin to make films."""
        self.formats = await asyncio.to_thread(available_formats)
        await self.shelf.load()
        for job in self.shelf.jobs():
            if job.record.state in ("rendering", "encoding"):
                await self._begin_again(job)
        self._tasks = [
            asyncio.create_task(self._make_all()),
            asyncio.create_task(self.shelf.expire_regularly()),
        ]

    def stop(self) -> None:
        """Begin no more films, and let the one that is made wait for the next process."""
        self.stopping = True
        for job in self.shelf.jobs():
            if job.task is not None:
                job.task.cancel()
            job.tell()

    async def close(self) -> None:
        """Stop, and let another process have the folder."""
        self.stop()
        for task in self._tasks:
            task.cancel()
        making = [job.task for job in self.shelf.jobs() if job.task is not None]
        await asyncio.gather(*self._tasks, *making, return_exceptions=True)
        self.shelf.close()

    @contextlib.contextmanager
    def place(self, client: Client) -> Iterator[None]:
        """Room for one more job of a client, kept while its order arrives; the client calls `submit` inside.

        Raises TooManyVideosError, OverloadedError and VideosFullError.
        """
        self._check_waiting(client)
        self.shelf.check_number()
        self.shelf.check_room()
        self._arriving[client] += 1
        try:
            yield
        finally:
            self._arriving[client] -= 1
            self._arriving = +self._arriving  # without those that are zero

    async def submit(self, scene: str, order: Order, client: Client, owner: str | None) -> Job:
        """A new job, which waits.

        Raises SceneNotFoundError, as `read_path`, and VideosFullError when the disk takes no more.
        """
        manifest = self._service.scene(scene)
        path = await asyncio.to_thread(read_path, order, manifest.info, self._limits)
        width, height = path.cameras[0].width, path.cameras[0].height
        self._service.check(scene, width, height)
        self.shelf.check_film(order, width, height, path.frames_per_second)
        record = Record(
            id=secrets.token_hex(16),
            owner=owner,
            client=client,
            scene=scene,
            scene_version=manifest.version,
            artefact_sha256=manifest.artefact.sha256,
            format=order.format,
            output=order.options.output,
            width=width,
            height=height,
            frames=len(path.cameras),
            frames_per_second=path.frames_per_second,
            created=time.time(),
        )
        job = await self.shelf.add(record, order)
        self._ordered.set()
        return job

    async def watch(self, job: Job) -> AsyncIterator[Job]:
        """The job now, and after each change, until it has ended or this process is about to."""
        last = False
        while not last:
            changed, last = job.changed, job.ended or self.stopping
            yield job
            if not last:
                await changed.wait()

    def _check_waiting(self, client: Client) -> None:
        """Raise unless there is room for one more film that waits."""
        waiting = Counter(job.record.client for job in self.shelf.jobs() if not job.ended) + self._arriving
        if waiting[client] >= self._limits.waiting_per_client:
            raise TooManyVideosError(
                f"this client has {waiting[client]} films that are not done, which is the limit", self._wait()
            )
        if waiting.total() >= self._limits.waiting:
            raise OverloadedError(f"{waiting.total()} films are not done, which is the limit", self._wait())

    def _wait(self) -> float:
        """Seconds until a film is done, about."""
        left = [job.seconds_left for job in self.shelf.jobs() if job.seconds_left is not None]
        return min(left, default=RETRY_SECONDS)

    async def _begin_again(self, job: Job) -> None:
        """Let a job wait again whose making a process did not survive, unless that was why."""
        crashes = job.record.crashes + 1
        if crashes >= MOST_CRASHES:
            told = f"gateways ended {crashes} times while they made this film; it is not tried again"
            await self._fail(job, InterruptedTooOftenError(told))
        else:
            restarts = job.record.restarts + 1
            await self.shelf.enter(job, state="queued", restarts=restarts, crashes=crashes)

    async def _make_all(self) -> None:
        while not self.stopping:
            job = self._next()
            if job is None:
                self._ordered.clear()
                await self._ordered.wait()
                continue
            self._served[job.record.client] = time.monotonic()
            job.task = asyncio.create_task(self._make(job))
            await asyncio.wait({job.task})
            job.task = None

    def _next(self) -> Job | None:
        waiting = [job for job in self.shelf.jobs() if job.record.state == "queued"]
        clients = {job.record.client for job in waiting}
        self._served = {client: at for client, at in self._served.items() if client in clients}
        return min(waiting, key=lambda job: self._served.get(job.record.client, 0.0), default=None)

    async def _make(self, job: Job) -> None:
        """Make a film; whatever happens is in its record afterwards."""
        try:
            await self._make_or_raise(job)
        except asyncio.CancelledError:
            if self.stopping and not job.ended:
                await self.shelf.enter(job, state="queued", restarts=job.record.restarts + 1)
            raise
        except Exception as error:
            if not isinstance(error, NeuroCityError):
                log.exception("video=%s", job.record.id)
            await self._fail(job, error)

    async def _make_or_raise(self, job: Job) -> None:
        record = job.record
        check_version(self._service, record)
        info = self._service.scene(record.scene, record.scene_version).info
        order = await self.shelf.order(record)
        path = await asyncio.to_thread(read_path, order, info, self._limits)
        await self.shelf.clear(record)
        await self.shelf.enter(job, state="rendering")

        def frame_made() -> None:
            self._frame_made(record.scene)
            self.shelf.measure(record)
            self.shelf.check_room()

        file = self.shelf.film(record)
        await make_film(self._service, job, order, path.cameras, file, frame_made)
        await self.shelf.end(job, state="done", bytes=file.stat().st_size)

    async def _fail(self, job: Job, error: Exception) -> None:
        failure = self._explain(error)
        log.warning("video=%s problem=%s detail=%r", job.record.id, failure.slug, str(error))
        await self.shelf.clear(job.record)
        await self.shelf.end(job, state="failed", failure=failure)
