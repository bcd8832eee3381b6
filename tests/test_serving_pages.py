"""What describes the gateway: OpenAPI with true examples, the docs page, the viewer's files, scene facts."""

import asyncio
import re

import analytic_scene
import pytest
from fastapi import FastAPI, WebSocket
from fastapi.openapi.models import OpenAPI
from gateway_server import running_gateway

from neurocity.pictures.encoded import MEDIA_TYPES
from neurocity.viewer.files import shared_names
from serving.app import create_app
from serving.http.pages import VIEWER_FOLDER, viewer_routes
from serving.settings import Settings
from serving.state import GatewayOfApp


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    repository = analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "onnx")
    with running_gateway(create_app(Settings(repository=repository))) as client:
        yield client


@pytest.fixture(scope="module")
def openapi(client):
    return client.get("/openapi.json").json()


def references(node):
    if isinstance(node, dict):
        yield from [node["$ref"]] if "$ref" in node else []
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references(item)


def test_openapi_is_well_formed_and_complete(openapi):
    assert OpenAPI.model_validate(openapi).openapi.startswith("3.1")
    known = {f"#/components/schemas/{name}" for name in openapi["components"]["schemas"]}
    assert set(references(openapi)) <= known
    assert set(openapi["paths"]) == {
        "/livez",
        "/metrics",
        "/readyz",
        "/v1/admin/scenes",
        "/v1/scenes",
        "/v1/scenes/{scene}",
        "/v1/scenes/{scene}/render",
        "/v1/scenes/{scene}/render.{extension}",
        "/v1/scenes/{scene}/videos",
        "/v1/scenes/{scene}/web/{file}",
        "/v1/videos",
        "/v1/videos/{video}",
        "/v1/videos/{video}/events",
        "/v1/videos/{video}/result",
    }


def test_openapi_declares_errors_as_problem_json(openapi):
    render = openapi["paths"]["/v1/scenes/{scene}/render"]["post"]["responses"]
    assert {"200", "400", "404", "413", "415", "422", "429", "502", "503", "504"} == set(render)
    for status, response in render.items():
        if status != "200":
            schema = response["content"]["application/problem+json"]["schema"]
            assert schema["$ref"] == "#/components/schemas/Problem"
    assert set(render["200"]["content"]) == set(MEDIA_TYPES.values())


def test_every_example_of_openapi_renders(client, openapi):
    body = openapi["paths"]["/v1/scenes/{scene}/render"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == {"look_at", "orbit", "pose"}
    for example in body["examples"].values():
        response = client.post("/v1/scenes/sphere/render", json=example["value"])
        assert response.status_code == 200, response.text


def test_docs_page_is_complete_and_loads_nothing(client, openapi):
    response = client.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    for path in openapi["paths"]:
        assert path in response.text
    for name in openapi["components"]["schemas"]:
        assert f"id='{name}'" in response.text
    assert re.findall(r"https?://|<script|<link|<img", response.text) == []


def test_scene_list_and_description(client):
    (listed,) = client.get("/v1/scenes").json()["scenes"]
    speed = listed.pop("pixels_per_second")
    assert speed is None or speed > 0
    assert listed.pop("loaded") == (listed.pop("loaded_bytes") > 0)
    assert listed == {
        "scene": "sphere",
        "version": 1,
        "family": "analytic",
        "format": "onnx",
        "precision": "fp32",
        "engine": "onnxruntime",
        "engine_reason": "onnx fp32 is there; not native: there is no native fp32",
        "blocks": None,
        "loaded_blocks": None,
    }
    scene = client.get("/v1/scenes/sphere").json()
    assert scene["engine"] == "onnxruntime"
    assert scene["bounds"] == [-1.0, -1.5, -1.0, 1.5, 1.0, 2.0]
    assert scene["up"] == [0.0, 0.0, 1.0]
    assert scene["background"] == list(analytic_scene.BACKGROUND)
    assert scene["outputs"] == ["rgb", "depth", "opacity", "normal"]
    assert scene["formats"] == ["png", "jpeg", "webp", "npy", "exr"]
    assert scene["depth_kind"] == "distance"
    assert scene["limits"] == {"max_pixels": 4_194_304, "max_side": 8192, "render_timeout_seconds": 60.0}
    assert len(scene["artefact_sha256"]) == 64


def test_a_view_of_the_description_can_be_rendered_as_it_is(client):
    view = client.get("/v1/scenes/sphere").json()["views"][0]
    intrinsics = {name: view[name] for name in ("fl_x", "fl_y", "cx", "cy")}
    camera = {"camera_to_world": view["camera_to_world"], "convention": "opengl", "intrinsics": intrinsics}
    body = {"camera": camera, "width": view["width"], "height": view["height"]}
    assert client.post("/v1/scenes/sphere/render", json=body).status_code == 200


def test_viewer_files_are_served_with_a_strict_policy(client):
    names = [
        path.relative_to(VIEWER_FOLDER).as_posix() for path in VIEWER_FOLDER.rglob("*") if path.is_file()
    ]
    assert "index.html" in names
    assert "camera/camera.js" in shared_names()
    for name in ["", *names, *shared_names()]:
        response = client.get(f"/{name}")
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
    assert client.get("/").content == (VIEWER_FOLDER / "index.html").read_bytes()


def test_viewer_files_are_revalidated_and_nothing_else_is_served(tmp_path):
    folder = tmp_path / "viewer"
    (folder / "scripts").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "scripts" / "app.js").write_text("export {}")
    (tmp_path / "secret").write_text("no")
    app = FastAPI()
    app.router.routes += viewer_routes(folder)
    with running_gateway(app) as client:
        response = client.get("/scripts/app.js")
        assert response.headers["content-type"].startswith("text/javascript")
        assert response.headers["cache-control"] == "no-cache"
        again = client.get("/scripts/app.js", headers={"if-none-match": response.headers["etag"]})
        assert again.status_code == 304
        assert client.get("/index.html").text == client.get("/").text == "<!doctype html>"
        for path in ("/../secret", "/scripts/../../secret", "/%2e%2e/secret", "/scripts", "/scripts/"):
            assert client.get(path).status_code == 404


def test_a_websocket_gets_the_gateway_that_a_request_gets(tmp_path):
    app = create_app(Settings(repository=analytic_scene.write_repository(tmp_path, "onnx")))

    @app.websocket("/scenes")
    async def scenes(socket: WebSocket, gateway: GatewayOfApp) -> None:
        await socket.accept()
        await socket.send_json(sorted(gateway.service.scenes()))

    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    async def session():
        async with app.router.lifespan_context(app):
            scope = {"type": "websocket", "path": "/scenes", "headers": [], "query_string": b""}
            await app(scope, receive, send)

    asyncio.run(session())
    assert sent[1]["text"] == '["sphere"]'
