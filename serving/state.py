"""What one application shares with all of its connections: scenes, render service, settings, metrics."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from serving.render.service import RenderService
from serving.scenes.scenes import Scenes
from serving.settings import Settings
from serving.telemetry.metrics import Metrics
from serving.videos.jobs import VideoJobs


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The scenes, the service that makes pictures, and the settings and metrics of the application.

    videos: its films, or None where it makes none.
    """

    scenes: Scenes
    service: RenderService
    settings: Settings
    metrics: Metrics
    videos: VideoJobs | None = None


async def gateway_of(connection: HTTPConnection) -> Gateway:
    """The gateway of the application that a request or a WebSocket came to."""
    return cast(Gateway, connection.app.state.gateway)


GatewayOfApp = Annotated[Gateway, Depends(gateway_of)]
"""The type of a route's parameter that receives the application's `Gateway`."""
