"""A city over HTTP: the picture of the undivided model, whatever is in memory, and what is said meanwhile."""

import asyncio
import io
import math
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from film_orders import ended
from gateway_server import running_gateway
from live_client import live_view, view
from PIL import Image
from test_city_renderer import MIDDLE, UP, camera
from test_serving_telemetry import samples
from test_serving_videos import pictures_of
from waiting import until, wait_for

from neurocity.cameras import Camera
from neurocity.city import loading, residency
from neurocity.city.artefacts import open_model, write_model
from neurocity.city.manifest import CITY_FILE, City, read_city, write_city
from neurocity.city.renderer import CityRenderer
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.light import over_background
from neurocity.model_repository import open_version
from neurocity.poses import look_at
from serving.app import create_app
from serving.engines.blocks import BlockCounts
from serving.live import movement, session
from serving.render.cancel import Cancel
from serving.render.limits import Limits
from serving.render.picture import PictureRequest
from serving.render.service import RenderService
from serving.scenes.opening import SceneOptions, open_scenes
from serving.settings import Settings

ORIGIN = np.array([1000.0, 2000.0, 0.0])
ABOVE = (8.0, 7.0, 7.0)
CORNER = (2.0, 2.0, 9.0)


@contextmanager
def gateway(folder: Path, **options):
    """A client of a gateway whose only scene is the town."""
    settings = Settings(repository=folder, poll_seconds=0.05, **{"city_wait_seconds": 60.0, **options})
    with running_gateway(create_app(settings)) as client:
        yield client


def down(eye: tuple[float, float, float]) -> Camera:
    """A camera that sees little of the town, below it."""
    return Camera.from_fov_y(look_at(eye, (eye[0], eye[1] + 0.1, 0.0), UP), 32, 32, 15.0)


def pose(shown: Camera) -> dict:
    """The camera of a request, in world coordinates."""
    matrix = shown.camera_to_world.copy()
    matrix[:3, 3] += ORIGIN
    intrinsics = {name: shown.intrinsics[name] for name in ("fl_x", "fl_y", "cx", "cy")}
    return {"camera_to_world": matrix.tolist(), "convention": "opengl", "intrinsics": intrinsics}


def ask(client: httpx.Client, shown: Camera, encoding: str = "npy") -> httpx.Response:
    body = {"camera": pose(shown), "width": shown.width, "height": shown.height, "format": encoding}
    response = client.post("/v1/scenes/town/render", json=body)
    assert response.status_code == 200, response.text
    return response


def link(eye: tuple[float, float, float], size: int = 48) -> str:
    at = ",".join(map(str, np.add(eye, ORIGIN)))
    to = ",".join(map(str, np.add((eye[0], eye[1] + 0.1, 0.0), ORIGIN)))
    return f"/v1/scenes/town/render.png?eye={at}&target={to}&fov=15&width={size}&height={size}"


def rgb(response: httpx.Response) -> np.ndarray:
    return np.load(io.BytesIO(response.content))


def undivided(whole: SceneData, shown: Camera) -> np.ndarray:
    light = render_rays(open_scene(whole), shown.rays())
    assert light is not None
    seen = light.as_image(shown.height, shown.width)
    return over_background(seen.rgb, seen.opacity, (1.0, 1.0, 1.0))


def loaded_blocks(client: httpx.Client) -> int:
    return int(client.get("/v1/scenes").json()["scenes"][0]["loaded_blocks"])


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes longer than blocks are wanted or spared for, and broken ones are left alone."""
    monkeypatch.setattr(loading, "STALE_SECONDS", math.inf)
    for name in ("RECENT_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(residency, name, math.inf)


def repainted(folder: Path, block_id: str) -> City:
    """Another version of a block, darker; and the city that has it."""
    city = read_city(folder)
    block = city.block(block_id)
    assert block.model is not None
    data = open_model(folder, block.model)
    records = data.tensors["records"].copy()
    records[:, :3] -= 1.0
    manifest = open_version(folder / block.model.folder).manifest
    model = write_model(
        folder, replace(manifest, version=2), replace(data, tensors={**data.tensors, "records": records})
    )
    new = replace(block, model=model, coarser=())
    return replace(city, blocks=tuple(new if each.id == block_id else each for each in city.blocks))


def test_a_city_is_a_scene_with_the_picture_of_the_undivided_model(
    town_folder: Path, town_whole: SceneData
) -> None:
    with gateway(town_folder) as client:
        shown = camera(ABOVE)
        first = ask(client, shown)
        np.testing.assert_array_equal(rgb(first), undivided(town_whole, shown))
        assert "X-Coarse-Blocks" not in first.headers
        assert first.headers["Cache-Control"] == "no-cache"
        (scene,) = client.get("/v1/scenes").json()["scenes"]
        assert (scene["scene"], scene["version"], scene["engine"]) == ("town", 1, "native")
        assert scene["engine_reason"] == "a city of 16 blocks"
        assert 1 < scene["loaded_blocks"] <= scene["blocks"] == 16
        found = samples(client)
        coarse = scene["loaded_bytes"] - found["neurocity_city_resident_bytes",]
        assert 0 < coarse < scene["loaded_bytes"]
        assert found["neurocity_scene_loaded_bytes", "town"] == scene["loaded_bytes"]
        assert found["neurocity_city_loads_total", "loaded"] == found["neurocity_city_resident_blocks",] > 1
        assert found["neurocity_city_pictures_total", "coarse"] == 0
        about = client.get("/v1/scenes/town").json()
        assert about["bounds"] == [1000.0, 2000.0, 0.0, 1016.0, 2016.0, 8.0]
        assert about["versions"] == [1]
        other = client.get("/v1/scenes/town?version=2")
        assert other.status_code == 404
        assert "known: 1" in other.json()["detail"]
        picture = client.get(link(CORNER))
        tag = {"If-None-Match": picture.headers["ETag"]}
        assert client.get(link(CORNER), headers=tag).status_code == 304
        assert client.get("/readyz").status_code == 200


def test_memory_for_three_blocks_gives_the_same_pictures(town_folder: Path, town_whole: SceneData) -> None:
    largest = max(block.model.artefact.bytes for block in read_city(town_folder).blocks if block.model)
    limit, most = 3 * largest, 0
    with gateway(town_folder, city_bytes=limit, cache_bytes=0) as client:
        for eye in ((-6.0, -4.0, 9.0), ABOVE, (22.0, 10.0, 6.0)):
            response = ask(client, camera(eye, 160))
            np.testing.assert_array_equal(rgb(response), undivided(town_whole, camera(eye, 160)))
            assert "X-Coarse-Blocks" not in response.headers
            found = samples(client)
            most = max(most, found["neurocity_city_resident_bytes",])
        assert 0 < most <= limit == found["neurocity_city_limit_bytes",]
        assert found["neurocity_city_evictions_total",] > 0
        # Once a picture, though that shows more than memory holds.
        assert found["neurocity_city_loads_total", "loaded"] <= 3 * 16


def test_a_picture_that_does_not_wait_says_what_stands_in_and_the_next_one_is_whole(
    town_folder: Path, town_whole: SceneData
) -> None:
    with gateway(town_folder, city_wait_seconds=0.0) as client:
        cold = ask(client, camera(ABOVE))
        assert len(cold.headers["X-Coarse-Blocks"].split(", ")) > 1
        assert cold.headers["Cache-Control"] == "max-age=2"
        assert "ETag" not in cold.headers
        assert np.abs(rgb(cold) - undivided(town_whole, camera(ABOVE))).max() > 0.05
        assert samples(client)["neurocity_city_pictures_total", "coarse"] == 1
        wait_for(lambda: "ETag" in ask(client, camera(ABOVE)).headers)
        np.testing.assert_array_equal(rgb(ask(client, camera(ABOVE))), undivided(town_whole, camera(ABOVE)))


def test_a_broken_block_is_named_and_nothing_is_refused(town_copy: Path) -> None:
    model = read_city(town_copy).block("x0-y0").model
    assert model is not None
    artefact = town_copy / model.folder / model.artefact.name
    artefact.write_bytes(artefact.read_bytes()[:-7])
    with gateway(town_copy) as client:
        for _ in range(2):
            broken = ask(client, down(CORNER))
            assert broken.headers["X-Coarse-Blocks"] == "x0-y0"
            assert "ETag" not in broken.headers
        assert samples(client)["neurocity_city_loads_total", "failed"] == 1
        assert "ETag" in ask(client, down((14.0, 14.0, 9.0))).headers
        # A live view does not wait for what never comes.
        with live_view(client, "town") as live:
            live.send(view(1, 32, 32, camera=pose(down(CORNER)), anew=True))
            assert live.until_settled()[-1].header["coarse"] == ["x0-y0"]
        (version,) = client.get("/v1/admin/scenes").json()["scenes"][0]["versions"]
        (broken_block,) = version["broken_blocks"]
        assert broken_block["place"] == model.folder
        assert "bytes, its manifest says" in broken_block["reason"]
        # What has no model is the same until the city's file says another thing, and may be kept.
        city = read_city(town_copy)
        bare = replace(city.block("x0-y0"), model=None, coarser=())
        write_city(
            town_copy,
            replace(city, blocks=tuple(bare if each.id == bare.id else each for each in city.blocks)),
        )
        wait_for(lambda: "ETag" in ask(client, down(CORNER)).headers)
        assert ask(client, down(CORNER)).headers["X-Coarse-Blocks"] == "x0-y0"
        before = samples(client)
        assert "X-Coarse-Blocks" in ask(client, replace(down(CORNER), width=31)).headers
        found = samples(client)
        for detail, more in (("full", 1), ("coarse", 0)):  # nothing came too late
            key = "neurocity_city_pictures_total", detail
            assert found[key] == before[key] + more


def test_a_block_is_replaced_in_one_step_and_a_broken_file_changes_nothing(town_copy: Path) -> None:
    """Clients ask all the time: each picture is of the old block or of the new one, and nothing fails."""
    darker = repainted(town_copy, "x0-y0")
    here, there = down(CORNER), down((14.0, 14.0, 9.0))
    statuses: list[int] = []
    shown: list[bytes] = []
    stop = threading.Event()
    with gateway(town_copy, cache_bytes=0) as client:
        old, away = ask(client, here), ask(client, there)
        # Those below the cameras, and what is beside them.
        wait_for(lambda: loaded_blocks(client) == 6)

        def keep_asking() -> None:
            while not stop.is_set():
                answer = ask(client, here)
                statuses.append(answer.status_code)
                shown.append(answer.content)

        clients = [threading.Thread(target=keep_asking) for _ in range(2)]
        for thread in clients:
            thread.start()
        try:
            (town_copy / CITY_FILE).write_text("{")
            wait_for(lambda: samples(client)["neurocity_refused",] == 1)
            assert ask(client, here).headers["ETag"] == old.headers["ETag"]
            write_city(town_copy, darker)
            wait_for(lambda: ask(client, here).headers.get("ETag") not in (None, old.headers["ETag"]))
            wait_for(lambda: shown and shown[-1] != old.content)
        finally:
            stop.set()
            for thread in clients:
                thread.join()
        new = ask(client, here)
        assert set(shown) == {old.content, new.content}
        assert rgb(new).mean() < rgb(old).mean() - 0.1
        assert new.headers["X-Scene-Version"] == "2"
        assert samples(client)["neurocity_refused",] == 0
        # The picture of another place is the same one still, and one block has come.
        assert ask(client, there).headers["ETag"] == away.headers["ETag"]
        assert samples(client)["neurocity_city_loads_total", "loaded"] == 6 + 1


def test_a_live_view_begins_with_what_is_there_and_settles_on_the_exact_picture(
    town_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[Camera] = []
    expect = RenderService.expect

    def noted(self, scene, ahead, version=None):
        expected.append(ahead)
        expect(self, scene, ahead, version)

    monkeypatch.setattr(RenderService, "expect", noted)
    monkeypatch.setattr(movement, "MEMORY_SECONDS", 1e9)
    start = camera(ABOVE, 48)
    step = np.zeros((4, 4))
    step[0, 3] = 1.0
    moved = replace(start, camera_to_world=start.camera_to_world + step)
    with gateway(town_folder) as client, live_view(client, "town") as live:
        live.send(view(1, 48, 48, camera=pose(start)))
        cold = live.frame()
        assert cold.header["coarse"]
        assert not cold.header["settled"]
        live.send(view(2, 48, 48, camera=pose(moved)))
        frames = live.until_settled()
        assert frames[-1].header["coarse"] == []
        tiles = [frame for frame in frames if frame.header["view"] == 2 and frame.header["coarse"] == []]
        settled = np.array(Image.open(io.BytesIO(tiles[-1].image)))
        exact = ask(client, moved, "png")
        assert "ETag" in exact.headers
        np.testing.assert_array_equal(settled, np.array(Image.open(io.BytesIO(exact.content))))
    assert expected
    assert expected[-1].position[0] > moved.position[0] + ORIGIN[0]


def test_a_live_view_settles_whatever_little_memory_there_is(
    town_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept from one try to the next: all has to come within one wait."""
    load = CityRenderer._load

    def slow(*about):
        time.sleep(0.02)
        return load(*about)

    monkeypatch.setattr(CityRenderer, "_load", slow)
    monkeypatch.setattr(session, "STILL_WAIT_SECONDS", 0.05)
    with (
        gateway(town_folder, city_bytes=1, city_wait_seconds=0.0) as client,
        live_view(client, "town") as live,
    ):
        live.send(view(1, 48, 48, camera=pose(camera(ABOVE, 48)), anew=True))
        assert live.until_settled()[-1].header["coarse"] == []


def test_what_is_beside_a_picture_is_loaded_before_it_is_asked_for(town_folder: Path) -> None:
    with gateway(town_folder) as client:
        ask(client, down(CORNER))
        wait_for(lambda: loaded_blocks(client) == 3)  # with those beside the one below


def test_what_may_be_asked_for_soon_is_loaded(town_folder: Path) -> None:
    """As a live view says where its camera will be."""
    shown = down((14.0, 14.0, 9.0))
    there = replace(shown, camera_to_world=np.array(pose(shown)["camera_to_world"]))

    async def session() -> BlockCounts:
        scenes = await open_scenes("auto", SceneOptions(repository=town_folder))
        service = RenderService(scenes, Limits(max_pixels=10**4, max_side=100))
        try:
            async with service.hold("town"):
                service.expect("town", there)
                await until(lambda: scenes.block_counts().loaded)
                made = await service.render(
                    PictureRequest(scene="town", camera=there, wait_seconds=0.0), Cancel()
                )
                assert made.settled
                return scenes.block_counts()
        finally:
            await scenes.close()

    counts = asyncio.run(session())
    assert (counts.loaded, counts.failed) == (1, 0)


def test_films_show_all_blocks(town_folder: Path, tmp_path: Path) -> None:
    """However little pictures wait for them."""
    keyframes = [
        {"look_at": {"eye": [*np.add(eye, ORIGIN)], "target": [*np.add(MIDDLE, ORIGIN)]}, "seconds": seconds}
        for eye, seconds in ((ABOVE, 0.0), ((12.0, 7.0, 7.0), 0.1))
    ]
    path = {"keyframes": keyframes, "fov_y_degrees": 45}
    film = {"camera_path": path, "format": "zip", "width": 48, "height": 48}
    with gateway(town_folder, city_wait_seconds=0.0, videos=tmp_path / "films") as client:
        answer = client.post("/v1/scenes/town/videos", json={**film, "frames_per_second": 10})
        assert answer.status_code == 202, answer.text
        place = answer.headers["Location"]
        assert ended(client, place)["state"] == "done"
        frames = pictures_of(client.get(f"{place}/result").content)
        assert len(frames) == 2
        eye, target = (",".join(map(str, np.add(each, ORIGIN))) for each in (ABOVE, MIDDLE))
        still = f"/v1/scenes/town/render.png?eye={eye}&target={target}&fov=45&width=48&height=48"
        picture = client.get(still)
        assert "ETag" in picture.headers
        np.testing.assert_array_equal(frames[0], np.array(Image.open(io.BytesIO(picture.content))))


def test_the_speed_of_a_camera_tells_where_it_will_be() -> None:
    now = [0.0]
    seen = movement.Movement(lambda: now[0])
    start = down((2.0, 2.0, 9.0))
    assert seen.ahead(start) is None
    now[0] = 0.25
    assert seen.ahead(start) is None
    ahead = seen.ahead(down((2.5, 2.0, 9.0)))
    assert ahead is not None
    np.testing.assert_allclose(ahead.position, (4.5, 2.0, 9.0))
    np.testing.assert_allclose(ahead.camera_to_world[:3, 2], start.camera_to_world[:3, 2], atol=1e-9)
    now[0] = 9.0
    assert seen.ahead(down((9.0, 2.0, 9.0))) is None, "where it was long ago says nothing"
