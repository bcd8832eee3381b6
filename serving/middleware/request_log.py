"""The request log. Pure ASGI: `BaseHTTPMiddleware`'s `receive` hides that a client has left."""

import logging
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import INTERNAL_ERROR
from serving.problem import cut
from serving.scope import API_KEY, HEAD_ONLY, PROBLEM, address_of, answered_status, sent_bytes
from serving.telemetry.logs import REQUEST_ID

log = logging.getLogger("neurocity.serving")

TEXT = "method=%(method)s path=%(path)r status=%(status)d bytes=%(bytes)d ms=%(ms).1f client=%(client)s"
LONGEST_METHOD, LONGEST_PATH = 16, 400
KNOWN_ID = re.compile(rb"[\w.:+/=@-]{1,128}")
"""What a client or a proxy may call its request; anything else gets a new name."""


class RequestLog:
    """One line a request: method, path, status, bytes sent, milliseconds, client; key and problem where there
    are such. Names each request by an id.

    That of a WebSocket comes when it ends; its status is the handshake's, 101 when it was accepted.

    The id is the client's X-Request-ID or a new one; it stands in the answer's X-Request-ID and in every line
    that is logged meanwhile.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and log when the request has ended; without an answer it counts as an internal error."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        status, sent = None, 0
        request_id = _request_id(scope)
        REQUEST_ID.set(request_id.decode())

        async def counting_send(message: Message) -> None:
            nonlocal status, sent
            if status is None and (status := answered_status(message)) and "headers" in message:
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id)]}
            sent += sent_bytes(message)
            await send(message)

        try:
            await self.app(scope, receive, counting_send)
        finally:
            head = HEAD_ONLY in scope
            fields = {
                "method": "HEAD" if head else cut(scope.get("method", "GET"), LONGEST_METHOD),
                "path": cut(scope["path"], LONGEST_PATH),
                "status": status or INTERNAL_ERROR.code,
                "bytes": 0 if head else sent,
                "ms": round((time.perf_counter() - started) * 1e3, 1),
                "client": address_of(scope),
            }
            text = TEXT
            if grant := scope.get(API_KEY):
                fields["key"] = grant.name
                text += " key=%(key)s"
            if slug := scope.get(PROBLEM):
                fields["problem"] = slug
                text += " problem=%(problem)s"
            log.info(text, fields, extra={"fields": fields})


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and KNOWN_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode()
