"""A transport that sends an answer in one piece, and closes in two steps while the client still sends."""

import asyncio
from collections.abc import Callable
from typing import Any

SMALL_BYTES = 2**16
"""What is sent together, at most: to copy more takes longer than to send it by itself."""


class Unread:
    """Tells a client that takes nothing of what it is sent: its bytes wait, and do not become fewer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._bytes, self._since = 0, 0.0

    def too_long(self, unsent: int, now: float) -> bool:
        """Whether so many unsent bytes have been the same for longer than allowed; asked each second."""
        if unsent == 0 or unsent != self._bytes:
            self._bytes, self._since = unsent, now
        return now - self._since > self._seconds


class HalfClosingTransport:
    """An asyncio transport whose first `close` ends only what is sent, when `before_close` says so.

    What comes meanwhile is for the protocol to throw away, and the second close, or abort, for it to make.

    A little that is written waits for more, until `flush` or the event loop's next turn: an answer's head
    then goes out with its body. Alone it would wake the client, and take as long to send as both.
    """

    def __init__(self, transport: asyncio.Transport, before_close: Callable[[], bool]) -> None:
        self._transport = transport
        self._before_close = before_close
        self._waiting = b""
        self._call_soon = asyncio.get_running_loop().call_soon
        self.half_closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, together with what waits where both are small."""
        if len(self._waiting) + len(data) <= SMALL_BYTES:
            if not self._waiting:
                self._call_soon(self.flush)
            self._waiting += data
            return
        self.flush()
        self._write(data)

    def flush(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, b""
        self._write(waiting)

    def _write(self, data: bytes) -> None:
        """Send, unless that has ended: behind an end not even nothing may be written."""
        if data and not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close, or end what is sent."""
        self.flush()
        if self.is_closing() or not self._before_close():
            return self._transport.close()
        self.half_closed = True
        self._transport.write_eof()
        self._transport.resume_reading()

    def is_closing(self) -> bool:
        """Whether no more can be sent."""
        return self.half_closed or self._transport.is_closing()
