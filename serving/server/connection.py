"""One connection of a client, as uvicorn reads it, with the limits that uvicorn has not.

uvicorn bounds how long a connection may be idle behind an answer, and nothing else: heads that never end,
connections that send nothing, clients that read no answer and connections without number stay for ever. So
this class derives from uvicorn's protocol, which leaves all of HTTP to llhttp, and adds bounds of what is
read, and a time until when a connection may do what it does. No request pays for a timer: `check`, which the
server calls each second on every connection, compares that time with the clock.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.errors import INVALID_REQUEST, REQUEST_TIMEOUT, TOO_MANY_CONNECTIONS, Status
from serving.problem import MEDIA_TYPE, problem_bytes
from serving.server.transport import HalfClosingTransport, Unread

LINGER_SECONDS = 2.0
"""How long a client has to read an answer that came before the end of what it sends."""
LINGER_BYTES = 2**20
"""Bytes of it that are read meanwhile."""
HEAD_BYTES = 2**16
"""Of a request's head, to within two pieces."""
PIECE_BYTES = 2**14
"""Of what has come, that is read at once."""
MOST_AHEAD = 16
"""Requests that a connection may send before the first of them is answered."""


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


class Connection(HttpToolsProtocol):
    """uvicorn's protocol within `Limits`. Depends on its `cycle`, `pipeline` and llhttp's callbacks."""

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
        self._in_head, self._head_bytes = False, 0
        """Whether a head has begun, and what was read of it in pieces that it has for itself."""
        self._reads = True
        """Whether more is read: not behind what is no HTTP, nor by this protocol once it is a WebSocket."""
        self._wrong = ""
        """Why what came behind the last whole request is none."""
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
        """Read on; what comes behind a final answer, or behind what is no HTTP, is thrown away."""
        if self.transport.half_closed:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.transport.abort()
            return
        if self._expires is None and self in self._limits.waiting:
            self._expires = self.loop.time() + self._limits.request_seconds
        for at in range(0, len(data), PIECE_BYTES):
            if not self._reads or self.transport.is_closing():
                return
            begun = self._in_head
            piece = data[at : at + PIECE_BYTES]
            super().data_received(piece)
            self._head_bytes = self._head_bytes + len(piece) if begun and self._in_head else 0
            if self._head_bytes > HEAD_BYTES:
                self._not_read(f"the head of the request has more than {HEAD_BYTES} bytes")
        if self._is_at_work():
            self._limits.waiting.pop(self, None)
            self._expires = None

    def on_message_begin(self) -> None:
        """As uvicorn."""
        if len(self.pipeline) >= MOST_AHEAD:
            self._wrong = f"more than {MOST_AHEAD} requests have come before the first was answered"
            raise ValueError(self._wrong)
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """As uvicorn. HTTP/1.1 wants one Host (RFC 9112, 3.2), which llhttp does not look for."""
        self._in_head = False
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._wrong = f"a request of HTTP/1.1 has one Host, this one has {hosts}"
            raise ValueError(self._wrong)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """As uvicorn; then the connection waits for the next request."""
        self.transport.flush()
        super().on_response_complete()
        if self._is_at_work() or self.transport.is_closing():
            return
        if self._wrong:
            return self._refuse(INVALID_REQUEST, self._wrong)
        self._wait(self.loop.time() + self._limits.request_seconds if self._in_head else None)

    def handle_websocket_upgrade(self) -> None:
        """As uvicorn; the connection is another protocol's from now on."""
        self._reads = False
        self._limits.waiting.pop(self, None)
        self._expires = None
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what llhttp, or a callback, does not take."""
        del msg
        self._not_read(self._wrong or INVALID_REQUEST.meaning)

    def check(self, now: float) -> None:
        """End the connection when its time is over; `now` is the loop's."""
        if self._expires is not None and now >= self._expires:
            if self.transport.half_closed or not self._in_head:
                return self.transport.abort()
            self._expires = None
            return self._refuse(REQUEST_TIMEOUT)
        if self._is_at_work() and self.cycle.more_body:
            self.cycle.message_event.set()  # `RequestBody` looks at its clock
        if self._unread.too_long(self.transport.get_write_buffer_size(), now):
            self.transport.abort()

    def _is_at_work(self) -> bool:
        """Whether a request is there that is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _not_read(self, why: str) -> None:
        """Read no more, and say why: behind the answers of the whole requests that came before it."""
        self._wrong, self._reads = why, False
        self.flow.pause_reading()
        if not self._is_at_work() or self.cycle.more_body:
            self._refuse(INVALID_REQUEST, why)

    def _wait(self, expires: float | None) -> None:
        """Wait for a request, for ever (uvicorn's own timer ends it) or until its head must be there."""
        self._limits.waiting[self] = None
        self._expires = expires

    def _before_close(self) -> bool:
        """Whether the client is in the middle of what it sends, and so is left time to read the answer.

        A socket that is closed with unread bytes in it is reset, and the answer lost on its way.
        """
        unread = self.cycle is not None and self.cycle.more_body and self.cycle.response_complete
        if not (unread or self._wrong):
            return False
        self._expires = self.loop.time() + LINGER_SECONDS
        return True

    def _refuse(self, status: Status, why: str = "") -> None:
        """Answer without a request and close; a request that is at work is left.

        Where it is not its turn to be answered, there is no answer: it would be taken for another's.
        """
        self._limits.refused(status.slug)
        at_work = self._is_at_work()
        begun = self.pipeline or (at_work and self.cycle.response_started)
        if not begun and not self.transport.is_closing():
            body = problem_bytes(status, why or status.meaning)
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
            self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        if at_work:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
