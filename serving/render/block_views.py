"""Pictures of versions whose blocks are loaded on demand, and of all others, alike."""

import math
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from neurocity.cameras import Camera, Rays
from neurocity.light import Light
from serving.engines.base import OpenVersion
from serving.engines.blocks import BlockView, OpenInBlocks
from serving.scenes.version import SceneVersion

DEADLINE_SHARE = 0.5
"""Of what is left of a picture's deadline, that it may wait for blocks."""

NOT_AT_ALL = -math.inf
"""The instant to which a picture waits that does not."""


class WholeView:
    """The `BlockView` of a version that is in memory whole."""

    coarse: tuple[str, ...] = ()
    settled, pending, in_one = True, False, False
    waited_seconds = 0.0

    def __init__(self, opened: OpenVersion) -> None:
        self._opened = opened

    async def render(self, rays: Rays, deadline: float | None) -> Light:
        """See `BlockView`."""
        return await self._opened.render(rays, deadline)


def view_of(opened: OpenVersion, camera: Camera, until: float) -> AbstractAsyncContextManager[BlockView]:
    """A picture of an opened version, see `OpenInBlocks.view`; the camera is in scene coordinates."""
    if isinstance(opened, OpenInBlocks):
        return opened.view(camera, until)
    return nullcontext(WholeView(opened))


@asynccontextmanager
async def timed(
    view: AbstractAsyncContextManager[BlockView],
) -> AsyncIterator[tuple[BlockView, float]]:
    """A view, and the seconds that it waited for blocks before it was entered."""
    began = time.perf_counter()
    async with view as entered:
        yield entered, 0.0 if isinstance(entered, WholeView) else time.perf_counter() - began


def wait_until(seconds: float, deadline: float | None) -> float:
    """To which instant a picture waits for blocks that may wait for so many seconds."""
    now = time.monotonic()
    if seconds <= 0.0:
        return NOT_AT_ALL
    return now + seconds if deadline is None else now + min(seconds, DEADLINE_SHARE * (deadline - now))


def load_seconds(version: SceneVersion, camera: Camera, until: float) -> float:
    """What the loads take that a picture waits for, about; 0 while the version itself is not loaded."""
    if isinstance(version.opened, OpenInBlocks) and until != NOT_AT_ALL:
        return min(version.opened.load_seconds(camera), max(until - time.monotonic(), 0.0))
    return 0.0
