"""A transport that closes in two steps where the client is in the middle of what it sends."""

import asyncio
from collections.abc import Callable
from typing import Any


class HalfClosingTransport:
    """An asyncio transport whose first `close` ends only what is sent, when `before_close` says so.

    What comes meanwhile is for the protocol to throw away, and the second close, or abort, for it to make.
    """

    def __init__(self, transport: asyncio.Transport, before_close: Callable[[], bool]) -> None:
        self._transport = transport
        self._before_close = before_close
        self.half_closed = False
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close, or end what is sent."""
        if self.is_closing() or not self._before_close():
            return self._transport.close()
        self.half_closed = True
        self._transport.write_eof()
        self._transport.resume_reading()

    def is_closing(self) -> bool:
        """Whether no more can be sent."""
        return self.half_closed or self._transport.is_closing()
