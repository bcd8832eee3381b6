"""Films over HTTP: what is told and given of them, what they show, and how they fail and go."""

import io
import subprocess
import zipfile

import imageio_ffmpeg
import numpy as np
import pytest
from film_orders import EYES, SIZE, ended, events, order, paused_gateway, prompt_gateway, submit, until
from gateway_server import running_gateway
from PIL import Image
from test_serving_faults import ScriptedEngine
from waiting import PATIENCE, wait_for

from neurocity.errors import EngineError, EngineUnavailableError
from neurocity.light import psnr
from serving.app import create_app
from serving.settings import Settings
from serving.videos import film as film_module
from serving.videos import shelf

JSON = "application/json"
PROBLEM = "urn:neurocity:problem:"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with prompt_gateway(tmp_path_factory.mktemp("films")) as client:
        yield client


@pytest.fixture
def paused(tmp_path):
    with paused_gateway(tmp_path) as gateway:
        yield gateway


def pictures_of(content):
    """The frames [H, W, 3] of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [np.asarray(Image.open(archive.open(name))) for name in sorted(archive.namelist())]


def decoded(file, width, height):
    """The frames [H, W, 3] of a film, as ffmpeg shows them."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        file,
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    shown = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return list(np.frombuffer(shown, np.uint8).reshape(-1, height, width, 3))


def picture(client, eye, **changes):
    query = {"eye": ",".join(map(str, eye)), "target": "0,0,0"} | changes
    answer = client.get("/v1/scenes/sphere/render.png", params=query)
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


@pytest.mark.parametrize("extension", ["zip", "mp4"])
def test_a_film_shows_what_pictures_show(client, tmp_path, extension):
    size = {"width": 160, "height": 120}
    film = submit(client, format=extension, background="#336699", **size)
    told = ended(client, film)
    assert told["state"] == "done"
    assert (told["frames"], told["frames_done"], told["scene_version"]) == (5, 5, 3)
    content = client.get(f"{film}/result").content
    assert len(content) == told["bytes"]
    (tmp_path / "film").write_bytes(content)
    frames = pictures_of(content) if extension == "zip" else decoded(tmp_path / "film", **size)
    assert len(frames) == 5
    for frame, eye in ((frames[0], EYES[0]), (frames[-1], EYES[-1])):
        expected = picture(client, eye, background="336699", **size)
        if extension == "zip":
            np.testing.assert_array_equal(frame, expected)
        else:
            assert psnr(frame / 255.0, expected / 255.0) > 35
    assert psnr(frames[0] / 255.0, frames[2] / 255.0) < 25


def test_a_film_of_depth_has_one_scale_of_colours(client):
    film = submit(client, output="depth", colormap="gray", near=1, far=9)
    assert ended(client, film)["state"] == "done"
    (first, *_) = pictures_of(client.get(f"{film}/result").content)
    link = {"output": "depth", "colormap": "gray", "near": 1, "far": 9, **SIZE}
    np.testing.assert_array_equal(first, picture(client, EYES[0], **link))


def test_a_film_of_opacity_is_gray(client):
    film = submit(client, output="opacity")
    assert ended(client, film)["state"] == "done"
    (first, *_) = pictures_of(client.get(f"{film}/result").content)
    np.testing.assert_array_equal(first, picture(client, EYES[0], output="opacity", **SIZE))


def test_the_file_has_ranges_a_tag_and_a_name(client):
    film = submit(client)
    ended(client, film)
    whole = client.get(f"{film}/result")
    assert whole.headers["content-type"] == "application/zip"
    assert whole.headers["content-disposition"] == 'attachment; filename="sphere.zip"'
    size, tag = len(whole.content), whole.headers["etag"]

    def part(**headers):
        return client.get(
            f"{film}/result", headers={name.replace("_", "-"): headers[name] for name in headers}
        )

    ranged = part(range="bytes=10-19")
    assert (ranged.status_code, ranged.content) == (206, whole.content[10:20])
    assert ranged.headers["content-range"] == f"bytes 10-19/{size}"
    assert part(range=f"bytes={size - 3}-").content == whole.content[-3:]
    assert part(range="bytes=-3").content == whole.content[-3:]
    assert part(range="bytes=5-", if_range=tag).status_code == 206
    for ignored in ({"range": "bytes=5-4"}, {"range": "pixels=1-2"}, {"range": "bytes=1-2,3-4"}):
        assert part(**ignored).content == whole.content
    assert part(range="bytes=5-", if_range='"another"').content == whole.content
    beyond = part(range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert beyond.headers["content-type"] == "application/problem+json"
    known = part(if_none_match=tag)
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    head = client.head(f"{film}/result")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")


def test_events_tell_of_progress_to_the_end(paused):
    client, engine = paused
    film = submit(client)
    until(client, film, "rendering")
    early = client.get(f"{film}/result")
    assert (early.status_code, early.json()["type"]) == (409, f"{PROBLEM}video-not-ready")
    engine.go_on.set()
    told = events(client, film)
    states = [event["state"] for event in told]
    assert (states[0], states[-1]) == ("rendering", "done")
    counted = [event["frames_done"] for event in told]
    assert counted == sorted(counted)
    assert client.get(film).json() == told[-1]
    assert [item["id"] for item in client.get("/v1/videos").json()["videos"]] == [told[-1]["id"]]
    metrics = client.get("/metrics").text
    assert 'neurocity_video_jobs{state="done"} 1.0' in metrics
    assert 'neurocity_video_frames_total{scene="sphere"} 5.0' in metrics


def test_a_removed_film_stops_within_a_tile(paused, tmp_path):
    client, engine = paused
    engine.hangs = True
    engine.go_on.set()
    film, waiting = submit(client, format="mp4"), submit(client)
    until(client, film, "rendering")
    wait_for(engine.started.is_set)
    with client.stream("GET", f"{film}/events") as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data:"))
        assert '"rendering"' in next(lines)
        engine.hangs = False
        assert client.delete(film).status_code == 204
        assert '"cancelled"' in list(lines)[-1]
    assert engine.cancelled.wait(PATIENCE)
    for path in (film, f"{film}/events", f"{film}/result"):
        assert client.get(path).json()["type"] == f"{PROBLEM}video-not-found"
    assert client.delete(film).status_code == 404
    assert not (tmp_path / "films" / film.rpartition("/")[2]).exists()
    assert ended(client, waiting)["state"] == "done"
    assert "neurocity_queue_seconds_estimated 0.0" in client.get("/metrics").text


def test_a_failure_is_told_and_leaves_nothing(paused, tmp_path):
    client, engine = paused
    engine.failure = EngineError("secret path /var/models")
    engine.go_on.set()
    film = submit(client)
    told = ended(client, film)
    assert told["state"] == "failed"
    assert (told["error"]["status"], told["error"]["type"]) == (502, f"{PROBLEM}engine-failed")
    assert "secret" not in str(told)
    folder = tmp_path / "films" / film.rpartition("/")[2]
    wait_for(lambda: [file.name for file in folder.iterdir()] == ["job.json"])  # the order goes last
    engine.failure = None
    assert ended(client, submit(client))["state"] == "done"


def test_an_engine_that_is_away_is_waited_for(paused, monkeypatch):
    monkeypatch.setattr(film_module, "RETRY_SECONDS", 0.05)
    client, engine = paused
    engine.failure = EngineUnavailableError("no server")
    engine.go_on.set()
    film = submit(client)
    wait_for(engine.started.is_set)
    engine.failure = None
    assert ended(client, film)["state"] == "done"


def test_films_take_no_more_disk_than_they_may(tmp_path):
    settings = Settings(videos=tmp_path / "films", videos_bytes=40_000)
    with running_gateway(create_app(settings, ScriptedEngine())) as client:
        small = submit(client)
        assert ended(client, small)["state"] == "done"
        large = submit(client, width=320, height=240, frames=50)
        told = ended(client, large)
        assert (told["state"], told["error"]["type"]) == ("failed", f"{PROBLEM}videos-full")
        taken = sum(file.stat().st_size for file in (tmp_path / "films").rglob("*"))
        assert taken < 40_000 + 8192
        medium = submit(client, width=96, height=72, frames=9)
        ended(client, medium)
        for _ in range(20):
            refused = client.post("/v1/scenes/sphere/videos", json=order())
            if refused.status_code != 202:
                break
            ended(client, refused.headers["location"])
        assert (refused.status_code, refused.json()["type"]) == (507, f"{PROBLEM}videos-full")
        assert client.delete(medium).status_code == 204
        assert ended(client, submit(client))["state"] == "done"


def test_films_expire(tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "EXPIRY_SECONDS", 0.05)
    settings = Settings(videos=tmp_path / "films", videos_hours=0.5 / 3600)
    with running_gateway(create_app(settings, ScriptedEngine())) as client:
        film = submit(client)
        assert ended(client, film)["expires"] is not None
        wait_for(lambda: client.get(film).status_code == 404)
        wait_for(lambda: [file.name for file in (tmp_path / "films").iterdir()] == ["lock"])
