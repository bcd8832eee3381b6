"""The jobs that there are, in memory and on disk alike, and how long they are kept."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from neurocity.errors import ConfigError, MissingDependencyError
from neurocity.video.film import check_film
from serving.render.limits import RequestError
from serving.render.quotas import Client
from serving.videos.job import STATES, Job, Order, Record
from serving.videos.limits import KEPT_PER_CLIENT, MOST_KEPT, VideoNotFoundError, VideosFullError
from serving.videos.store import VideoStore

Result = TypeVar("Result")

log = logging.getLogger("neurocity.serving")

EXPIRY_SECONDS = 60.0
"""Between two looks for films that have been kept long enough."""


class Shelf:
    """All jobs by their ids, the oldest first. Used from one event loop.

    limit: bytes on disk. seconds: that ended jobs are kept.
    """

    def __init__(self, store: VideoStore, limit: int, seconds: float) -> None:
        self._store = store
        self._limit = limit
        self._seconds = seconds
        self._jobs: dict[str, Job] = {}
        self._bytes: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="videos")

    async def load(self) -> None:
        """Take up what is on disk."""
        for record in await self._on_disk(self._store.load):
            self._jobs[record.id] = Job(record)
            self.measure(record)

    def close(self) -> None:
        """Let another process have the folder; jobs cannot be changed afterwards."""
        self._thread.shutdown()
        self._store.close()

    def jobs(self) -> list[Job]:
        """All jobs, the oldest first."""
        return list(self._jobs.values())

    def find(self, job_id: str) -> Job:
        """The job; raises VideoNotFoundError."""
        try:
            return self._jobs[job_id]
        except KeyError:
            raise VideoNotFoundError(f"there is no film {job_id[:64]!r}") from None

    def counts(self) -> Mapping[str, int]:
        """How many jobs are in each state."""
        found = Counter(job.record.state for job in self._jobs.values())
        return {state: found[state] for state in STATES}

    def bytes(self) -> int:
        """What all jobs take on disk."""
        return sum(self._bytes.values())

    def film(self, record: Record) -> Path:
        """Where the film of a job is, or will be."""
        return self._store.film(record)

    def check_film(self, order: Order, width: int, height: int, frames_per_second: float) -> None:
        """Raise RequestError when no such file can be written here."""
        file = self._store.folder / f"film.{order.format}"
        try:
            check_film(file, width, height, frames_per_second, order.quality)
        except (ConfigError, MissingDependencyError) as error:
            raise RequestError(str(error), "format") from None

    def expires(self, job: Job) -> float | None:
        """When it is removed, in seconds since 1970; None while it has not ended."""
        return None if job.record.ended is None else job.record.ended + self._seconds

    def measure(self, record: Record) -> None:
        """Look how many bytes a job takes."""
        self._bytes[record.id] = self._store.bytes(record.id)

    def check_room(self) -> None:
        """Raise VideosFullError when jobs take all the bytes that they may."""
        if self.bytes() >= self._limit:
            raise VideosFullError(
                f"films take {self.bytes()} bytes, the limit is {self._limit}; delete some, or come again "
                "when they have expired"
            )

    def check_number(self) -> None:
        """Raise VideosFullError when there are as many jobs as there may be."""
        if len(self._jobs) >= MOST_KEPT:
            raise VideosFullError(f"{len(self._jobs)} films are kept, which is the limit")

    async def add(self, record: Record, order: Order) -> Job:
        """A new job. Raises VideosFullError when the disk takes no more."""
        try:
            await self._on_disk(self._store.create, record, order)
        except OSError as error:
            log.error("video=%s cannot be written: %s", record.id, error)
            raise VideosFullError(f"the film's order cannot be written: {error.strerror}") from None
        job = self._jobs[record.id] = Job(record)
        self.measure(record)
        _log(job)
        await self._drop_oldest(record.client)
        return job

    async def order(self, record: Record) -> Order:
        """What was asked for, of a job that has not ended."""
        return await self._on_disk(self._store.order, record)

    async def clear(self, record: Record) -> None:
        """Remove what was made of a film that is not done."""
        await self._on_disk(self._store.clear, record.id)
        self.measure(record)

    async def enter(self, job: Job, **changes: Any) -> None:
        """Change the record, on disk first. What the disk does not take holds until the process ends."""
        record = job.record.model_copy(update=changes)
        try:
            await self._on_disk(self._store.save, record)
        except OSError as error:
            log.error("video=%s cannot be written: %s", record.id, error)
        job.enter(record)
        _log(job)

    async def end(self, job: Job, **changes: Any) -> None:
        """As `enter`, for the last time."""
        await self.enter(job, ended=time.time(), **changes)
        await self._on_disk(self._store.forget_order, job.record.id)
        self.measure(job.record)

    async def remove(self, job: Job) -> None:
        """Remove a job with its film; if it has not ended, it is cancelled."""
        self._jobs.pop(job.record.id, None)  # before its task is waited for: it is not to begin anew
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait({job.task})
        if not job.ended:
            job.enter(job.record.model_copy(update={"state": "cancelled"}))
            _log(job)
        await self._on_disk(self._store.remove, job.record.id)
        self._bytes.pop(job.record.id, None)

    async def expire_regularly(self) -> None:
        """Remove what has been kept long enough, for ever."""
        while True:
            now = time.time()
            for job in self.jobs():
                expires = self.expires(job)
                if expires is not None and expires <= now:
                    log.info("video=%s expired", job.record.id)
                    await self.remove(job)
            await asyncio.sleep(EXPIRY_SECONDS)

    async def _drop_oldest(self, client: Client) -> None:
        """Keep no more than `KEPT_PER_CLIENT` ended jobs of a client."""
        ended = [job for job in self._jobs.values() if job.ended and job.record.client == client]
        for job in ended[: max(0, len(ended) - KEPT_PER_CLIENT)]:
            await self.remove(job)

    async def _on_disk(self, action: Callable[..., Result], *arguments: Any) -> Result:
        """The result of what blocks, on the one thread that changes the folder: in the order of calls."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, action, *arguments)


def _log(job: Job) -> None:
    record = job.record
    log.info(
        "video=%s state=%s scene=%s frames=%d/%d restarts=%d client=%s",
        record.id,
        record.state,
        record.scene,
        job.frames_done,
        record.frames,
        record.restarts,
        record.client.name,
    )
