"""Blocks that are not in memory: what they cost, how long they are waited for; they refuse nobody."""

import asyncio
import math
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import analytic_scene
import numpy as np
import pytest
from waiting import PATIENCE, until

from neurocity.errors import DeadlineExceededError
from neurocity.light import Light
from neurocity.pictures.options import RenderOptions
from serving.engines.base import Found, Offer, asked_for
from serving.engines.blocks import BlockState, OpenInBlocks
from serving.render.admission import Budget, OverloadedError
from serving.render.block_views import NOT_AT_ALL, wait_until
from serving.render.cancel import Cancel
from serving.render.limits import Limits
from serving.render.picture import PictureRequest
from serving.render.quotas import Client
from serving.render.service import RenderService
from serving.scenes.scenes import Scenes

LIMITS = Limits(max_pixels=1000, max_side=100)


class Town(OpenInBlocks):
    """The sphere as a version of one block, which is not there, and takes `cold` seconds to load."""

    maps_file = True
    call_queue = None
    bytes = 1000

    def __init__(self) -> None:
        self.manifest = analytic_scene.manifest("onnx", b"")
        self.cold = 0.0
        self.waited: list[float] = []
        self.let = asyncio.Event()

    @asynccontextmanager
    async def view(self, camera, until):
        del camera
        self.waited.append(until)
        yield View(self, there=until != NOT_AT_ALL)

    async def render(self, rays, deadline):
        del deadline
        return Light(*(np.float32(values) for values in analytic_scene.render(*rays.arrays())))

    def expect(self, camera) -> None: ...

    def load_seconds(self, camera) -> float:
        del camera
        return self.cold

    def state(self) -> BlockState:
        return BlockState(1, 0, self.bytes)

    def close(self) -> None: ...


class View:
    in_one = pending = False
    waited_seconds = 0.0

    def __init__(self, town: Town, *, there: bool) -> None:
        self._town, self.settled = town, there
        self.coarse = () if there else ("x0-y0",)

    async def render(self, rays, deadline):
        await self._town.let.wait()
        return await self._town.render(rays, deadline)


class Source:
    calls_at_once = 1
    fills_processors = False
    loads = True

    def __init__(self, town: Town) -> None:
        async def opened():
            return town

        self._offer = Offer(
            manifest=town.manifest, served=asked_for("native"), place="town", identity="town", open=opened
        )

    async def look(self) -> Found:
        return Found(offers={"sphere": {1: self._offer}})

    async def close(self) -> None: ...


def request(turned: float = 0.0, client: str = "somebody", **options) -> PictureRequest:
    return PictureRequest(
        scene="sphere",
        camera=analytic_scene.camera(8, 6, 45.0 + turned),
        options=RenderOptions(format="npy"),
        client=Client(client),
        **options,
    )


def session(use):
    """The result of `use(town, service)`; the town is loaded, and its pictures end when they are let."""

    async def run():
        town = Town()
        scenes = Scenes(Source(town))
        await scenes.start()
        service = RenderService(scenes, LIMITS, Budget(queue_seconds=3.0))
        try:
            async with service.hold("sphere"):
                return await use(town, service)
        finally:
            town.let.set()
            await scenes.close()

    return asyncio.run(run())


def test_loads_count_as_work_and_refuse_nobody() -> None:
    async def use(town: Town, service: RenderService) -> None:
        town.cold = 2.5
        first = asyncio.create_task(service.render(request(wait_seconds=60.0), Cancel.after(PATIENCE)))
        await until(lambda: town.waited)
        # What is reserved for loads is given back when they have ended, the picture's own work later.
        await until(lambda: service.reserved_seconds() < 1.0)
        asked: list[float] = []
        admit = service._admission.reserve

        def noted(work, left):
            asked.append(work.seconds)
            if work.seconds > 2.0:
                raise OverloadedError("no room", 1.0)
            return admit(work, left)

        service._admission.reserve = noted  # type: ignore[method-assign]
        second = asyncio.create_task(service.render(request(5.0, wait_seconds=60.0), Cancel.after(PATIENCE)))
        await until(lambda: len(town.waited) == 2)
        assert asked[0] - asked[1] == pytest.approx(2.5)
        town.let.set()
        pictures = await first, await second
        assert [picture.coarse for picture in pictures] == [(), ("x0-y0",)]
        assert [picture.settled for picture in pictures] == [True, False]
        assert service.reserved_seconds() == 0.0

    session(use)


def test_who_waits_is_not_given_the_picture_of_who_does_not_and_it_is_not_kept() -> None:
    async def use(town: Town, service: RenderService) -> None:
        pictures = [
            asyncio.create_task(service.render(request(wait_seconds=seconds), Cancel()))
            for seconds in (0.0, 60.0)
        ]
        await until(lambda: len(town.waited) == 2)
        town.let.set()
        quick, patient = [await picture for picture in pictures]
        assert (quick.settled, patient.settled) == (False, True)
        assert quick.key == patient.key
        # The settled one is kept, and serves both.
        for seconds in (0.0, 60.0):
            assert await service.render(request(wait_seconds=seconds), Cancel()) is patient
        assert len(town.waited) == 2

    session(use)


def test_the_wait_is_within_half_of_the_deadline() -> None:
    now = time.monotonic()
    assert wait_until(0.0, None) == NOT_AT_ALL
    assert wait_until(math.inf, None) == math.inf
    assert now + 5.0 <= wait_until(5.0, now + 1000.0) < now + 100.0
    assert wait_until(1000.0, now + 1000.0) <= now + 750.0


def test_films_wait_for_all_blocks() -> None:
    async def use(town: Town, service: RenderService) -> None:
        town.let.set()
        await service.render(replace(request(), for_film=True), Cancel())
        assert town.waited == [math.inf]
        with pytest.raises(DeadlineExceededError):
            await service.render(request(), Cancel.after(-1.0))

    session(use)
