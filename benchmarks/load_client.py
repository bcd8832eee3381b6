"""A client that costs little, for load: raw HTTP/1.1 over asyncio, from an address of its own choice."""

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

NO_ANSWER = 0
_NUMBERS = count()


@dataclass(frozen=True)
class Answer:
    """An answer and the seconds that it took. status: `NO_ANSWER` where the connection ended before one."""

    status: int
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def retry_after(self) -> int:
        """Seconds after which the server wants to be asked again."""
        return int(self.headers["retry-after"])


@dataclass(frozen=True)
class Pictures:
    """Requests for pictures of a scene from around a place; no two are alike unless `number` is given."""

    scene: str
    eye: list[float]
    target: list[float]

    def body(self, side: int, number: int | None = None) -> bytes:
        """The JSON of a request for a picture of side x side pixels."""
        step = 1e-4 * (next(_NUMBERS) if number is None else number)
        place = {"eye": [self.eye[0] + step, *self.eye[1:]], "target": self.target}
        return json.dumps({"camera": {"look_at": place}, "width": side, "height": side}).encode()

    @property
    def path(self) -> str:
        """Where requests are sent."""
        return f"/v1/scenes/{self.scene}/render"


class Connection:
    """One connection, kept from request to request. source: this machine's address that it comes from."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port, self._source = port, source
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> Answer:
        """The answer to a GET."""
        return await self._ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def post(self, path: str, body: bytes, *headers: str) -> Answer:
        """The answer to a POST of JSON."""
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        return await self._ask("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def close(self) -> None:
        """Leave."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _ask(self, request: bytes) -> Answer:
        began = time.perf_counter()
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(
                    "127.0.0.1", self._port, local_addr=(self._source, 0), limit=2**26
                )
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers: dict[str, str] = {}
            for line in head[1:-2]:
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            await reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return Answer(NO_ANSWER, time.perf_counter() - began)
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split()[1]), time.perf_counter() - began, headers)


async def ask_once(port: int, pictures: Pictures, side: int, source: str = "127.0.0.1") -> Answer:
    """The answer to one new request on a connection of its own, which is left when this is cancelled."""
    connection = Connection(port, source)
    try:
        return await connection.post(pictures.path, pictures.body(side))
    finally:
        connection.close()


def percentile(values: Iterable[float], percent: float) -> float:
    """The value below which so many percent are; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def in_ms(values: Iterable[float]) -> str:
    """p50 and p95 of seconds, for people."""
    kept = list(values)
    return f"{percentile(kept, 50) * 1e3:.1f} / {percentile(kept, 95) * 1e3:.1f} ms"


def look(scene: dict[str, Any]) -> Pictures:
    """Pictures of a described scene, from its first view or, without one, from outside of its box."""
    low, high = scene["bounds"][:3], scene["bounds"][3:]
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    if not scene["views"]:
        return Pictures(scene["scene"], [high[0] + 1.3 * (high[0] - low[0]), *middle[1:]], middle)
    pose = scene["views"][0]["camera_to_world"]
    eye = [row[3] for row in pose[:3]]
    return Pictures(scene["scene"], eye, [at - row[2] for at, row in zip(eye, pose, strict=False)])
