"""A client of the live view: speaks its protocol over a real socket."""

import json
import struct
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import analytic_scene
import httpx
from waiting import PATIENCE
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

PATIENTLY: dict[str, Any] = {"proxy": None, "open_timeout": PATIENCE, "ping_interval": None}
"""How a client connects that is none of a network's: a gateway on a busy machine is not given up."""


class Frame(NamedTuple):
    """A frame as it came: what its header says, and the image file."""

    header: dict[str, Any]
    image: bytes


LOOK_AT = {"eye": list(analytic_scene.EYE), "target": list(analytic_scene.TARGET)}


def view(number: int, width: int = 64, height: int = 48, **fields: Any) -> dict[str, Any]:
    """A view of the analytic scene, as `analytic_scene.camera` has it, unless `fields` say otherwise."""
    camera = {"look_at": LOOK_AT, "fov_y_degrees": 45}
    return {"type": "view", "id": number, "camera": camera, "width": width, "height": height} | fields


class LiveClient:
    """The viewer's side of one live view."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, message: dict[str, Any]) -> None:
        self.socket.send(json.dumps(message))

    def ack(self, frame: Frame) -> None:
        self.send({"type": "ack", "frame": frame.header["frame"]})

    def receive(self, timeout: float = PATIENCE) -> Frame | dict[str, Any]:
        """The next frame or notice. Raises TimeoutError, and what the socket's end raises."""
        message = self.socket.recv(timeout)
        if isinstance(message, str):
            return json.loads(message)
        (length,) = struct.unpack(">I", message[:4])
        return Frame(json.loads(message[4 : 4 + length]), message[4 + length :])

    def frame(self) -> Frame:
        """The next message, which is a frame; it is acknowledged."""
        frame = self.receive()
        assert isinstance(frame, Frame), frame
        self.ack(frame)
        return frame

    def until_end(self) -> tuple[list[Frame | dict[str, Any]], int | None, str | None]:
        """What comes before the end, none of it acknowledged; the end's code and reason."""
        received = []
        with suppress(ConnectionClosed):
            while True:
                received.append(self.receive())
        return received, self.socket.close_code, self.socket.close_reason

    def until_settled(self) -> list[Frame]:
        """The frames up to the last tile of a full picture, each acknowledged."""
        frames = [self.frame()]
        while not frames[-1].header["settled"]:
            frames.append(self.frame())
        return frames


def live_url(client: httpx.Client, scene: str = "sphere") -> str:
    """The address of a scene's live view at the gateway of an HTTP client."""
    return str(client.base_url).rstrip("/").replace("http", "ws", 1) + f"/v1/scenes/{scene}/live"


@contextmanager
def live_view(client: httpx.Client, scene: str = "sphere", **options: Any):
    """A live view of a scene; options: of `websockets`."""
    with connect(live_url(client, scene), **PATIENTLY, **options) as socket:
        yield LiveClient(socket)
