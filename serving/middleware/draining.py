"""What clients are told while the process is about to end."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.drain import Drain
from serving.errors import SERVICE_RESTART, DrainingError
from serving.problem import answer_problem
from serving.scope import route_path

_ENDED = "websocket.close"


class Draining:
    """Refuses new requests and WebSockets once the drain has begun, and says of given up ones that they were.

    Answers are 503 with Retry-After and `Connection: close`, so that the client goes to another gateway. The
    paths of `still_answered` are passed on.
    """

    def __init__(self, app: ASGIApp, drain: Drain, still_answered: frozenset[str]) -> None:
        self.app = app
        self.drain = drain
        self.still_answered = still_answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what came before the drain."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if self.drain.begun and route_path(scope) not in self.still_answered:
            return await answer_problem(scope, send, DrainingError("this gateway ends and takes no new work"))
        last = ""

        async def watched_send(message: Message) -> None:
            nonlocal last
            last = message["type"]
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except asyncio.CancelledError:
            if not self.drain.over or (last and scope["type"] == "http"):
                raise
            if not last:
                told = "this gateway ended before the answer was done"
                await answer_problem(scope, send, DrainingError(told))
            elif last != _ENDED:
                await send({"type": _ENDED, "code": SERVICE_RESTART})
