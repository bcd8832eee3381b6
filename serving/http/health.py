"""`/livez`: the process answers. `/readyz`: every scene really renders."""

import time

from fastapi import APIRouter
from pydantic import BaseModel

from neurocity.cameras import Camera, look_at
from neurocity.contract import SceneManifest
from neurocity.errors import EngineError, EngineUnavailableError
from serving.http.openapi import problem_responses
from serving.render.service import render_camera
from serving.state import GatewayOfApp

CANARY_SIDE = 8
CANARY_TIMEOUT_SECONDS = 10.0

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """A probe that succeeded, and the scenes that it rendered."""

    status: str
    scenes: list[str] = []


@router.get("/livez", summary="Is the process alive")
async def livez() -> Health:
    """Answers as long as the event loop turns; never asks the engine."""
    return Health(status="alive")


@router.get("/readyz", summary="Can every scene be rendered", responses=problem_responses([503]))
async def readyz(gateway: GatewayOfApp) -> Health:
    """Renders a small tile of every scene; an engine that only says that it is ready is not believed."""
    await gateway.engine.ready()
    scenes = gateway.engine.scenes()
    for scene, manifest in scenes.items():
        deadline = time.monotonic() + CANARY_TIMEOUT_SECONDS
        try:
            await render_camera(gateway.engine, scene, _canary_camera(manifest), deadline)
        except EngineError as error:
            raise EngineUnavailableError(f"the canary of scene {scene!r} failed: {error}") from error
    return Health(status="ready", scenes=sorted(scenes))


def _canary_camera(manifest: SceneManifest) -> Camera:
    """The first held-out view in few pixels; where there is none, a view of the middle from a corner."""
    if manifest.info.views:
        return Camera.from_view(manifest.info.views[0]).resized(CANARY_SIDE, CANARY_SIDE)
    low, high = manifest.info.bounds[:3], manifest.info.bounds[3:]
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    pose = look_at(high, middle, manifest.info.up)
    return Camera.from_fov_y(pose, CANARY_SIDE, CANARY_SIDE, 50.0)
