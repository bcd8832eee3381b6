"""Limits of request bodies: size and time. Pure ASGI: `BaseHTTPMiddleware` hides that a client has left."""

import re
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import BodyTimeoutError, BodyTooLargeError
from serving.problem import answer_problem
from serving.scope import route_path

CLOSE = (b"connection", b"close")


class RequestBody:
    """Refuses bodies over `limit` bytes, and those that take longer than `seconds`.

    larger: the limits of paths with another one.

    A body whose declared length is over the limit is refused before it comes: nothing asks the client to go
    on. Others are refused while they arrive. The server wakes who waits for a body each second, even if
    nothing came: that takes no timer a request. A connection whose request is answered before its end is
    closed, since what is left of the body would be read for nothing.
    """

    def __init__(
        self, app: ASGIApp, limit: int, seconds: float, larger: Mapping[re.Pattern[str], int] | None = None
    ) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds
        self.larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests within the limits."""
        declared = _declared_length(scope) if scope["type"] == "http" else 0
        if declared == 0:  # most requests
            return await self.app(scope, receive, send)
        limit = self._limit(scope)
        if declared is not None and declared > limit:
            return await answer_problem(scope, send, BodyTooLargeError(limit))
        received, whole = 0, False
        deadline = time.monotonic() + self.seconds

        async def bounded_receive() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise BodyTooLargeError(limit)
            whole = not message.get("more_body", False)
            if not whole and time.monotonic() > deadline:
                raise BodyTimeoutError(self.seconds)
            return message

        async def closing_send(message: Message) -> None:
            if message["type"] == "http.response.start" and not whole:
                message = {**message, "headers": [*message["headers"], CLOSE]}
            await send(message)

        await self.app(scope, bounded_receive, closing_send)

    def _limit(self, scope: Scope) -> int:
        path = route_path(scope)
        return next((limit for paths, limit in self.larger.items() if paths.fullmatch(path)), self.limit)


def _declared_length(scope: Scope) -> int | None:
    """Bytes of the body as the head declares them; None when it comes in chunks. h11 has checked both."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)
    return length
