"""`POST /v1/scenes/{scene}/render` and its linkable form, `GET /v1/scenes/{scene}/render.{extension}`."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from neurocity.cameras import Camera
from neurocity.contract import SceneManifest
from neurocity.errors import CameraError
from serving.engines.base import RenderedRays, find_scene
from serving.http.disconnect import until_disconnect
from serving.http.openapi import problem_responses
from serving.http.query import Extension, RenderQuery, query_name
from serving.http.schemas import EXAMPLES, RenderRequest
from serving.render.images import MEDIA_TYPES, EncodedImage, encode_depth, encode_opacity, encode_rgb
from serving.render.service import render_camera
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
    **problem_responses([404, 422, 502, 503, 504]),
}
BLACK = (0.0, 0.0, 0.0)

router = APIRouter(prefix="/v1/scenes", tags=["render"])


@router.post(
    "/{scene}/render",
    summary="Render an image",
    response_class=Response,
    responses=IMAGE_RESPONSES | problem_responses([400, 413, 415]),
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
    manifest = find_scene(gateway.engine.scenes(), scene)
    gateway.check_size(body.width, body.height)
    camera = body.to_camera(manifest.info.up)
    return await until_disconnect(_respond(gateway, manifest, body, camera), request.receive)


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
    manifest = find_scene(gateway.engine.scenes(), scene)
    wanted = query.to_request(extension)
    gateway.check_size(wanted.width, wanted.height)
    try:
        camera = wanted.to_camera(manifest.info.up)
    except CameraError as error:
        raise CameraError(str(error), query_name(tuple(error.field.split(".")))) from None
    return await until_disconnect(_respond(gateway, manifest, wanted, camera), request.receive)


async def _respond(
    gateway: Gateway, manifest: SceneManifest, wanted: RenderRequest, camera: Camera
) -> Response:
    started = time.perf_counter()
    rendered = await render_camera(gateway.engine, manifest.scene, camera, gateway.deadline())
    done = time.perf_counter()
    image = await asyncio.to_thread(_encode, rendered, wanted, manifest)
    render_ms, encode_ms = (done - started) * 1e3, (time.perf_counter() - done) * 1e3
    headers = {
        "X-Scene-Version": str(manifest.version),
        "X-Render-Ms": f"{render_ms:.1f}",
        "Server-Timing": f"render;dur={render_ms:.1f}, encode;dur={encode_ms:.1f}",
        **image.headers,
    }
    return Response(image.data, media_type=image.media_type, headers=headers)


def _encode(rendered: RenderedRays, wanted: RenderRequest, manifest: SceneManifest) -> EncodedImage:
    if wanted.output == "depth":
        return encode_depth(rendered, manifest.depth_kind, wanted.format)
    if wanted.output == "opacity":
        return encode_opacity(rendered, wanted.format, wanted.quality)
    # A scene without a background of its own is opaque everywhere, so black is never seen there.
    background = manifest.info.background or BLACK if wanted.background == "scene" else wanted.background
    return encode_rgb(rendered, background, wanted.format, wanted.quality)
