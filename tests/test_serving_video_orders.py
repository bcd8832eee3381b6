"""Orders of films over HTTP: what is one, who may have how many, and whose they are."""

import json
import re
import socket
import time
from pathlib import Path

import pytest
from film_orders import ended, order, paused_gateway, prompt_gateway, submit, until
from gateway_server import running_gateway, running_server
from test_serving_drain import PausedEngine
from test_serving_faults import ScriptedEngine
from waiting import wait_for

from neurocity.errors import MissingDependencyError
from serving.access.keys import Grant, new_key
from serving.app import create_app
from serving.http.video_schemas import EXAMPLES
from serving.settings import Settings
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


def test_clients_have_a_number_of_films_each_and_together(tmp_path):
    made = {name: new_key(Grant(name, frozenset({"*"}))) for name in ("a", "b", "c")}
    settings = Settings(
        videos=tmp_path,
        max_videos_per_client=2,
        max_videos=3,
        api_keys=";".join(line for _, line in made.values()),
    )
    engine = PausedEngine()
    with running_gateway(create_app(settings, engine)) as client:
        try:

            def ask(name):
                headers = {"x-api-key": made[name][0]}
                return client.post("/v1/scenes/sphere/videos", json=order(), headers=headers)

            first = [ask("a"), ask("a")]
            assert [answer.status_code for answer in first] == [202, 202]
            third = ask("a")
            assert (third.status_code, third.json()["type"]) == (429, f"{PROBLEM}too-many-videos")
            assert int(third.headers["retry-after"]) >= 1
            assert ask("b").status_code == 202
            fourth = ask("c")
            assert (fourth.status_code, fourth.json()["type"]) == (503, f"{PROBLEM}overloaded")
            path, headers = first[1].headers["location"], {"x-api-key": made["a"][0]}
            assert client.delete(path, headers=headers).status_code == 204
            assert ask("c").status_code == 202
        finally:
            engine.go_on.set()


def test_a_film_belongs_to_the_key_that_made_it(tmp_path):
    grants = [
        Grant("a", frozenset({"sphere"})),
        Grant("b", frozenset({"*"})),
        Grant("c", frozenset({"city"})),
    ]
    made = {grant.name: new_key(grant) for grant in grants}
    settings = Settings(videos=tmp_path, api_keys=";".join(line for _, line in made.values()))
    with running_gateway(create_app(settings, ScriptedEngine())) as client:
        as_ = {name: {"x-api-key": key} for name, (key, _) in made.items()}
        answer = client.post("/v1/scenes/sphere/videos", json=order(), headers=as_["a"])
        film = answer.headers["location"]
        refused = client.post("/v1/scenes/sphere/videos", json=order(), headers=as_["c"])
        assert refused.json()["type"] == f"{PROBLEM}scene-forbidden"
        for path in (film, f"{film}/events", f"{film}/result"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=as_["b"]).json()["type"] == f"{PROBLEM}video-not-found"
        assert client.delete(film, headers=as_["b"]).status_code == 404
        counts = {name: len(client.get("/v1/videos", headers=as_[name]).json()["videos"]) for name in as_}
        assert counts == {"a": 1, "b": 0, "c": 0}
        assert client.get(film, headers=as_["a"]).status_code == 200


def test_all_clients_together_have_a_number_of_films_that_are_kept(paused, monkeypatch):
    client, _ = paused
    monkeypatch.setattr(shelf, "MOST_KEPT", 1)
    film = submit(client)
    refused = client.post("/v1/scenes/sphere/videos", json=order())
    assert (refused.status_code, refused.json()["type"]) == (507, f"{PROBLEM}videos-full")
    assert client.delete(film).status_code == 204
    assert submit(client)


def test_behind_a_proxy_a_films_address_has_its_prefix(tmp_path):
    settings = Settings(videos=tmp_path, root_path="/city", drain_seconds=5)
    with running_server(create_app(settings, ScriptedEngine()), settings) as (_, client):
        film = submit(client)
        assert film.startswith("/city/v1/videos/")
        assert ended(client, film.removeprefix("/city"))["state"] == "done"


def test_a_film_waits_for_the_quota_of_its_key(tmp_path):
    """A frame has more pixels than the key has in a minute: after the first, the next waits for minutes."""
    key, line = new_key(Grant("a", frozenset({"*"}), pixels_per_minute=100))
    settings = Settings(videos=tmp_path, api_keys=line)
    with running_gateway(create_app(settings, ScriptedEngine())) as client:
        client.headers["x-api-key"] = key
        film = submit(client)
        until(client, film, "rendering", frames=1)
        time.sleep(0.3)
        told = client.get(film).json()
        assert (told["state"], told["frames_done"]) == ("rendering", 1)
        assert client.delete(film).status_code == 204


def test_the_order_of_the_document_is_one(client):
    document = (Path(__file__).parents[1] / "docs" / "serving.md").read_text()
    (shown,) = re.findall(r"^```json\n(.*?)^```", document.partition("## Films")[2], re.S | re.M)[:1]
    answer = client.post(
        "/v1/scenes/sphere/videos", content=shown.replace("640", "64"), headers={"content-type": JSON}
    )
    assert (answer.status_code, answer.json()["frames"]) == (202, 97), answer.text
    assert client.delete(answer.headers["location"]).status_code == 204


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_description_are_orders(client, name):
    answer = client.post("/v1/scenes/sphere/videos", json=EXAMPLES[name])
    assert answer.status_code == 202, answer.text
    assert ended(client, answer.headers["location"])["state"] == "done"


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"camera_path": {"keyframes": []}}, "camera_path", "keyframes"),
        ({"camera_path": {}}, "camera_path", "nerfstudio"),
        (
            {"camera_path": {"camera_path": [{"fov": 50}], "render_width": 4, "render_height": 4}},
            "camera_path",
            "[0]",
        ),
        ({"width": 9000, "height": 9}, "width", "8192"),
        ({"width": 4000, "height": 600}, "camera_path", "10000000"),
        ({"width": 0}, "width", "greater"),
        ({"quality": 50}, "quality", "zip"),
        ({"output": "depth", "far": 3}, "near", "one scale"),
        ({"output": "depth", "near": 3, "far": 2}, "far", "greater"),
        ({"axes": "camera"}, "axes", "normal"),
        ({"format": "gif"}, "format", "mp4"),
        ({"speed": 2}, "speed", "permitted"),
        ({"frames_per_second": 0}, "frames_per_second", "greater"),
    ],
)
def test_what_is_wrong_with_an_order_is_said(client, changes, field, told):
    answer = client.post("/v1/scenes/sphere/videos", json=order(**changes))
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], told in error["message"]) == (field, True), error


def test_orders_are_read_as_other_bodies_are(client):
    path = "/v1/scenes/sphere/videos"
    assert client.post("/v1/scenes/none/videos", json=order()).json()["type"] == f"{PROBLEM}scene-not-found"
    json_type = {"content-type": JSON}
    assert client.post(path, content=b"{", headers=json_type).json()["type"] == f"{PROBLEM}malformed-body"
    assert client.post(path, content=b"[" * 200_000, headers=json_type).status_code == 400
    assert client.post(path, content=b"{}").status_code == 415


def test_a_client_that_leaves_with_its_order_gives_its_place_back(paused):
    client, _ = paused
    head = b"POST /v1/scenes/sphere/videos HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for _ in range(2):  # as many as one client may have
        with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
            connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
            wait_for(lambda: "http_active_requests 2.0" in client.get("/metrics").text)
        wait_for(lambda: "http_active_requests 1.0" in client.get("/metrics").text)
    metrics = client.get("/metrics").text
    assert 'neurocity_rejected_total{reason="client-disconnected"} 2.0' in metrics
    assert [submit(client), submit(client)]


def test_a_camera_path_may_hold_what_json_can(client):
    deep = json.loads("[" * 400 + "]" * 400)
    for oddity in ({"note": "\ud800"}, {"\ud800": 1}, {"note": deep}):
        path = EXAMPLES["nerfstudio"]["camera_path"] | oddity
        content = json.dumps(order(camera_path=path)).encode()
        answer = client.post("/v1/scenes/sphere/videos", content=content, headers={"content-type": JSON})
        assert answer.status_code in (202, 422), answer.text
        if answer.status_code == 202:
            assert ended(client, answer.headers["location"])["state"] == "done"
    keyframes = {"keyframes": [{"\ud800": 1}]}
    content = json.dumps(order(camera_path=keyframes)).encode()
    answer = client.post("/v1/scenes/sphere/videos", content=content, headers={"content-type": JSON})
    assert answer.status_code == 422


def test_camera_paths_may_be_longer_than_other_bodies(tmp_path):
    settings = Settings(videos=tmp_path, max_video_body_bytes=200_000)
    with running_gateway(create_app(settings, ScriptedEngine())) as client:
        fill = {"keyframes": [], "padding": "x" * 100_000}
        longer = client.post("/v1/scenes/sphere/videos", json=order(camera_path=fill))
        assert longer.status_code == 422
        fill["padding"] *= 2
        too_long = client.post("/v1/scenes/sphere/videos", json=order(camera_path=fill))
        assert (too_long.status_code, "200000" in too_long.json()["detail"]) == (413, True)
        other = client.post("/v1/scenes/sphere/render", json={"padding": "x" * 100_000})
        assert other.status_code == 413
        assert ended(client, submit(client))["state"] == "done"


def test_without_a_folder_no_films_are_made():
    with running_gateway(create_app(Settings(), ScriptedEngine())) as client:
        for answer in (
            client.post("/v1/scenes/sphere/videos", json=order()),
            client.get("/v1/videos"),
            client.get("/v1/videos/0"),
            client.delete("/v1/videos/0"),
        ):
            assert (answer.status_code, answer.json()["type"]) == (404, f"{PROBLEM}videos-off")
            assert "--videos" in answer.json()["detail"]


def test_without_ffmpeg_a_film_is_refused_and_a_zip_is_not(paused, monkeypatch):
    client, _ = paused

    def program():
        raise MissingDependencyError("mp4 needs ffmpeg: pip install 'neurocity[video]'")

    monkeypatch.setattr("neurocity.video.film.program", program)
    refused = client.post("/v1/scenes/sphere/videos", json=order(format="mp4"))
    assert (refused.status_code, "neurocity[video]" in refused.json()["detail"]) == (422, True)
    assert submit(client)
