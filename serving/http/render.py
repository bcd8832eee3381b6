"""`POST /v1/scenes/{scene}/render` and its linkable form, `GET /v1/scenes/{scene}/render.{extension}`."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from neurocity.errors import (
    CameraError,
    DeadlineExceededError,
    EngineError,
    SceneNotFoundError,
)
from serving.errors import BodyTooLargeError, MalformedBodyError, UnsupportedMediaTypeError
from serving.http.caching import answer_without_render, cache_headers, picture_etag
from serving.http.disconnect import cancelled_on_disconnect
from serving.http.fields import in_body
from serving.http.problems import problem_responses
from serving.http.query import Extension, RenderQuery
from serving.http.schemas import EXAMPLES, RenderRequest
from serving.render.admission import OverloadedError
from serving.render.cancel import Cancel
from serving.render.images import MEDIA_TYPES
from serving.render.picture_key import picture_key
from serving.render.service import PictureRequest
from serving.scope import client_of
from serving.state import Gateway, GatewayOfApp

IMAGE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The image. `X-Depth-Kind` and `X-Depth-Scale` come with depth.",
        "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
        "headers": {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in {
                "X-Scene-Version": "Version of the scene that was rendered.",
                "X-Render-Ms": "Milliseconds that the render took.",
                "Server-Timing": "Milliseconds of render and encode.",
                "X-Depth-Kind": "`distance` along the ray.",
                "X-Depth-Scale": "Scene units of one count (png), or 1 (npy).",
                "X-Depth-Invalid": "Count of pixels where nothing is (png).",
            }.items()
        },
    },
    **problem_responses(
        SceneNotFoundError,
        RequestValidationError,
        EngineError,
        OverloadedError,
        DeadlineExceededError,
    ),
}

RequestTimeout = Annotated[
    float | None,
    Header(
        alias="X-Request-Timeout",
        gt=0,
        allow_inf_nan=False,
        description="Seconds that the client waits; what cannot be made in time is refused at once.",
    ),
]
"""The type of a route's parameter that receives the client's own deadline."""

router = APIRouter(prefix="/v1/scenes", tags=["render"])


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
    gateway: GatewayOfApp,
    timeout: RequestTimeout = None,
) -> Response:
    """An image of the scene from the camera in the body."""
    patience = _patience(gateway, timeout)
    return await _answer(
        gateway, request, scene, body, patience, lambda name: in_body(name, body, body.camera)
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
    gateway: GatewayOfApp,
    timeout: RequestTimeout = None,
) -> Response:
    """The same as the POST form with a `look_at` camera, as a link."""
    gateway.service.scene(scene)  # that a scene is unknown is said before what else is wrong
    wanted = query.to_request(extension)
    patience = _patience(gateway, timeout)
    return await _answer(
        gateway, request, scene, wanted, patience, lambda name: query.parameter(("camera", name))
    )


def _patience(gateway: Gateway, timeout: float | None) -> float:
    """Seconds that a render may take: the client's own, if they are fewer than the gateway's."""
    longest = gateway.settings.render_timeout_seconds
    return longest if timeout is None else min(timeout, longest)


async def _answer(
    gateway: Gateway,
    request: Request,
    scene: str,
    wanted: RenderRequest,
    patience: float,
    locate: Callable[[str], str],
) -> Response:
    """The image as an HTTP response; `locate` tells what the client calls a field of the camera."""
    manifest = gateway.service.check(scene, wanted.width, wanted.height)
    try:
        camera = wanted.camera.to_camera(wanted.width, wanted.height, manifest.info.up)
        options = wanted.to_options()
        served = gateway.service.served_by(scene).engine
        etag = picture_etag(manifest, served, picture_key(manifest, camera, options))
        kept = cache_headers(request, etag, gateway.settings.cache_control)
        if known := answer_without_render(request, options.format, manifest.version, kept):
            return known
        cancel = Cancel.after(patience)
        picture = PictureRequest(scene=scene, camera=camera, options=options, client=client_of(request.scope))
        async with cancelled_on_disconnect(request.receive, cancel):
            made = await gateway.service.render(picture, cancel)
    except CameraError as error:
        raise CameraError(str(error), locate(error.field)) from None
    headers = {
        **kept,
        "X-Scene-Version": str(made.scene_version),
        "X-Render-Ms": f"{made.render_ms:.1f}",
        "Server-Timing": f"render;dur={made.render_ms:.1f}, encode;dur={made.encode_ms:.1f}",
        **made.image.notes,
    }
    return Response(made.image.data, media_type=made.image.media_type, headers=headers)
