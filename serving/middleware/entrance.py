"""Lets requests in, of each client one in a turn of the event loop.

What is kept, refused or wrong is answered in half a millisecond of the event loop, and no budget counts it.
Who has a hundred connections would have a hundred times as much of the loop as who has one, and would keep it
waiting for as long. What is rendered is shared out by `serving.render.turns`.
"""

import asyncio
import math
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.scope import client_of, route_path

SHARED_OUT = "/v1/"
"""The beginning of paths that are; probes must not wait for clients that come by the same proxy."""

ALONE_SECONDS = 60.0
"""A client is alone, and waits for nobody, when for so long there was no other. To be let in one by one takes
a tenth of what a gateway can answer."""


class Entrance:
    """Holds back all but one of a client's requests that come at the same time; see the module's text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._entered: set[str] = set()
        """Clients of which one has entered in this turn of the loop, or will in the next."""
        self._latest = ""
        self._changed_at = -math.inf
        """When a client came that was not the one before it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, in the client's turn."""
        if scope["type"] == "http" and route_path(scope).startswith(SHARED_OUT):
            await self._enter(client_of(scope).name)
        await self.app(scope, receive, send)

    async def _enter(self, client: str) -> None:
        loop = asyncio.get_running_loop()
        if client != self._latest:
            self._latest, self._changed_at = client, loop.time()
        if client in self._entered or client in self._waiting:
            place = loop.create_future()
            self._waiting.setdefault(client, deque()).append(place)
            await place
        elif loop.time() - self._changed_at < ALONE_SECONDS:
            self._let_in(client)

    def _let_in(self, client: str) -> None:
        if not self._entered:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._entered.add(client)

    def _next_turn(self) -> None:
        self._entered.clear()
        for client, places in [*self._waiting.items()]:
            while places:
                place = places.popleft()
                if not place.cancelled():
                    place.set_result(None)
                    self._let_in(client)
                    break
            if not places:
                del self._waiting[client]
