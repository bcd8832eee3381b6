"""A connection that has become a WebSocket, as uvicorn speaks it, with a bound on what it leaves unread."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from serving.errors import INVALID_REQUEST
from serving.server.connection import refusal
from serving.server.transport import Unread

PING_SECONDS = 20.0
"""A peer is asked whether it is there this often, and has as long to answer. Proxies close connections that
carry nothing for 60 s."""

log = logging.getLogger("neurocity.serving.websocket")
log.setLevel(logging.WARNING)  # the gateway's own log has a line for each


class WebSocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's protocol, aborted when its peer has taken nothing of what it is sent for too long.

    refused: is told the slug of what is answered without a request.
    """

    def __init__(self, idle_seconds: float, refused: Callable[[str], None], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._refused = refused
        self.logger = self.conn.logger = log
        self._unread = Unread(idle_seconds)

    def data_received(self, data: bytes) -> None:
        """As uvicorn, which leaves a handshake without an answer that its library does not read."""
        super().data_received(data)
        wrong = self.conn.handshake_exc
        if wrong is not None and not self.handshake_initiated and not self.transport.is_closing():
            self._refused(INVALID_REQUEST.slug)
            self.transport.write(refusal(INVALID_REQUEST, f"no handshake of a WebSocket: {wrong}"))
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """As uvicorn; a handshake that the library refuses is counted."""
        super().handle_connect(event)
        if self.response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._refused(INVALID_REQUEST.slug)

    async def send(self, message: Any) -> None:
        """As uvicorn, which logs of a refusal that the handshake was left without an answer."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def check(self, now: float) -> None:
        """End the connection when its time is over; `now` is the loop's. A close would wait for the peer."""
        if self._unread.too_long(self.transport.get_write_buffer_size(), now):
            self.transport.abort()
