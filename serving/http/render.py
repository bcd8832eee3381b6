"""`POST /v1/scenes/{scene}/render` and its linkable form, `GET /v1/scenes/{scene}/render.{extension}`."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from neurocity.errors import (
    CameraError,
    DeadlineExceededError,
    EngineError,
    EngineUnavailableError,
    SceneNotFoundError,
)
from serving.errors import BodyTooLargeError, MalformedBodyError, UnsupportedMediaTypeError
from serving.http.caching import answer_without_render, cache_headers, picture_etag
from serving.http.disconnect import cancelled_on_disconnect
from serving.http.fields import in_body
from serving.http.problems import problem_responses
from serving.http.query import Extension, RenderQuery
from serving.http.schemas import EXAMPLES, RenderRequest
from serving.render.cancel import Cancel
from serving.render.images import MEDIA_TYPES
from serving.render.service import PictureRequest
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
        EngineUnavailableError,
        DeadlineExceededError,
    ),
}

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
) -> Response:
    """An image of the scene from the camera in the body."""
    return await _answer(gateway, request, scene, body, lambda name: in_body(name, body, body.camera))


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
) -> Response:
    """The same as the POST form with a `look_at` camera, as a link."""
    gateway.service.scene(scene)  # that a scene is unknown is said before what else is wrong
    wanted = query.to_request(extension)
    return await _answer(gateway, request, scene, wanted, lambda name: query.parameter(("camera", name)))


async def _answer(
    gateway: Gateway, request: Request, scene: str, wanted: RenderRequest, locate: Callable[[str], str]
) -> Response:
    """The image as an HTTP response; `locate` tells what the client calls a field of the camera."""
    manifest = gateway.service.check(scene, wanted.width, wanted.height)
    try:
        camera = wanted.camera.to_camera(wanted.width, wanted.height, manifest.info.up)
        served = gateway.service.served_by(scene).engine
        options = wanted.to_options()
        kept = cache_headers(
            request, picture_etag(manifest, served, camera, options), gateway.settings.cache_control
        )
        if known := answer_without_render(request, options.format, manifest.version, kept):
            return known
        cancel = Cancel.after(gateway.settings.render_timeout_seconds)
        picture = PictureRequest(scene=scene, camera=camera, options=options)
        async with cancelled_on_disconnect(request.receive, cancel):
            made = await gateway.service.render(picture, cancel)
    except CameraError as error:
        raise CameraError(str(error), locate(error.field)) from None
    pixels = camera.width * camera.height
    gateway.metrics.made(scene, served, pixels, {"compute": made.render_ms, "encode": made.encode_ms})
    headers = {
        **kept,
        "X-Scene-Version": str(made.scene_version),
        "X-Render-Ms": f"{made.render_ms:.1f}",
        "Server-Timing": f"render;dur={made.render_ms:.1f}, encode;dur={made.encode_ms:.1f}",
        **made.image.notes,
    }
    return Response(made.image.data, media_type=made.image.media_type, headers=headers)
