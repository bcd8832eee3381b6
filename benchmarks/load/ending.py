"""The end of a gateway at work: what it accepted is answered, live views are told, it exits with 0."""

import asyncio
import json
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.load.bench import Bench, statuses
from benchmarks.load.client import ADDRESSES, NO_ANSWER, OK, REFUSED, Answer, Connection

CLIENTS, VIEWS = 8, 4
SERVICE_RESTART = 1012
AT_ONCE_SECONDS, EXIT_SECONDS = 5.0, 60.0


@dataclass
class _Sent:
    """A request: when it was sent, and what became of it."""

    at: float
    answer: Answer = field(default_factory=lambda: Answer(NO_ANSWER, 0.0))


async def ending(bench: Bench) -> None:
    """SIGTERM while clients ask without a pause and live views turn; nothing can be measured afterwards."""
    views = [await _LiveView.open(bench) for _ in range(VIEWS)]
    turning = [asyncio.create_task(view.turn()) for view in views]
    sent: list[_Sent] = []
    asking = [asyncio.create_task(_ask(bench, number, sent)) for number in range(CLIENTS)]
    await asyncio.sleep(max(0.5, bench.seconds / 5))
    signalled = time.perf_counter()
    bench.process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(bench.process.wait, EXIT_SECONDS)
    took = time.perf_counter() - signalled
    await asyncio.gather(*asking, *turning)
    before = [item.answer for item in sent if item.at < signalled]
    later = [item.answer for item in sent if item.at >= signalled]
    lost = [item for item in before if not _was_served(item)]
    told = sum(view.told and view.code == SERVICE_RESTART for view in views)
    print(
        f"SIGTERM beside {CLIENTS} clients and {VIEWS} live views: exit {code} after {took:.2f} s; asked "
        f"before {statuses(before)}, later {statuses(later)}; {told} of {VIEWS} views told and closed",
        flush=True,
    )
    bench.check("drain under load: requests lost", "0", f"{len(lost)} of {len(before)}", not lost)
    bench.check("live views told and closed", f"{VIEWS}", f"{told}", told == VIEWS)
    bench.check("exit code after SIGTERM", "0", f"{code}", code == 0)


def _was_served(answer: Answer) -> bool:
    """Whether it is a picture, or a refusal: that comes at once. What is given up is told so late."""
    return answer.status == OK or (answer.status == REFUSED and answer.seconds < AT_ONCE_SECONDS)


async def _ask(bench: Bench, number: int, sent: list[_Sent]) -> None:
    """Ask without a pause on one connection, until there is nobody to connect to."""
    connection = Connection(bench.port, ADDRESSES[number % len(ADDRESSES)])
    while True:
        try:
            await connection.open()
        except OSError:
            return
        item = _Sent(time.perf_counter())
        sent.append(item)
        item.answer = await connection.ask(bench.pictures.post(bench.size))
        if item.answer.status == REFUSED:
            await asyncio.sleep(0.01)


class _LiveView:
    """A live view. told: whether the gateway said that it ends. code: that it closed the view with."""

    def __init__(self, bench: Bench, socket: ClientConnection) -> None:
        self._bench, self._socket = bench, socket
        self._views = count()
        self.told = False
        self.code: int | None = None

    @classmethod
    async def open(cls, bench: Bench) -> "_LiveView":
        """One that has had its first frame."""
        address = f"ws://127.0.0.1:{bench.port}/v1/scenes/{bench.pictures.scene}/live"
        view = cls(bench, await connect(address, proxy=None, max_size=None))
        await view.frame()
        return view

    async def turn(self) -> None:
        """Look elsewhere after each frame, until the end."""
        try:
            while True:
                await self.frame()
        except ConnectionClosed:
            self.code = self._socket.close_code

    async def frame(self) -> None:
        """Move the camera, and take messages up to the next frame, which is said to be drawn."""
        pictures, number = self._bench.pictures, next(self._views)
        eye = [pictures.eye[0] + 1e-3 * number, *pictures.eye[1:]]
        camera = {"look_at": {"eye": eye, "target": pictures.target}}
        size = {"width": self._bench.size, "height": self._bench.size}
        await self._send({"type": "view", "id": number, "camera": camera, **size})
        while isinstance(message := await self._socket.recv(), str):
            self.told = self.told or json.loads(message)["type"] == "moving"
        header = json.loads(message[4 : 4 + int.from_bytes(message[:4])])
        await self._send({"type": "ack", "frame": header["frame"]})

    async def _send(self, message: dict[str, Any]) -> None:
        """Where the gateway has closed, what it said before is still to be read."""
        with suppress(ConnectionClosed):
            await self._socket.send(json.dumps(message))
