"""`POST /v1/scenes/{scene}/render` and its linkable form, `GET /v1/scenes/{scene}/render.{extension}`."""

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import ClientDisconnect

from neurocity.errors import (
    CameraError,
    DeadlineExceededError,
    EngineError,
    SceneNotFoundError,
)
from neurocity.pictures.encoded import MEDIA_TYPES
from serving.errors import BodyTooLargeError, MalformedBodyError, UnsupportedMediaTypeError
from serving.http.caching import answer_without_render, cache_headers, passing_headers, picture_etag
from serving.http.disconnect import cancelled_on_disconnect
from serving.http.fields import in_body
from serving.http.picture_response import PictureResponse
from serving.http.problems import problem_responses
from serving.http.query import Extension, RenderQuery, SceneVersionNumber
from serving.http.schemas import EXAMPLES, RenderRequest
from serving.render.admission import OverloadedError
from serving.render.cancel import Cancel
from serving.render.picture import PictureRequest
from serving.render.quotas import QuotaExceededError
from serving.scope import ARRIVED, client_of
from serving.spans import span
from serving.state import Gateway, gateway_of

JSON = "application/json"

MOST_NAMES = 32
"""Of blocks in a header."""

IMAGE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The image. `X-Depth-Kind` comes with depth, `X-Normal-Axes` with normals.",
        "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
        "headers": {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in {
                "X-Scene-Version": "Version of the scene that was rendered.",
                "X-Render-Ms": "Milliseconds that the render took.",
                "Server-Timing": "Milliseconds of render and encode, and of a city's of the wait for blocks.",
                "X-Coarse-Blocks": "Blocks of a city that were not there in time, and are shown coarser.",
                "X-Depth-Kind": "`distance` along the ray.",
                "X-Depth-Scale": "Scene units of one count (png), or 1 (npy, exr).",
                "X-Depth-Invalid": "Of pixels where nothing is: their count (png) or colour (colormap).",
                "X-Depth-Colormap": "Colours of the depth.",
                "X-Depth-Near": "Depth at the near end of the colormap, its bright or red one.",
                "X-Depth-Far": "Depth at its far end.",
                "X-Normal-Axes": "`world` or `camera`.",
            }.items()
        },
    },
    **problem_responses(
        SceneNotFoundError,
        RequestValidationError,
        QuotaExceededError,
        EngineError,
        OverloadedError,
        DeadlineExceededError,
    ),
}

RequestTimeout = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | SkipJsonSchema[None],
    Header(
        alias="X-Request-Timeout",
        description="Seconds that the client waits; what cannot be made in time is refused at once.",
    ),
]
"""The type of a route's parameter that receives the client's own deadline."""


class _RenderRoute(APIRoute):
    """Takes usual requests past FastAPI's reading of parameters, which takes 0.1 ms.

    Whatever is unusual about a request, or wrong, goes FastAPI's way: it alone says what is wrong.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers requests of this route."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def quick(request: Request) -> Response:
            wanted = await _usual(request)
            if wanted is None:
                return await handler(request)
            return await render(request.path_params["scene"], wanted, request)

        return quick


async def _usual(request: Request) -> RenderRequest | None:
    """What a request asks for, if that is right and it has no parameters; None where FastAPI has to look."""
    headers = request.headers
    if request.scope["query_string"] or "x-request-timeout" in headers or headers.get("content-type") != JSON:
        return None
    try:
        return RenderRequest.model_validate(json.loads(await request.body()))
    except (ValueError, RecursionError, ClientDisconnect):  # pydantic's error is a ValueError
        return None


router = APIRouter(prefix="/v1/scenes", tags=["render"], route_class=_RenderRoute)


@router.post(
    "/{scene}/render",
    summary="Render an image",
    response_class=Response,
    responses=IMAGE_RESPONSES
    | problem_responses(MalformedBodyError, BodyTooLargeError, UnsupportedMediaTypeError),
)
async def render(
    scene: str,
    body: Annotated[
        RenderRequest,
        Body(openapi_examples={name: {"value": example} for name, example in EXAMPLES.items()}),
    ],
    request: Request,
    version: SceneVersionNumber = None,
    timeout: RequestTimeout = None,
) -> Response:
    """An image of the scene from the camera in the body."""
    gateway = await gateway_of(request)  # itself: as a dependency it takes FastAPI a twentieth of its time
    patience = _patience(gateway, timeout)
    return await _answer(
        gateway, request, (scene, version), body, patience, lambda name: in_body(name, body, body.camera)
    )


@router.get(
    "/{scene}/render.{extension}",
    summary="Render an image by link",
    response_class=Response,
    responses=IMAGE_RESPONSES,
)
async def render_link(
    scene: str,
    extension: Extension,
    query: Annotated[RenderQuery, Query()],
    request: Request,
    timeout: RequestTimeout = None,
) -> Response:
    """The same as the POST form with a `look_at` camera, as a link."""
    gateway = await gateway_of(request)
    gateway.service.scene(scene, query.version)  # that a scene is unknown is said before what else is wrong
    wanted = query.to_request(extension)
    patience = _patience(gateway, timeout)
    return await _answer(
        gateway,
        request,
        (scene, query.version),
        wanted,
        patience,
        lambda name: query.parameter(("camera", name)),
    )


def names_of_blocks(blocks: Sequence[str]) -> str:
    """Names of blocks as a header has them."""
    more = len(blocks) - MOST_NAMES
    return ", ".join(blocks[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _patience(gateway: Gateway, timeout: float | None) -> float:
    """Seconds that a render may take: the client's own, if they are fewer than the gateway's."""
    longest = gateway.settings.render_timeout_seconds
    return longest if timeout is None else min(timeout, longest)


async def _answer(
    gateway: Gateway,
    request: Request,
    named: tuple[str, int | None],
    wanted: RenderRequest,
    patience: float,
    locate: Callable[[str], str],
) -> Response:
    """The image as an HTTP response.

    named: a scene, and its version or None for the newest.
    locate: tells what the client calls a field of the camera.
    """
    scene, version = named
    manifest = gateway.service.check(scene, wanted.width, wanted.height, version)
    try:
        with span("camera"):
            camera = wanted.camera.to_camera(wanted.width, wanted.height, manifest.info.up)
            options = wanted.to_options()
            found = gateway.scenes.find(scene, version)
            key = gateway.service.key(found, camera, options)
            etag = picture_etag(found.served.engine, key)
        kept = cache_headers(request, etag, gateway.settings.cache_control)
        if known := answer_without_render(request, options.format, manifest.version, kept):
            return known
        cancel = Cancel(request.scope[ARRIVED] + patience)
        picture = PictureRequest(
            scene=scene,
            camera=camera,
            options=options,
            client=client_of(request.scope),
            version=version,
            wait_seconds=gateway.settings.city_wait_seconds,
            key=key,
            shown=manifest,
        )
        async with cancelled_on_disconnect(request.receive, cancel):
            made = await gateway.service.render(picture, cancel)
    except CameraError as error:
        raise CameraError(str(error), locate(error.field)) from None
    stages = made.stages
    if made.manifest is not manifest:  # a new version came meanwhile
        etag = picture_etag(stages.engine, made.key)
        kept = cache_headers(request, etag, gateway.settings.cache_control)
    if not made.settled:
        kept = passing_headers(request, gateway.settings.cache_control)
    load = f"load;dur={stages.load * 1e3:.1f}, " if stages.load else ""
    if made.coarse:
        kept["X-Coarse-Blocks"] = names_of_blocks(made.coarse)
    headers = {
        **kept,
        "X-Scene-Version": str(made.scene_version),
        "X-Render-Ms": f"{stages.compute * 1e3:.1f}",
        "Server-Timing": f"{load}render;dur={stages.compute * 1e3:.1f}, encode;dur={stages.encode * 1e3:.1f}",
        **made.image.notes,
    }
    return PictureResponse(made.image, headers, gateway.service.answering(made))
