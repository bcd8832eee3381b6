"""Lets requests in, a few of each client in a turn of the event loop.

What is kept, listed, wrong or too much is answered in half a millisecond of the event loop, and no budget
counts it. Who has a hundred connections would have a hundred times as much of the loop as who has one, and
would keep it waiting for as long. What is rendered is shared out by `serving.render.turns`.
"""

import asyncio
import time
from collections import Counter, deque

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.problem import answer_problem
from serving.render.admission import OverloadedError
from serving.scope import ARRIVED, client_of, route_path

SHARED_OUT = "/v1/"
"""The beginning of paths that are; probes must not wait for clients that come by the same proxy."""

AT_ONCE = 4
"""Requests of one client in a turn: with one, a turn's own work would be a tenth of all."""

MOST_WAITING = 1000
"""Of one client. Those that it has left are among them, so that no bound on connections holds."""


class Entrance:
    """Holds back what a client sends beyond that; see the module's text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._entered = Counter[str]()
        """How many of a client have entered in this turn of the loop, or will in the next."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on in the client's turn; 503 where too many of it wait already."""
        if scope["type"] == "http" and route_path(scope).startswith(SHARED_OUT):
            scope[ARRIVED] = time.monotonic()
            try:
                await self._enter(client_of(scope).name)
            except OverloadedError as error:
                return await answer_problem(scope, send, error)
        await self.app(scope, receive, send)

    async def _enter(self, client: str) -> None:
        if client not in self._waiting and self._entered[client] < AT_ONCE:
            return self._let_in(client)
        places = self._waiting.setdefault(client, deque())
        if len(places) >= MOST_WAITING:
            raise OverloadedError(f"{len(places)} requests of this client wait for their turn", 1.0)
        place = asyncio.get_running_loop().create_future()
        places.append(place)
        await place

    def _let_in(self, client: str) -> None:
        if not self._entered:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._entered[client] += 1

    def _next_turn(self) -> None:
        self._entered.clear()
        for client, places in [*self._waiting.items()]:
            while places and self._entered[client] < AT_ONCE:
                place = places.popleft()
                if not place.cancelled():
                    place.set_result(None)
                    self._let_in(client)
            if not places:
                del self._waiting[client]
