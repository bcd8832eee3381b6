"""The request log. Pure ASGI: `BaseHTTPMiddleware`'s `receive` hides that a client has left."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import INTERNAL_ERROR

log = logging.getLogger("neurocity.serving")


class RequestLog:
    """One line a request: method, path, status, bytes sent, milliseconds."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and log when the request has ended; without an answer it counts as an internal error."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        status, sent = INTERNAL_ERROR.code, 0

        async def counting_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, counting_send)
        finally:
            elapsed = (time.perf_counter() - started) * 1e3
            log.info(
                "method=%s path=%r status=%d bytes=%d ms=%.1f",
                scope["method"],
                scope["path"],
                status,
                sent,
                elapsed,
            )
