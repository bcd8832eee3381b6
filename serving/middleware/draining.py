"""What clients are told while the process is about to end."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.drain import Drain
from serving.errors import DrainingError
from serving.problem import answer_problem
from serving.scope import route_path

SERVICE_RESTART = 1012
"""Code of a WebSocket's end, in the registry of RFC 6455."""


class Draining:
    """Refuses new requests once the drain has begun, and says of given up ones that they were.

    Answers are 503 with Retry-After and `Connection: close`, so that the client goes to another gateway. The
    paths of `still_answered` are passed on.
    """

    def __init__(self, app: ASGIApp, drain: Drain, still_answered: frozenset[str]) -> None:
        self.app = app
        self.drain = drain
        self.still_answered = still_answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what came before the drain."""
        if scope["type"] == "websocket" and self.drain.begun:
            return await send({"type": "websocket.close", "code": SERVICE_RESTART})
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if self.drain.begun and route_path(scope) not in self.still_answered:
            return await answer_problem(scope, send, DrainingError("this gateway ends and takes no new work"))
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except asyncio.CancelledError:
            if started or not self.drain.over:
                raise
            await answer_problem(scope, send, DrainingError("this gateway ended before the answer was done"))
