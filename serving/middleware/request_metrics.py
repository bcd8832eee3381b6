"""Counts answers for `/metrics`."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import INTERNAL_ERROR
from serving.scope import HEAD_ONLY, PROBLEM, answered_status, sent_bytes
from serving.telemetry.metrics import Metrics

METHODS = frozenset({"DELETE", "GET", "POST"})
OTHER = "other"
"""The label of what has no route or no known method."""


class RequestMetrics:
    """One count and one duration a request; a WebSocket is counted when it ends, by its handshake."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count when the request has ended."""
        if scope["type"] == "websocket":
            return await self._websocket(scope, receive, send)
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = time.perf_counter()
        status, size = INTERNAL_ERROR.code, 0

        async def counting_send(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        self.metrics.active_requests.inc()
        try:
            await self.app(scope, receive, counting_send)
        finally:
            self.metrics.active_requests.dec()
            handler = getattr(scope.get("route"), "path", OTHER)
            method = scope["method"] if scope["method"] in METHODS else OTHER
            if HEAD_ONLY in scope:
                method, size = "HEAD", 0
            if slug := scope.get(PROBLEM):
                self.metrics.rejected(slug)
            self.metrics.answered(handler, method, status, time.perf_counter() - began, size)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the answer to its handshake, which takes no time worth telling, and all that it is sent."""
        status, size = None, 0

        async def counting_send(message: Message) -> None:
            nonlocal status, size
            status = status or answered_status(message)
            size += sent_bytes(message)
            await send(message)

        try:
            await self.app(scope, receive, counting_send)
        finally:
            handler = getattr(scope.get("route"), "path", OTHER)
            if slug := scope.get(PROBLEM):
                self.metrics.rejected(slug)
            self.metrics.answered(handler, "GET", status or INTERNAL_ERROR.code, None, size)
