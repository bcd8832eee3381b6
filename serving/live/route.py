"""`WS /v1/scenes/{scene}/live`."""

from fastapi import APIRouter, WebSocket

from serving.drain import Drain
from serving.http.query import SceneVersionNumber
from serving.live.places import Places
from serving.live.session import show
from serving.scope import client_of
from serving.state import GatewayOfApp

PROTOCOL = "neurocity.live.v1"
"""The subprotocol that a client names beside one that has its key."""


def live_router(places: Places, drain: Drain) -> APIRouter:
    """The route of live views, of which there are as many as `places` allows, and none in a drain."""
    router = APIRouter(prefix="/v1/scenes")

    @router.websocket("/{scene}/live")
    async def live(
        scene: str, socket: WebSocket, gateway: GatewayOfApp, version: SceneVersionNumber = None
    ) -> None:
        gateway.service.scene(scene, version)
        with places.place(client_of(socket.scope)):
            offered = socket.scope["subprotocols"]
            await socket.accept(PROTOCOL if PROTOCOL in offered else None)
            await show(socket, (scene, version), gateway, drain)

    return router
