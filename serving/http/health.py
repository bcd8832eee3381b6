"""`/livez`: the process answers. `/readyz`: every scene really renders."""

from fastapi import APIRouter
from pydantic import BaseModel

from neurocity.errors import EngineUnavailableError
from serving.http.problems import problem_responses
from serving.state import GatewayOfApp

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """A probe that succeeded, and the scenes that it rendered."""

    status: str
    scenes: list[str] = []


@router.get("/livez", summary="Is the process alive")
async def livez() -> Health:
    """Answers as long as the event loop turns; never asks the engine."""
    return Health(status="alive")


@router.get(
    "/readyz", summary="Can every scene be rendered", responses=problem_responses(EngineUnavailableError)
)
async def readyz(gateway: GatewayOfApp) -> Health:
    """Renders a ray of every scene; an engine that only says that it is ready is not believed."""
    await gateway.service.ready()
    return Health(status="ready", scenes=sorted(gateway.service.scenes()))
