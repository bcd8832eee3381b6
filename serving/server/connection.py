"""One connection of a client, as uvicorn reads it, with the limits that uvicorn has not.

uvicorn bounds how long a connection may be idle behind an answer, and nothing else: heads that never end,
connections that send nothing, clients that read no answer and connections without number stay for ever. So
this class derives from uvicorn's protocol, which keeps all of HTTP, and adds a time until when a connection
may do what it does. No request pays for a timer: `check`, which the server calls each second on every
connection, compares that time with the clock.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from serving.errors import INVALID_REQUEST, REQUEST_TIMEOUT, TOO_MANY_CONNECTIONS, Status
from serving.problem import MEDIA_TYPE, problem_bytes
from serving.server.transport import HalfClosingTransport, Unread

LINGER_SECONDS = 2.0
"""How long a client has to read an answer that came before the end of what it sends."""
LINGER_BYTES = 2**20
"""Bytes of it that are read meanwhile."""


class Limits:
    """What the connections of one server may take together, and each of them alone.

    connections: how many there may be. request_seconds: for a head, from its first byte or from the
    beginning of the connection. idle_seconds: without a byte between two requests, or of an answer.
    refused: is told the slug of what is answered without a request. waiting: the connections that have no
    request at work, those that wait longest first.
    """

    def __init__(
        self, connections: int, request_seconds: float, idle_seconds: float, refused: Callable[[str], None]
    ) -> None:
        self.connections = connections
        self.request_seconds = request_seconds
        self.idle_seconds = idle_seconds
        self.refused = refused
        self.waiting: dict[Connection, None] = {}

    def protocol(self, **arguments: Any) -> "Connection":
        """What uvicorn makes for each connection."""
        return Connection(self, **arguments)


class Connection(H11Protocol):
    """uvicorn's protocol within `Limits`. Depends on uvicorn's `cycle`, `conn` and `on_response_complete`."""

    transport: HalfClosingTransport  # type: ignore[assignment]

    def __init__(
        self,
        limits: Limits,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._expires: float | None = None
        """When a head must be there, or a lingering connection ends; None while neither is awaited."""
        self._lingered = 0
        self._unread = Unread(limits.idle_seconds)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, in the place of the one that has waited longest when there are too many."""
        super().connection_made(HalfClosingTransport(transport, self._before_close))  # type: ignore[arg-type]
        if len(self.connections) > self._limits.connections:
            longest = next(iter(self._limits.waiting), None)
            if longest is None:  # all others have requests at work
                return self._refuse(TOO_MANY_CONNECTIONS)
            self._limits.waiting.pop(longest)
            longest.transport.abort()
        self._wait(self.loop.time() + self._limits.request_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._limits.waiting.pop(self, None)
        self._expires = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what comes behind a final answer is thrown away."""
        if self.transport.half_closed:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.transport.abort()
            return
        if self._expires is None and self in self._limits.waiting:
            self._expires = self.loop.time() + self._limits.request_seconds
        super().data_received(data)

    def handle_events(self) -> None:
        """As uvicorn; with a whole head, the connection no longer waits."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._limits.waiting.pop(self, None)
            self._expires = None

    def on_response_complete(self) -> None:
        """As uvicorn; then the connection waits for the next request."""
        self.transport.flush()
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            begun = bool(self.conn.trailing_data[0])
            self._wait(self.loop.time() + self._limits.request_seconds if begun else None)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """As uvicorn; the connection is another protocol's from now on."""
        self._limits.waiting.pop(self, None)
        self._expires = None
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        del msg
        self._refuse(INVALID_REQUEST)

    def check(self, now: float) -> None:
        """End the connection when its time is over; `now` is the loop's."""
        if self._expires is not None and now >= self._expires:
            if self.transport.half_closed or not self.conn.trailing_data[0]:
                return self.transport.abort()
            self._expires = None
            return self._refuse(REQUEST_TIMEOUT)
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self.cycle.message_event.set()  # `RequestBody` looks at its clock
        if self._unread.too_long(self.transport.get_write_buffer_size(), now):
            self.transport.abort()

    def _wait(self, expires: float | None) -> None:
        """Wait for a request, for ever (uvicorn's own timer ends it) or until its head must be there."""
        self._limits.waiting[self] = None
        self._expires = expires

    def _before_close(self) -> bool:
        """Whether the client is in the middle of what it sends, and so is left time to read the answer.

        A socket that is closed with unread bytes in it is reset, and the answer lost on its way.
        """
        if self.cycle is None or not self.cycle.more_body or not self.cycle.response_complete:
            return False
        self._expires = self.loop.time() + LINGER_SECONDS
        return True

    def _refuse(self, status: Status) -> None:
        """Answer without a request and close; a request that is at work is left."""
        self._limits.refused(status.slug)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            self.transport.write(refusal(status, status.meaning))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def refusal(status: Status, why: str) -> bytes:
    """The whole answer to what no application has seen; the connection ends with it."""
    body = problem_bytes(status, why)
    head = [
        f"HTTP/1.1 {status.code} {status.slug}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if status.retry_after_seconds is not None:
        head.append(f"Retry-After: {status.retry_after_seconds}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
