"""Films: `POST /v1/scenes/{scene}/videos` asks for one, `/v1/videos` tells of them."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import ClientDisconnect

from neurocity.errors import SceneNotFoundError
from serving.access.keys import Grant
from serving.errors import BodyTooLargeError, MalformedBodyError, UnsupportedMediaTypeError
from serving.http.file_answer import answer_file
from serving.http.problems import problem_responses
from serving.http.video_schemas import EXAMPLES, VideoJob, VideoList, VideoRequest, describe_job
from serving.render.admission import OverloadedError
from serving.render.cancel import RenderCancelledError
from serving.scope import API_KEY, client_of
from serving.state import gateway_of
from serving.videos.job import Job
from serving.videos.jobs import VideoJobs
from serving.videos.limits import (
    TooManyVideosError,
    VideoNotFoundError,
    VideoNotReadyError,
    VideosFullError,
    VideosOffError,
)

MEDIA_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "zip": "application/zip"}

EVENT_SECONDS = 0.25
"""Between two events of one job."""

ORDERS = re.compile("/v1/scenes/[^/]+/videos")
"""Where films are asked for, with bodies that are larger than others."""


async def _videos(request: Request) -> VideoJobs:
    videos = (await gateway_of(request)).videos
    if videos is None:
        raise VideosOffError("this gateway makes no films; its operator turns them on with --videos DIR")
    return videos


def _owner(request: Request) -> str | None:
    grant: Grant | None = request.scope.get(API_KEY)
    return None if grant is None else grant.name


def _may_see(request: Request, job: Job) -> bool:
    """Whether a film is the client's: all are, where nobody shows a key."""
    grant: Grant | None = request.scope.get(API_KEY)
    return grant is None or (job.record.owner == grant.name and grant.covers(job.record.scene))


Videos = Annotated[VideoJobs, Depends(_videos)]


async def _job(video: str, request: Request, videos: Videos) -> Job:
    job = videos.shelf.find(video)
    if not _may_see(request, job):
        raise VideoNotFoundError(f"there is no film {video!r}")
    return job


JobOfPath = Annotated[Job, Depends(_job)]


async def _whole_body(request: Request) -> None:
    """Wait for the body, which FastAPI then reads; raises RenderCancelledError when the client leaves."""
    try:
        await request.body()
    except ClientDisconnect:
        raise RenderCancelledError("the client left before its order was there") from None


class _OrderRoute(APIRoute):
    """Takes a place for the film before its order is read, and reads one order after the other."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, in a place that is kept for it."""
        handle = super().get_route_handler()

        async def handle_in_place(request: Request) -> Response:
            videos = await _videos(request)
            (await gateway_of(request)).service.scene(request.path_params["scene"])
            with videos.place(client_of(request.scope)):
                await _whole_body(request)
                async with videos.reading:
                    return await handle(request)

        return handle_in_place


orders = APIRouter(tags=["videos"], route_class=_OrderRoute)
router = APIRouter(prefix="/v1/videos", tags=["videos"])


@orders.post(
    "/v1/scenes/{scene}/videos",
    summary="Ask for a film",
    status_code=202,
    responses={
        202: {
            "description": "The film waits for its turn.",
            "headers": {"Location": {"description": "Path of the film.", "schema": {"type": "string"}}},
        },
        **problem_responses(
            MalformedBodyError,
            SceneNotFoundError,
            BodyTooLargeError,
            UnsupportedMediaTypeError,
            RequestValidationError,
            TooManyVideosError,
            OverloadedError,
            VideosFullError,
        ),
    },
)
async def order_video(
    scene: str,
    body: Annotated[
        VideoRequest,
        Body(openapi_examples={name: {"value": example} for name, example in EXAMPLES.items()}),
    ],
    request: Request,
    response: Response,
    videos: Videos,
) -> VideoJob:
    """A film of the scene along a camera path. It is made beside other work, and waits for it."""
    job = await videos.submit(scene, body.to_order(), client_of(request.scope), _owner(request))
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/videos/{job.record.id}"
    return describe_job(job, None)


@router.get("", summary="List the films", responses=problem_responses(VideosOffError))
async def list_videos(request: Request, videos: Videos) -> VideoList:
    """The films of the client's key, or all where nobody needs one; the oldest first."""
    mine = [job for job in videos.shelf.jobs() if _may_see(request, job)]
    return VideoList(videos=[describe_job(job, videos.shelf.expires(job)) for job in mine])


@router.get("/{video}", summary="Describe a film", responses=problem_responses(VideoNotFoundError))
async def describe_video(job: JobOfPath, videos: Videos) -> VideoJob:
    """State, progress and time left of a film, or why it failed."""
    return describe_job(job, videos.shelf.expires(job))


@router.delete(
    "/{video}", summary="Remove a film", status_code=204, responses=problem_responses(VideoNotFoundError)
)
async def remove_video(job: JobOfPath, videos: Videos) -> None:
    """Cancels the film if it is not done, and removes it. Work for it ends within a tile."""
    await videos.shelf.remove(job)


@router.get(
    "/{video}/events",
    summary="Watch a film",
    response_class=EventSourceResponse,
    responses=problem_responses(VideoNotFoundError),
)
async def watch_video(job: JobOfPath, videos: Videos) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: the film as `GET` describes it, now and when it gets on.

    The last one says how it ended. Where the gateway ends before, the stream does, and a client asks again.
    """
    async for now in videos.watch(job):
        yield ServerSentEvent(data=describe_job(now, videos.shelf.expires(now)))
        if not now.ended:
            await asyncio.sleep(EVENT_SECONDS)


@router.get(
    "/{video}/result",
    summary="Get a film",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The film.",
            "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
        },
        206: {"description": "The range of it that was asked for."},
        **problem_responses(VideoNotFoundError, VideoNotReadyError),
    },
)
async def video_result(job: JobOfPath, request: Request, videos: Videos) -> Response:
    """The file, or a range of it."""
    record = job.record
    if record.state != "done":
        raise VideoNotReadyError(f"the film is {record.state}, and there is a file when it is done")
    file = videos.shelf.film(record)
    try:
        stat = file.stat()
    except FileNotFoundError:
        raise VideoNotFoundError("the film was removed") from None
    return answer_file(
        request,
        file,
        stat,
        headers={"ETag": f'"{record.id}"', "Cache-Control": "private, no-cache"},
        media_type=MEDIA_TYPES[record.format],
        filename=f"{record.scene}.{record.format}",
    )
