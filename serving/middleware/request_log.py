"""ASGI middleware: the request log and the limit on bodies.

Pure ASGI and not `BaseHTTPMiddleware`, whose `receive` hides that a client has left.
"""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import BodyTooLargeError

log = logging.getLogger("neurocity.serving")


class RequestLog:
    """One line a request: method, path, status, bytes sent, milliseconds."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and log when the request has ended; status 500 stands for an unexpected failure."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        status, sent = 500, 0

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


class BodyLimit:
    """Refuses bodies over `limit` bytes with 413, while they arrive, whatever length was declared."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests within the limit."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        received = 0

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise BodyTooLargeError(self.limit)
            return message

        await self.app(scope, counting_receive, send)
