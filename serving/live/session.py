"""One viewer: the newest view becomes frames, one at a time.

While views come one after the other, frames of a size that can be had quickly are made of the newest; those
in between are dropped. When none has come for a while, the full picture follows in tiles, and what is under
way of it ends as soon as the next view comes. The next frame is sent when the client has drawn the last one,
so that a slow client, or a slow way to it, has fewer frames and not older ones.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi.exceptions import RequestValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from neurocity.cameras import Camera
from neurocity.errors import CameraError, NeuroCityError
from serving.drain import Drain
from serving.errors import (
    INTERNAL_FAILURE,
    NORMAL_CLOSURE,
    POLICY_VIOLATION,
    SERVICE_RESTART,
    UNSUPPORTED_DATA,
    MalformedBodyError,
    retry_after_seconds,
)
from serving.http.fields import in_body
from serving.http.problems import explain
from serving.http.render import MOST_NAMES
from serving.live.messages import MOVING, Ack, View, frame_bytes, problem_text, read_message
from serving.live.mosaic import Tile, centre_first
from serving.live.movement import Movement
from serving.live.pace import FIRST_PIXELS, Pace, tile_pixels
from serving.render.cancel import Cancel, RenderCancelledError
from serving.render.limits import RequestError
from serving.render.picture import Picture, PictureRequest
from serving.render.token_bucket import TokenBucket
from serving.scenes.version import SceneVersion
from serving.scope import client_of
from serving.state import Gateway

STILL_SECONDS = 0.15
"""A camera that has not moved for so long is still."""

STILL_WAIT_SECONDS = 1.0
"""The least that a tile of the full picture waits for blocks of a city, and twice as long each time that it
is made again: until all are there."""

MESSAGES_PER_SECOND, MESSAGES_AT_ONCE = 500, 1000
"""A page sends a view for each movement that the browser tells of, and a word for each frame."""

BAD_MESSAGES = 16
"""After so many, the client is not one of ours."""

log = logging.getLogger("neurocity.serving")


@dataclass(frozen=True)
class End:
    """How a live view ends: the code and the reason that the client is told; code None when it has left."""

    code: int | None = None
    reason: str = ""


class LiveView:
    """The live view of one accepted WebSocket. Used from one event loop."""

    def __init__(
        self, socket: WebSocket, named: tuple[str, int | None], gateway: Gateway, drain: Drain
    ) -> None:
        self._socket, self._gateway, self._drain = socket, gateway, drain
        self._scene, self._version = scene, version = named
        self._client = client_of(socket.scope)
        self._movement = Movement()
        self._pace = Pace(gateway.service.expected_seconds(scene, FIRST_PIXELS, version) / FIRST_PIXELS)
        self._newest: View | None = None
        self._arrived = 0.0
        self._begun: View | None = None
        self._under_way: Cancel | None = None
        self._moving = False
        self._sent, self._drawn = 0, 0
        self._active = time.monotonic()
        self._ending = False
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Show frames until the client leaves, is silent for too long or misbehaves, or a drain begins."""
        work = (self._read(), self._paint(), self._wait_until_idle())
        tasks = [asyncio.create_task(part) for part in work]
        draining = asyncio.create_task(self._end_in_drain())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            end = done.pop().result()
        finally:
            for task in (*tasks, draining):
                task.cancel()
            await asyncio.gather(*tasks, draining, return_exceptions=True)
        if end.code is not None:
            if end.code == SERVICE_RESTART:
                await self._socket.send_text(MOVING)
            await self._socket.close(end.code, end.reason)

    async def _end_in_drain(self) -> None:
        """When a drain begins, let the frame under way be the last."""
        await self._drain.wait()
        self._ending = True
        self._news.set()

    async def _read(self) -> End:
        """Take what the client says, until there is a reason to end."""
        rate, bad = TokenBucket(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE), 0
        while True:
            try:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return End()
                if rate.tokens() < 1:
                    return End(POLICY_VIOLATION, "too many messages")
                rate.take(1)
                if message.get("text") is None:
                    return End(UNSUPPORTED_DATA, "expected text")
                self._take(read_message(message["text"]))
                self._active = time.monotonic()
            except (MalformedBodyError, RequestValidationError, RequestError) as error:
                bad += 1
                if bad > BAD_MESSAGES:
                    return End(POLICY_VIOLATION, "too many bad messages")
                await self._tell(None, error)

    def _take(self, message: View | Ack) -> None:
        if isinstance(message, Ack):
            if message.frame > self._sent:
                raise RequestError(f"frame is {message.frame}, the last one was {self._sent}", "frame")
            self._drawn = max(self._drawn, message.frame)
        else:
            if self._newest is not self._begun:
                self._gateway.metrics.live_dropped(self._scene)
            self._newest, self._arrived = message, time.monotonic()
            if self._under_way and (message.anew or not self._moving):
                self._under_way.cancel()
        self._news.set()

    async def _paint(self) -> End:
        """Make frames of the newest view until the gateway ends."""
        while await self._until(lambda: self._newest is not self._begun):
            view = self._begun = self._newest
            assert view is not None
            try:
                await self._show(view)
            except RenderCancelledError:
                pass
            except NeuroCityError as error:
                wait = await self._tell(view, error)
                if wait is not None:  # newer views wait as well: they would be refused alike
                    await self._until(lambda: False, wait)
                    self._begun = None
        return End(SERVICE_RESTART, "this gateway ends")

    async def _show(self, view: View) -> None:
        """A frame of the view at once, and its full picture when it is still."""
        self._gateway.service.check(self._scene, view.width, view.height, self._version)
        width, height = size = self._pace.moving_size(view.width, view.height)
        whole = Tile(0, 0, width, height)
        began = time.monotonic()
        await self._send(view, size, whole, await self._start(view, size, whole))
        self._pace.drawn(width * height, time.monotonic() - began)
        self._look_ahead(view)
        still_at = 0.0 if view.anew else self._arrived + STILL_SECONDS
        if not await self._until(lambda: self._newest is not view, still_at - time.monotonic()):
            # Tiles of two versions make no picture.
            wait = max(STILL_WAIT_SECONDS, self._gateway.settings.city_wait_seconds)
            async with self._gateway.service.hold(self._scene, self._version) as held:
                while await self._fill(view, held, wait):
                    wait *= 2.0  # what does not fit into memory has to come in one wait

    def _look_ahead(self, view: View) -> None:
        """Have what comes into view soon ready, where a scene has it not in memory."""
        up = self._gateway.service.scene(self._scene, self._version).info.up
        with contextlib.suppress(CameraError):  # of what nobody has asked for
            if ahead := self._movement.ahead(self._camera(view, (view.width, view.height), up)):
                self._gateway.service.expect(self._scene, ahead, self._version)

    async def _fill(self, view: View, held: SceneVersion, wait: float) -> bool:
        """The full picture of a view; a tile is made while the one before it is on its way.

        wait: seconds that a tile waits for blocks of a city. Gives whether it is to be made again: parts of
        the scene were shown coarser, and are coming.
        """
        size = (view.width, view.height)
        # A normal is made of its neighbours' depths: edges of tiles would be seen.
        area = view.width * view.height
        seconds = self._gateway.service.expected_seconds(self._scene, area, self._version)
        tiles = centre_first(*size, area if view.output == "normal" else tile_pixels(*size, seconds))
        making, again = self._start(view, size, tiles[0], held, wait), False
        try:
            for number, tile in enumerate(tiles, 1):
                # A newer view that came when this tile was made already found nothing under way to end.
                if self._ending or self._newest is not view:
                    return False
                made = await making
                again = again or made.pending
                if number < len(tiles):
                    making = self._start(view, size, tiles[number], held, wait)
                await self._send(view, size, tile, made, settled=number == len(tiles) and not again)
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
            self._under_way = None
        return again

    def _start(
        self,
        view: View,
        size: tuple[int, int],
        tile: Tile,
        held: SceneVersion | None = None,
        wait: float = 0.0,
    ) -> "asyncio.Task[Picture]":
        """Begin to make a tile of the view's picture of that size; a newer view may end it.

        held: the version of a full picture; None for a frame of a camera that moves. wait: see `_fill`.
        Raises as `RenderService.check` and `View.to_camera`.
        """
        moving, settings = held is None, self._gateway.settings
        up = self._gateway.service.scene(self._scene, self._version).info.up
        picture = PictureRequest(
            scene=self._scene,
            camera=self._camera(view, size, up).cropped(*tile),
            options=view.to_options(moving=moving),
            client=self._client,
            version=self._version,
            held=held,
            wait_seconds=wait,
            keep=not moving or view.anew,
        )
        self._moving = moving
        self._under_way = Cancel.after(settings.render_timeout_seconds)
        return asyncio.create_task(self._make(picture, self._under_way))

    async def _make(self, picture: PictureRequest, cancel: Cancel) -> Picture:
        began = time.monotonic()
        try:
            made = await self._gateway.service.render(picture, cancel)
        finally:
            self._under_way = None
        self._pace.made(picture.camera.width * picture.camera.height, time.monotonic() - began)
        return made

    async def _send(
        self, view: View, size: tuple[int, int], tile: Tile, made: Picture, *, settled: bool = False
    ) -> None:
        """Send a tile of the view's picture of that size, and wait until it is drawn.

        settled: whether the full picture is there with it.
        """
        self._sent += 1
        header = {
            "type": "frame",
            "frame": self._sent,
            "view": view.id,
            "width": size[0],
            "height": size[1],
            "tile": tile,
            "media_type": made.image.media_type,
            "queue_ms": round(made.stages.queue * 1e3, 1),
            "render_ms": round(made.stages.compute * 1e3, 1),
            "encode_ms": round(made.stages.encode * 1e3, 1),
            "settled": settled,
            "scene_version": made.scene_version,
            "coarse": made.coarse[:MOST_NAMES],
            "notes": made.image.notes,
        }
        with self._gateway.service.answering(made):
            await self._socket.send_bytes(frame_bytes(header, made.image.data))
            self._gateway.metrics.live_frame(self._scene)
            self._active = time.monotonic()
            await self._until(lambda: self._drawn == self._sent)

    def _camera(self, view: View, size: tuple[int, int], up: tuple[float, float, float]) -> Camera:
        try:
            return view.to_camera(*size, up)
        except CameraError as error:
            raise CameraError(str(error), in_body(error.field, view, view.camera)) from None

    async def _tell(self, view: View | None, error: Exception) -> int | None:
        """Say what stands in the way; the seconds after which it is worth another try, if any."""
        status, detail, errors = explain(error)
        wait = retry_after_seconds(error)
        self._gateway.metrics.rejected(status.slug)
        await self._socket.send_text(problem_text(view.id if view else None, status, detail, errors, wait))
        return wait

    async def _until(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait for what the client does; whether it did so in that time, and before the gateway ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds is None else max(seconds, 0.0)):
                while not self._ending:
                    if condition():
                        return True
                    self._news.clear()
                    await self._news.wait()
        return False

    async def _wait_until_idle(self) -> End:
        """Until the client has been silent, and nothing was sent to it, for too long."""
        longest = self._gateway.settings.live_idle_seconds
        while (left := self._active + longest - time.monotonic()) > 0 or self._under_way:
            await asyncio.sleep(max(left, 1.0))
        return End(NORMAL_CLOSURE, "idle")


async def show(socket: WebSocket, named: tuple[str, int | None], gateway: Gateway, drain: Drain) -> None:
    """Run the live view of an accepted socket; a failure that nobody foresaw is for the log alone.

    named: a scene, and its version or None for the newest.
    """
    try:
        await LiveView(socket, named, gateway, drain).run()
    except WebSocketDisconnect:
        pass
    except Exception:
        log.exception("live view: failed")
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await socket.close(INTERNAL_FAILURE, "the gateway failed; its log says why")
