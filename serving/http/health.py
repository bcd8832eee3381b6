"""`/livez`: the process answers. `/readyz`: the scenes that are loaded really render."""

from fastapi import APIRouter, Request
from pydantic import BaseModel

from neurocity.errors import EngineUnavailableError
from serving.http.problems import problem_responses
from serving.scope import may_see
from serving.state import GatewayOfApp

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """A probe that succeeded, and of the scenes that are ready those that the client may know of."""

    status: str
    scenes: list[str] = []


@router.get("/livez", summary="Is the process alive")
async def livez() -> Health:
    """Answers as long as the event loop turns; never asks the engine."""
    return Health(status="alive")


@router.get("/readyz", summary="Can scenes be rendered", responses=problem_responses(EngineUnavailableError))
async def readyz(request: Request, gateway: GatewayOfApp) -> Health:
    """Renders a ray of scenes that are loaded; an engine that only says that it is ready is not believed.

    A gateway that has no scene is not ready.
    """
    await gateway.service.ready()
    seen = [scene for scene in gateway.service.scenes() if may_see(request.scope, scene)]
    return Health(status="ready", scenes=sorted(seen))
