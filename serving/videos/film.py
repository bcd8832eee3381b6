"""From a camera path to a film file: frames by the render service, encoded on a thread beside it."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from neurocity.cameras import Camera
from neurocity.errors import EngineUnavailableError, SceneNotFoundError
from neurocity.light import Bytes
from neurocity.video.film import open_film
from serving.render.admission import OverloadedError
from serving.render.cancel import Cancel
from serving.render.picture import PictureRequest
from serving.render.quotas import QuotaExceededError
from serving.render.service import RenderService
from serving.scenes.version import SceneVersion
from serving.videos.job import Job, Order, Record
from serving.videos.limits import SceneChangedError

Result = TypeVar("Result")

FRAMES_AT_ONCE = 2
"""Frames under way, so that the engine does not wait while one is handed to the encoder."""

LARGE_PIXELS = 2**20
"""Frames of so many are under way alone: they would take memory from pictures, and save little time."""

UNAVAILABLE_SECONDS = 600.0
"""How long a film waits for an engine that cannot be reached."""

RETRY_SECONDS = 2.0
"""Between two looks at such an engine."""


async def make_film(
    service: RenderService,
    job: Job,
    order: Order,
    cameras: Iterable[Camera],
    file: Path,
    frame_made: Callable[[], None],
) -> None:
    """Write the film of these cameras to a file, which is there when it is whole; keeps the job up to date.

    frame_made: called after each frame; what it raises ends the film. Raises SceneChangedError, VideoError,
    and as `RenderService.render`.
    """
    record = job.record
    size = record.width, record.height
    async with AsyncExitStack() as stack:
        check_version(service, record)
        held = await _patiently(
            lambda: stack.enter_async_context(service.hold(record.scene, record.scene_version))
        )
        requests = (_request(record, order, camera, held) for camera in cameras)
        film = open_film(file, *size, record.frames_per_second, order.quality)
        write = await stack.enter_async_context(_on_thread(film))
        frames = await stack.enter_async_context(aclosing(_frames(service, record, requests)))
        async for pixels in frames:
            await write(pixels)
            job.frame_done()
            frame_made()
        job.enter(record.model_copy(update={"state": "encoding"}))


def check_version(service: RenderService, record: Record) -> None:
    """Raise SceneChangedError unless the version of the scene that a film was ordered of is still there."""
    try:
        manifest = service.scene(record.scene, record.scene_version)
    except SceneNotFoundError as error:
        raise SceneChangedError(f"what the film was ordered of is not served any more: {error}") from None
    if manifest.artefact.sha256 != record.artefact_sha256:
        raise SceneChangedError(
            f"version {record.scene_version} of scene {record.scene!r} has changed since the film was ordered"
        )


def _request(record: Record, order: Order, camera: Camera, held: SceneVersion) -> PictureRequest:
    return PictureRequest(
        scene=record.scene,
        camera=camera,
        options=order.options,
        client=record.client,
        held=held,
        for_film=True,
    )


async def _frames(
    service: RenderService, record: Record, requests: Iterable[PictureRequest]
) -> AsyncGenerator[Bytes, None]:
    """The pixels of each request, in their order; see `_frame`."""
    under_way: deque[asyncio.Task[Bytes]] = deque()
    at_once = FRAMES_AT_ONCE if record.width * record.height < LARGE_PIXELS else 1
    try:
        for request in requests:
            under_way.append(asyncio.create_task(_frame(service, request)))
            if len(under_way) == at_once:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _frame(service: RenderService, request: PictureRequest) -> Bytes:
    """The pixels of a frame, [H, W, 3] or gray [H, W]."""
    picture = await _patiently(lambda: service.render(request, Cancel()))
    pixels = np.frombuffer(picture.image.data, np.uint8)
    shape = request.camera.height, request.camera.width
    return pixels.reshape(shape if pixels.size == shape[0] * shape[1] else (*shape, 3))


async def _patiently(action: Callable[[], Awaitable[Result]]) -> Result:
    """The result of what is tried again where there is no room for it, or no engine, at this moment."""
    gives_up = time.monotonic() + UNAVAILABLE_SECONDS
    while True:
        try:
            return await action()
        except (OverloadedError, QuotaExceededError) as error:
            await asyncio.sleep(error.retry_after_seconds)
        except EngineUnavailableError:
            if time.monotonic() > gives_up:
                raise
            await asyncio.sleep(RETRY_SECONDS)


@asynccontextmanager
async def _on_thread(film: Any) -> AsyncIterator[Callable[[Bytes], Any]]:
    """The `write` of a film; all that is done to it is done on one thread, in its order.

    Who is cancelled leaves when the film has been given up, with nothing of it left.
    """
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="film")
    try:
        writer = await loop.run_in_executor(thread, film.__enter__)
        try:
            yield lambda pixels: loop.run_in_executor(thread, writer.write, pixels)
        except BaseException:
            await loop.run_in_executor(thread, film.__exit__, *sys.exc_info())
            raise
        await loop.run_in_executor(thread, film.__exit__, None, None, None)
    finally:
        thread.shutdown(wait=False)
