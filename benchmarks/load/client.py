"""Clients that cost little, for load: raw HTTP/1.1, from an address of their own choice."""

import asyncio
import json
import socket
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

NO_ANSWER = 0
OK, REFUSED = 200, 503
ADDRESSES = [f"127.0.0.{number}" for number in range(1, 9)]
_NUMBERS = count()
_HEAD_END = b"\r\n\r\n"
_STEPS, _STEP = 9973, 1e-5
"""How many places pictures are taken from before the first comes again, and how far they are apart in scene
units: all cost the same, however many are asked for."""


@dataclass(frozen=True)
class Answer:
    """An answer and the seconds that it took. status: `NO_ANSWER` where the connection ended before one.

    body: of a GET alone; others are counted and thrown away.
    """

    status: int
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def retry_after(self) -> int:
        """Seconds after which the server wants to be asked again."""
        return int(self.headers["retry-after"])


@dataclass(frozen=True)
class Pictures:
    """Requests for pictures of a scene from around a place; alike at one time by their `number` alone."""

    scene: str
    eye: list[float]
    target: list[float]

    def post(self, side: int, number: int | None = None, encoding: str = "png") -> bytes:
        """A request for a picture of side x side pixels."""
        step = _STEP * ((next(_NUMBERS) if number is None else number) % _STEPS)
        place = {"eye": [self.eye[0] + step, *self.eye[1:]], "target": self.target}
        wanted = {"camera": {"look_at": place}, "width": side, "height": side, "format": encoding}
        body = json.dumps(wanted).encode()
        head = (
            f"POST /v1/scenes/{self.scene}/render HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def get(path: str) -> bytes:
    """A request for a path."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Connection:
    """One connection, kept from request to request. source: this machine's address that it comes from."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port, self._source = port, source
        self._protocol: _Protocol | None = None

    async def open(self) -> None:
        """Connect, unless that is done. Raises OSError."""
        if self._protocol is None:
            loop = asyncio.get_running_loop()
            source = (self._source, 0)
            _, self._protocol = await loop.create_connection(
                _Protocol, "127.0.0.1", self._port, local_addr=source
            )

    async def ask(self, request: bytes) -> Answer:
        """The answer to a request."""
        began = time.perf_counter()
        try:
            await self.open()
            assert self._protocol is not None
            status, headers, body = await self._protocol.ask(request)
        except OSError:
            self.close()
            return Answer(NO_ANSWER, time.perf_counter() - began)
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, time.perf_counter() - began, headers, body)

    def close(self) -> None:
        """Leave."""
        if self._protocol is not None:
            self._protocol.transport.close()
        self._protocol = None


_Parsed = tuple[int, dict[str, str], bytes]


class _Protocol(asyncio.Protocol):
    """One request at a time, without the streams of asyncio, which would take half of the time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._answer: asyncio.Future[_Parsed] | None = None
        self._head, self._missing = b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(str(exc)))

    async def ask(self, request: bytes) -> _Parsed:
        self._answer = asyncio.get_running_loop().create_future()
        self._keep = request.startswith(b"GET")
        self._head, self._status, self._headers, self._body = b"", 0, dict[str, str](), b""
        if self.transport.is_closing():
            raise ConnectionResetError("closed by the gateway")
        self.transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        if not self._status:
            self._head += data
            head, end, data = self._head.partition(_HEAD_END)
            if not end:
                return
            self._status, self._headers = parse_head(head)
            self._missing = int(self._headers.get("content-length", 0))
        self._missing -= len(data)
        if self._keep:
            self._body += data
        if self._missing <= 0 and self._answer is not None and not self._answer.done():
            self._answer.set_result((self._status, self._headers, self._body))


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer, names in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}


class BlockingConnection:
    """A connection of a process that does nothing else: what it takes itself is a few hundredths of 1 ms."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def seconds(self, request: bytes) -> float:
        """How long the answer takes. Raises SystemExit when it is no picture."""
        began = time.perf_counter()
        self._socket.sendall(request)
        data = b""
        while _HEAD_END not in data:
            data += self._socket.recv(2**20)
        head, _, body = data.partition(_HEAD_END)
        status, headers = parse_head(head)
        missing = int(headers["content-length"]) - len(body)
        while missing > 0:
            missing -= len(self._socket.recv(2**20))
        took = time.perf_counter() - began
        if status != OK:
            raise SystemExit(f"the gateway answered {status}: {body.decode()}")
        return took

    def close(self) -> None:
        """Leave."""
        self._socket.close()


async def ask_once(port: int, request: bytes, source: str = "127.0.0.1") -> Answer:
    """The answer to one request on a connection of its own, which is left when this is cancelled."""
    connection = Connection(port, source)
    try:
        return await connection.ask(request)
    finally:
        connection.close()


def look(scene: dict[str, Any]) -> Pictures:
    """Pictures of a described scene, from its first view or, without one, from outside of its box."""
    low, high = scene["bounds"][:3], scene["bounds"][3:]
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    if not scene["views"]:
        return Pictures(scene["scene"], [high[0] + 1.3 * (high[0] - low[0]), *middle[1:]], middle)
    pose = scene["views"][0]["camera_to_world"]
    eye = [row[3] for row in pose[:3]]
    return Pictures(scene["scene"], eye, [at - row[2] for at, row in zip(eye, pose, strict=False)])
