"""Films outlive the process: restarts, crashes, drains, and what is found in the folder."""

import asyncio
import errno
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import analytic_scene
import httpx
import pytest
from film_orders import ended, events, order, submit, until
from gateway_server import running_gateway, running_server
from test_serving_drain import PausedEngine, process
from test_serving_faults import ScriptedEngine
from waiting import PATIENCE

from neurocity.errors import ConfigError
from neurocity.pictures.options import RenderOptions
from serving.app import create_app
from serving.drain import Drain
from serving.engines.base import Found
from serving.errors import failure_of
from serving.render.limits import Limits
from serving.render.quotas import Client
from serving.render.service import RenderService
from serving.settings import Settings
from serving.videos.job import Order, Record
from serving.videos.jobs import MOST_CRASHES, VideoJobs
from serving.videos.limits import KEPT_PER_CLIENT, VideoLimits
from serving.videos.store import VideoStore

SCENE = analytic_scene.manifest("onnx", b"")
LIMITS = VideoLimits(pixels=10**6, waiting=100, waiting_per_client=100, bytes=10**8, seconds=3600)


def record(number=0, **changes):
    """Of a film with the id 000...number."""
    facts = {
        "id": f"{number:032x}",
        "owner": None,
        "client": Client("a"),
        "scene": SCENE.scene,
        "scene_version": SCENE.version,
        "artefact_sha256": SCENE.artefact.sha256,
        "format": "zip",
        "output": "rgb",
        "width": 32,
        "height": 24,
        "frames": 5,
        "frames_per_second": 10.0,
        "created": float(number),
    }
    return Record(**facts | changes)


def wanted():
    """The order of `record`."""
    return Order(
        camera_path=order()["camera_path"],
        format="zip",
        width=32,
        height=24,
        frames_per_second=10.0,
        instant_ngp=None,
        options=RenderOptions(),
        quality=None,
    )


def test_a_drain_leaves_films_to_the_next_process(tmp_path):
    engine, drain, settings = PausedEngine(), Drain(), Settings(videos=tmp_path, drain_seconds=10 * PATIENCE)
    with running_server(create_app(settings, engine, drain), settings, drain) as (server, client):
        films = [submit(client), submit(client, format="mp4")]
        until(client, films[0], "rendering")
        with client.stream("GET", f"{films[0]}/events") as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("data:"))
            assert '"rendering"' in next(lines)
            began = time.monotonic()
            server.should_exit = True
            told = list(lines)
        assert not told or '"done"' not in told[-1]
    assert time.monotonic() - began < PATIENCE  # and not as long as a drain may take
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {"lock", "job.json", "order.json"}
    with running_gateway(create_app(settings, ScriptedEngine())) as client:
        last = [ended(client, film) for film in films]
    assert [(film["state"], film["restarts"]) for film in last] == [("done", 1), ("done", 0)]


def test_a_killed_process_leaves_films_to_the_next(tmp_path):
    repository = analytic_scene.write_repository(tmp_path / "models", "onnx")
    arguments = ("--videos", str(tmp_path / "films"))
    with (
        process(repository, *arguments) as (gateway, url),
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        done = submit(client)
        content = ended(client, done) and client.get(f"{done}/result").content
        film = submit(client, frames=1500, frames_per_second=100, format="mp4")
        until(client, film, "rendering", frames=10)
        gateway.send_signal(signal.SIGKILL)
        gateway.wait(PATIENCE)
    with (
        process(repository, *arguments) as (gateway, url),
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        assert client.get(f"{done}/result").content == content
        assert client.get(film).json()["restarts"] == 1
        assert client.get(film).json()["state"] in ("queued", "rendering")
        assert client.delete(film).status_code == 204
        short = submit(client, format="mp4")
        assert ended(client, short)["state"] == "done"
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(PATIENCE) == 0
        assert "Traceback" not in gateway.stderr.read()
    left = {file.relative_to(tmp_path / "films").name for file in (tmp_path / "films").rglob("*.*")}
    assert left == {"job.json", "film.zip", "film.mp4"}


@pytest.mark.parametrize("crashes", range(MOST_CRASHES))
def test_a_film_that_ends_processes_is_given_up(tmp_path, crashes):
    store = VideoStore(tmp_path)
    store.create(record(state="rendering", crashes=crashes), wanted())
    (tmp_path / record().id / ".film.zip.1.partial.zip").write_bytes(b"half")
    store.close()
    with running_gateway(create_app(Settings(videos=tmp_path), ScriptedEngine())) as client:
        told = ended(client, f"/v1/videos/{record().id}")
    if crashes + 1 < MOST_CRASHES:
        assert (told["state"], told["restarts"], told["error"]) == ("done", 1, None)
    else:
        assert (told["state"], told["error"]["status"]) == ("failed", 500)
        assert told["error"]["type"] == "urn:neurocity:problem:interrupted-too-often"


def test_what_is_not_whole_is_removed_and_what_is_not_ours_is_left(tmp_path):
    store = VideoStore(tmp_path)
    store.create(record(1), wanted())
    store.create(record(2, state="done"), wanted())
    store.create(record(3, state="done", bytes=4), wanted())
    store.film(record(3)).write_bytes(b"film")
    store.create(record(6, state="done", bytes=4), wanted())
    store.film(record(6)).write_bytes(b"fi")
    store.create(record(4), wanted())
    (tmp_path / record(4).id / "job.json").unlink()
    store.create(record(5), wanted())
    (tmp_path / record(5).id / "job.json").write_text("{}")
    (tmp_path / "of somebody else").mkdir()
    assert [found.id for found in store.load()] == [record(1).id, record(3).id]
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"lock", "of somebody else", record(1).id, record(3).id}
    assert store.order(record(1)) == wanted()
    assert store.bytes(record(3).id) == sum(
        file.stat().st_size for file in (tmp_path / record(3).id).iterdir()
    )
    store.close()


def test_what_cannot_be_read_now_is_left(tmp_path, monkeypatch):
    store = VideoStore(tmp_path)
    store.create(record(1, state="done", bytes=4), wanted())
    store.film(record(1)).write_bytes(b"film")
    with monkeypatch.context() as broken:

        def read_bytes(file):
            raise OSError(errno.EIO, "no answer", str(file))

        broken.setattr(Path, "read_bytes", read_bytes)
        assert store.load() == []
    assert [found.id for found in store.load()] == [record(1).id]
    store.close()


def test_a_folder_is_of_one_process(tmp_path):
    store = VideoStore(tmp_path)
    with pytest.raises(ConfigError, match="another process"):
        create_app(Settings(videos=tmp_path))
    store.close()
    VideoStore(tmp_path).close()


def test_a_folder_that_cannot_be_had_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        VideoStore(tmp_path / "file")


def with_jobs(folder, use, engine=None):
    """The result of `use(jobs)` on the films of a folder, before any is made."""

    async def session():
        scenes = engine or ScriptedEngine()
        await scenes.start()
        service = RenderService(scenes, Limits(max_pixels=10**6, max_side=1000))
        jobs = VideoJobs(VideoStore(folder), service, LIMITS, failure_of)
        try:
            return await use(jobs)
        finally:
            await jobs.close()
            await scenes.close()

    return asyncio.run(session())


def test_clients_take_turns(tmp_path):
    made = []

    async def use(jobs):
        for client in ("a", "a", "a", "b", "b"):
            await jobs.submit(SCENE.scene, wanted(), Client(client), None)
        await jobs.start()
        for job in jobs.shelf.jobs():
            async for _ in jobs.watch(job):
                pass
        by_end = sorted(jobs.shelf.jobs(), key=lambda job: job.record.ended)
        made.extend(job.record.client.name for job in by_end)

    with_jobs(tmp_path, use)
    assert "".join(made) == "ababa"


def test_a_film_shows_one_version_of_its_scene(tmp_path, monkeypatch):
    """One that is under way goes on with the version that it began with; one that waits has none."""
    engine = PausedEngine()
    seen = []

    async def use(jobs):
        await jobs.start()
        first = await jobs.submit(SCENE.scene, wanted(), Client("a"), None)
        second = await jobs.submit(SCENE.scene, wanted(), Client("a"), None)
        while not engine.asked.is_set():
            await asyncio.sleep(0.01)
        source = engine._source
        opened = await source.open()

        class Newer(type(opened)):
            async def render(self, rays, deadline):
                if len(rays) > 1:  # and no canary
                    seen.append(first.record.state)
                return await super().render(rays, deadline)

        newer = replace(SCENE, version=2)
        opened_newer = AsyncMock(return_value=Newer(newer, engine))
        offer = replace(source.offer, manifest=newer, identity="newer", open=opened_newer)
        monkeypatch.setattr(source, "look", AsyncMock(return_value=Found(offers={"sphere": {2: offer}})))
        await engine.look()
        engine.go_on.set()
        third = await jobs.submit(SCENE.scene, wanted(), Client("a"), None)
        return [[now.record async for now in jobs.watch(job)][-1] for job in (first, second, third)]

    first, second, third = with_jobs(tmp_path, use, engine)
    assert (first.state, first.scene_version) == ("done", 1)
    assert (second.state, second.failure.slug, second.failure.status) == ("failed", "scene-changed", 409)
    assert "known: 2" in second.failure.detail
    assert (third.state, third.scene_version) == ("done", 2)
    assert set(seen) == {"done"}, "the newer version was rendered for the first film"


def test_an_order_that_the_disk_does_not_take_leaves_nothing(tmp_path, monkeypatch):
    async def use(jobs):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(VideoStore, "save", full)
        with pytest.raises(Exception, match="No space left"):
            await jobs.submit(SCENE.scene, wanted(), Client("a"), None)
        assert jobs.shelf.jobs() == []

    with_jobs(tmp_path, use)
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


def test_a_disk_that_fails_later_does_not_hold_films_up(tmp_path, monkeypatch):
    save = VideoStore.save

    def broken(store, changed):
        if changed.state != "queued":
            raise OSError(5, "Input/output error")
        save(store, changed)

    async def use(jobs):
        monkeypatch.setattr(VideoStore, "save", broken)
        await jobs.start()
        job = await jobs.submit(SCENE.scene, wanted(), Client("a"), None)
        return [now.record.state async for now in jobs.watch(job)]

    assert with_jobs(tmp_path, use)[-1] == "done"


def test_a_folder_that_somebody_removes_fails_its_film_alone(tmp_path):
    engine = PausedEngine()
    with running_gateway(create_app(Settings(videos=tmp_path), engine)) as client:
        lost, waits, last = submit(client), submit(client), submit(client)
        until(client, lost, "rendering")
        for film in (lost, waits):
            shutil.rmtree(tmp_path / film.rpartition("/")[2])
        engine.go_on.set()
        assert [ended(client, film)["state"] for film in (lost, waits, last)] == ["failed", "failed", "done"]
        assert client.delete(lost).status_code == 204


def test_the_oldest_films_of_a_client_make_room(tmp_path):
    store = VideoStore(tmp_path)
    for number in range(KEPT_PER_CLIENT + 2):
        store.create(record(number, state="failed", ended=time.time()), wanted())
    store.create(record(9999, state="failed", ended=time.time(), client=Client("b")), wanted())
    store.close()

    async def use(jobs):
        await jobs.shelf.load()
        await jobs.submit(SCENE.scene, wanted(), Client("a"), None)
        return [int(job.record.id, 16) for job in jobs.shelf.jobs()][:-1]

    assert with_jobs(tmp_path, use) == [*range(2, KEPT_PER_CLIENT + 2), 9999]
    assert len(list(tmp_path.iterdir())) == KEPT_PER_CLIENT + 3


def test_a_film_waits_while_there_is_no_room_for_its_frames(tmp_path):
    """Frames that are refused come again, until there is room."""
    engine = PausedEngine()
    settings = Settings(videos=tmp_path, memory_bytes=1, cache_bytes=0)
    with running_gateway(create_app(settings, engine)) as client:
        film = submit(client, frames=2)
        until(client, film, "rendering")
        time.sleep(0.2)  # the second frame finds no memory beside the first
        engine.go_on.set()
        assert events(client, film)[-1]["state"] == "done"
