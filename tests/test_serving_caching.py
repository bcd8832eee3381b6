"""What clients and caches may keep: ETags, 304 and HEAD without a render; and what other sites may embed."""

from dataclasses import replace

import analytic_scene
import pytest
from gateway_server import running_gateway
from test_serving_faults import ScriptedEngine

from neurocity.pictures.options import RenderOptions
from serving.app import create_app
from serving.http.caching import picture_etag
from serving.render.picture_key import picture_key
from serving.settings import Settings

LINK = "/v1/scenes/sphere/render.png?eye=3,0,0&target=0,0,0&width=8&height=6"
SAME = {
    "camera": {"look_at": {"eye": [3.0, 0, 0], "target": [0, 0, 0]}, "fov_y_degrees": 50},
    "width": 8,
    "height": 6,
}


@pytest.fixture
def engine():
    return ScriptedEngine()


@pytest.fixture
def client(engine):
    settings = Settings(cache_control="public, max-age=60", cache_bytes=0)
    with running_gateway(create_app(settings, engine)) as client:
        yield client


def test_a_known_picture_is_not_rendered_again(client, engine):
    answer = client.get(LINK)
    etag = answer.headers["etag"]
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert not etag.startswith("W/")
    engine.started.clear()
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = client.get(LINK, headers={"if-none-match": known})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == etag
        assert again.headers["cache-control"] == "public, max-age=60"
    assert not engine.started.is_set()
    assert client.get(LINK, headers={"if-none-match": '"other"'}).status_code == 200
    assert engine.started.is_set()


def test_head_tells_the_same_without_a_render(client, engine):
    whole = client.get(LINK)
    engine.started.clear()
    head = client.head(LINK)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("etag", "cache-control", "content-type", "x-scene-version"):
        assert head.headers[name] == whole.headers[name]
    assert client.head(LINK, headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    assert not engine.started.is_set()


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/v1/scenes", "/v1/scenes/sphere", "/", "/docs", "/metrics"]
)
def test_head_on_everything_that_get_gives(client, path):
    head = client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    assert "content-length" in head.headers
    assert client.get(path).status_code == 200  # the connection goes on where it should


def test_head_on_what_is_not_there(client):
    assert client.head("/nothing").status_code == 404
    assert client.head("/v1/scenes/sphere/render").status_code == 405
    assert client.post("/livez").headers["allow"] == "GET, HEAD"


def test_equal_pictures_have_one_tag_in_whatever_form_they_are_asked_for(client):
    etag = client.get(LINK).headers["etag"]
    assert client.post("/v1/scenes/sphere/render", json=SAME).headers["etag"] == etag
    assert client.get(LINK.replace("eye=3,", "eye=3.00,") + "&fov=50").headers["etag"] == etag
    assert (
        client.post("/v1/scenes/sphere/render", json=SAME, headers={"if-none-match": "*"}).status_code == 200
    )
    other = [
        LINK.replace("width=8", "width=9"),
        LINK.replace("png", "webp"),
        LINK.replace("eye=3", "eye=3.000000001"),
        LINK + "&output=depth",
        LINK + "&background=000000",
        LINK + "&fov=51",
    ]
    tags = [client.get(link).headers["etag"] for link in other]
    assert len({etag, *tags}) == 1 + len(other)


def test_a_tag_is_of_the_artefact_the_scene_and_the_engine():
    manifest, camera, options = analytic_scene.manifest("onnx", b""), analytic_scene.camera(), RenderOptions()

    def tag(manifest, engine="onnxruntime"):
        return picture_etag(engine, picture_key(manifest, camera, options))

    others = [
        tag(manifest, "triton"),
        tag(replace(manifest, version=2)),
        tag(analytic_scene.manifest("onnx", b"other")),
        tag(replace(manifest, info=replace(manifest.info, background=None))),
    ]
    assert tag(manifest) == tag(replace(manifest))
    assert len({tag(manifest), *others}) == 5


@pytest.mark.parametrize(
    "path", ["/nothing", LINK + "&width=0", "/v1/scenes/none", "/v1/scenes/sphere/render"]
)
def test_errors_are_never_kept(client, path):
    answer = client.get(path)
    assert answer.status_code >= 400
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


def test_a_failed_picture_has_no_tag(client, engine):
    engine.failure = RuntimeError("broken")
    answer = client.get(LINK)
    assert answer.status_code == 500
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


@pytest.mark.parametrize("path", ["/livez", "/v1/scenes", LINK, "/nothing", "/", "/docs"])
def test_every_answer_is_for_this_site(client, path):
    headers = client.get(path).headers
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers["cross-origin-resource-policy"] == "same-origin"


def browser(site: str, mode: str = "no-cors", shown_in: str = "image") -> dict[str, str]:
    return {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": shown_in}


FRAMES = [browser("cross-site", "navigate", element) for element in ("iframe", "frame", "object", "embed")]


def test_a_page_of_another_site_cannot_ask_for_pictures(client, engine):
    for headers in (browser("cross-site"), browser("same-site"), *FRAMES):
        answer = client.get(LINK, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:neurocity:problem:cross-site"
    assert not engine.started.is_set()
    for headers in (
        browser("same-origin"),
        browser("none", "navigate", "document"),
        browser("cross-site", "navigate", "document"),
        {},
    ):
        assert client.get(LINK, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("policy", "allowed"), [("same-site", {"same-site"}), ("cross-origin", {"same-site", "cross-site"})]
)
def test_other_sites_may_be_let_in(engine, policy, allowed):
    with running_gateway(create_app(Settings(cross_origin=policy), engine)) as client:
        for site in ("same-site", "cross-site"):
            answer = client.get(LINK, headers=browser(site))
            assert (answer.status_code == 200) == (site in allowed)
            assert answer.headers["cross-origin-resource-policy"] == policy


def test_no_redirect_repeats_what_a_client_calls_the_host(client):
    answer = client.get("/livez/", headers={"host": "evil.example"})
    assert answer.status_code == 404
    assert "evil" not in answer.text + str(answer.headers)
