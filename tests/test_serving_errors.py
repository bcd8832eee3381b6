"""Every wrong request gets problem+json with the right status, the field, and what would work."""

import analytic_scene
import httpx
import numpy as np
import pytest
from gateway_server import running_gateway
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.app import create_app
from serving.http.schemas import EXAMPLES, RenderRequest
from serving.settings import Settings

RENDER = "/v1/scenes/sphere/render"
JSON = {"content-type": "application/json"}
LOOK_AT = {"look_at": {"eye": [3, 0, 0], "target": [0, 0, 0]}}
POSE = {"camera_to_world": np.eye(4).tolist(), "convention": "opengl", "fov_y_degrees": 50}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    repository = analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "onnx")
    limits = {"max_pixels": 400_000, "max_side": 1000, "max_body_bytes": 20_000}
    with running_gateway(create_app(Settings(repository=repository, **limits))) as client:
        yield client


def problem(response: httpx.Response, status: int) -> dict:
    """The problem details of a response, after checking what all of them have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    details = response.json()
    assert details["status"] == status
    assert details["type"].startswith("urn:neurocity:problem:")
    assert details["title"]
    assert details["detail"]
    return details


def scaled(matrix, factor):
    return {**POSE, "camera_to_world": (np.diag([factor] * 3 + [1]) @ np.array(matrix)).tolist()}


MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0]).tolist()

WRONG_BODIES = {
    "no camera": ({}, "camera", "Field required"),
    "two forms": (
        {"camera": {**LOOK_AT, **POSE}},
        "camera",
        "exactly one of camera_to_world, look_at, orbit",
    ),
    "no form": ({"camera": {"fov_y_degrees": 50}}, "camera", "exactly one of"),
    "camera is a list": ({"camera": [1, 2]}, "camera", "exactly one of"),
    "unknown field": ({"camera": LOOK_AT, "widht": 64}, "widht", "not permitted"),
    "unknown camera field": ({"camera": {**LOOK_AT, "roll": 1}}, "camera.roll", "not permitted"),
    "no convention": (
        {"camera": {"camera_to_world": POSE["camera_to_world"], "fov_y_degrees": 50}},
        "camera.convention",
        "required",
    ),
    "unknown convention": ({"camera": {**POSE, "convention": "blender"}}, "camera.convention", "'opengl' or"),
    "no lens": ({"camera": {**POSE, "fov_y_degrees": None}}, "camera", "either intrinsics or fov_y_degrees"),
    "two rows": (
        {"camera": {**POSE, "camera_to_world": [[1, 0, 0, 0]] * 2}},
        "camera.camera_to_world",
        "3 item",
    ),
    "short row": (
        {"camera": {**POSE, "camera_to_world": [[1, 0, 0]] + [[1, 0, 0, 0]] * 2}},
        "camera.camera_to_world.0.3",
        "required",
    ),
    "scaled rotation": ({"camera": scaled(np.eye(4), 100.0)}, "camera.camera_to_world", "scaled by 100"),
    "mirror": ({"camera": {**POSE, "camera_to_world": MIRROR}}, "camera.camera_to_world", "reflection"),
    "zero rotation": ({"camera": scaled(np.eye(4), 0.0)}, "camera.camera_to_world", "not orthonormal"),
    "eye is target": (
        {"camera": {"look_at": {"eye": [1, 2, 3], "target": [1, 2, 3]}}},
        "camera.look_at.target",
        "coincides",
    ),
    "up along the view": (
        {"camera": {"look_at": {"eye": [0, 0, 5], "target": [0, 0, 0]}}},
        "camera.look_at.up",
        "parallel",
    ),
    "zero radius": (
        {"camera": {"orbit": {"azimuth": 0, "elevation": 0, "radius": 0, "target": [0, 0, 0]}}},
        "camera.orbit.radius",
        "greater than 0",
    ),
    "fov 0": ({"camera": {**LOOK_AT, "fov_y_degrees": 0}}, "camera.fov_y_degrees", "greater than 0"),
    "fov 180": ({"camera": {**LOOK_AT, "fov_y_degrees": 180}}, "camera.fov_y_degrees", "less than 180"),
    "focal length 0": (
        {"camera": {**POSE, "fov_y_degrees": None, "intrinsics": {"fl_x": 0, "fl_y": 9, "cx": 1, "cy": 1}}},
        "camera.intrinsics.fl_x",
        "greater than",
    ),
    "position beyond float32": (
        {"camera": {"look_at": {"eye": [1e30, 0, 0], "target": [0, 0, 0]}}},
        "camera.look_at.eye.0",
        "less than or equal",
    ),
    "number as text": (
        {"camera": {**LOOK_AT, "fov_y_degrees": "50"}},
        "camera.fov_y_degrees",
        "valid number",
    ),
    "number as bool": ({"camera": LOOK_AT, "width": True}, "width", "valid integer"),
    "zero width": ({"camera": LOOK_AT, "width": 0}, "width", "greater than or equal to 1"),
    "negative height": ({"camera": LOOK_AT, "height": -5}, "height", "greater than or equal to 1"),
    "half a pixel": ({"camera": LOOK_AT, "width": 10.5}, "width", "integer"),
    "long side": (
        {"camera": LOOK_AT, "width": 100_000, "height": 1},
        "width",
        "100000 pixels, the limit is 1000",
    ),
    "astronomic side": ({"camera": LOOK_AT, "width": 1, "height": 10**30}, "height", "the limit is 1000"),
    "many pixels": (
        {"camera": LOOK_AT, "width": 1000, "height": 401},
        "width",
        "401000 pixels, the limit is 400000",
    ),
    "unknown output": (
        {"camera": LOOK_AT, "output": "normals"},
        "output",
        "'rgb', 'depth', 'opacity' or 'normal'",
    ),
    "unknown format": (
        {"camera": LOOK_AT, "format": "gif"},
        "format",
        "'png', 'jpeg', 'webp', 'npy' or 'exr'",
    ),
    "depth as jpeg": ({"camera": LOOK_AT, "output": "depth", "format": "jpeg"}, "format", "colormap"),
    "quality of png": ({"camera": LOOK_AT, "quality": 50}, "quality", "jpeg and webp"),
    "quality 0": (
        {"camera": LOOK_AT, "format": "jpeg", "quality": 0},
        "quality",
        "greater than or equal to 1",
    ),
    "colour by name": ({"camera": LOOK_AT, "background": "red"}, "background", "hex colour"),
    "colour of two": ({"camera": LOOK_AT, "background": [0, 1]}, "background", "three numbers in [0, 1]"),
    "colour of bytes": (
        {"camera": LOOK_AT, "background": [255, 0, 0]},
        "background",
        "three numbers in [0, 1]",
    ),
    "body is a list": ([1], "body", "dictionary"),
}


@pytest.mark.parametrize("case", WRONG_BODIES)
def test_wrong_body_names_the_field(client, case):
    body, field, message = WRONG_BODIES[case]
    details = problem(client.post(RENDER, json=body), 422)
    assert [item["field"] for item in details["errors"]] == [field]
    assert message in details["errors"][0]["message"]
    assert message in details["detail"]


def test_several_wrong_fields_are_all_named(client):
    body = {"camera": {**LOOK_AT, "fov_y_degrees": 190}, "width": 0, "output": "x"}
    details = problem(client.post(RENDER, json=body), 422)
    assert [item["field"] for item in details["errors"]] == ["camera.fov_y_degrees", "width", "output"]


OVERGROWN = {
    "many unknown fields": {"camera": LOOK_AT} | {f"k{number}": 0 for number in range(1500)},
    "some unknown fields": {"camera": LOOK_AT} | {f"k{number}" * 100: 0 for number in range(8)},
    "unknown fields of a camera": {"camera": LOOK_AT | {f"k{number}": 0 for number in range(1500)}},
    "a long name": {"camera": LOOK_AT, "n" * 15_000: 0},
    "a long value": {"camera": LOOK_AT, "output": "v" * 15_000},
    "a long vector": {"camera": {"look_at": {"eye": ["x"] * 3000, "target": [0, 0, 0]}}},
    "a long pose": {"camera": {**POSE, "camera_to_world": [["x"] * 400] * 4}},
    "many rows": {"camera": {**POSE, "camera_to_world": [["x"]] * 2000}},
}


@pytest.mark.parametrize("case", OVERGROWN)
def test_an_answer_does_not_grow_with_its_request(client, case):
    response = client.post(RENDER, json=OVERGROWN[case])
    details = problem(response, 422)
    assert len(response.content) < 6_000
    assert 1 <= len(details["errors"]) <= 16


def test_an_answer_does_not_grow_with_its_link(client):
    link = f"{RENDER}.png?eye=3,0,0&target=0,0,0"
    for query in ("".join(f"&k{number}=0" for number in range(1000)), "&" + "n" * 8000 + "=1"):
        response = client.get(link + query)
        problem(response, 422)
        assert len(response.content) < 4_000
    assert len(client.get("/v1/scenes/" + "n" * 8000).content) < 4_000


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    ("template", "field"),
    [
        ('{"camera": {"look_at": {"eye": [0, @, 0], "target": [0, 0, 0]}}}', "camera.look_at.eye.1"),
        (
            '{"camera": {"look_at": {"eye": [1, 0, 0], "target": [0, 0, 0], "up": [0, 0, @]}}}',
            "camera.look_at.up.2",
        ),
        (
            '{"camera": {"camera_to_world": [[1,0,0,0],[0,1,0,0],[0,0,@,0]], "convention": "opencv", '
            '"fov_y_degrees": 50}}',
            "camera.camera_to_world.2.2",
        ),
        (
            '{"camera": {"camera_to_world": [[1,0,0,0],[0,1,0,0],[0,0,1,0]], "convention": "opencv", '
            '"intrinsics": {"fl_x": 9, "fl_y": 9, "cx": @, "cy": 1}}}',
            "camera.intrinsics.cx",
        ),
        (
            '{"camera": {"orbit": {"azimuth": @, "elevation": 0, "radius": 1, "target": [0,0,0]}}}',
            "camera.orbit.azimuth",
        ),
        (
            '{"camera": {"look_at": {"eye": [1,0,0], "target": [0,0,0]}, "fov_y_degrees": @}}',
            "camera.fov_y_degrees",
        ),
        ('{"camera": {"look_at": {"eye": [1,0,0], "target": [0,0,0]}}, "width": @}', "width"),
        (
            '{"camera": {"look_at": {"eye": [1,0,0], "target": [0,0,0]}}, "background": [0, @, 0]}',
            "background",
        ),
    ],
)
def test_numbers_that_are_not_finite_never_pass(client, template, field, token):
    response = client.post(RENDER, content=template.replace("@", token), headers=JSON)
    details = problem(response, 422)
    assert [item["field"] for item in details["errors"]] == [field]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"camera":', b"\xff\xfe{", b"[" * 10_000, b'{"width": ' + b"1" * 5_000 + b"}"],
    ids=["empty", "brace", "half", "not utf-8", "nested", "long integer"],
)
def test_what_is_not_json_is_a_bad_request(client, content):
    details = problem(client.post(RENDER, content=content, headers=JSON), 422 if content == b"" else 400)
    assert content != b"" or details["errors"] == [{"field": "body", "message": "Field required"}]


def test_undeclared_json_is_an_unsupported_media_type(client):
    response = client.post(RENDER, content=b'{"a": 1}', headers={"content-type": "text/plain"})
    assert "text/plain, expected application/json" in problem(response, 415)["detail"]


def test_large_bodies_are_refused_with_and_without_a_declared_length(client):
    def chunks():
        for _ in range(30):
            yield b" " * 1000

    for content in (b" " * 30_000, chunks()):
        details = problem(client.post(RENDER, content=content, headers=JSON), 413)
        assert "limit of 20000 bytes" in details["detail"]


def test_the_body_limit_is_exact(client):
    body = b'{"camera": {"look_at": {"eye": [3, 0, 0], "target": [0, 0, 0]}}, "width": 2, "height": 2}'
    assert client.post(RENDER, content=body.ljust(20_000), headers=JSON).status_code == 200
    problem(client.post(RENDER, content=body.ljust(20_001), headers=JSON), 413)


def test_unknown_scene_lists_the_known(client):
    for response in (
        client.get("/v1/scenes/lego"),
        client.post("/v1/scenes/lego/render", json={"camera": LOOK_AT}),
        client.get("/v1/scenes/lego/render.png?eye=1,0,0&target=0,0,0"),
    ):
        details = problem(response, 404)
        assert details["type"].endswith("scene-not-found")
        assert details["detail"] == "got scene 'lego', known: sphere"


def test_unknown_path_and_wrong_method(client):
    problem(client.get("/v2/scenes"), 404)
    for method, path in (("DELETE", "/v1/scenes"), ("GET", RENDER), ("POST", "/readyz"), ("PUT", "/docs")):
        problem(client.request(method, path), 405)
    assert client.get(RENDER).headers["allow"] == "POST"
    assert client.options("/v1/videos/0").headers["allow"] == "DELETE, GET, HEAD"


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("target=0,0,0", "eye", "required"),
        ("eye=1,2&target=0,0,0", "eye", "three numbers as x,y,z"),
        ("eye=1,2,x&target=0,0,0", "eye", "three numbers as x,y,z"),
        ("eye=1,2,nan&target=0,0,0", "eye", "finite"),
        ("eye=1,2,3&target=1,2,3", "target", "coincides"),
        ("eye=0,0,3&target=0,0,0", "up", "parallel"),
        ("eye=0,0,3&target=0,0,0&up=0,0,0", "up", "zero"),
        ("eye=3,0,0&target=0,0,0&fov=inf", "fov", "finite"),
        ("eye=3,0,0&target=0,0,0&fov=180", "fov", "less than 180"),
        ("eye=3,0,0&target=0,0,0&width=0", "width", "greater than or equal to 1"),
        ("eye=3,0,0&target=0,0,0&width=100000&height=100000", "width", "the limit is 1000"),
        ("eye=3,0,0&target=0,0,0&zoom=2", "zoom", "not permitted"),
        ("eye=3,0,0&target=0,0,0&background=red", "background", "hex colour"),
        ("eye=3,0,0&target=0,0,0&quality=5", "quality", "jpeg and webp"),
        ("eye=3,0,0&target=0,0,0&output=normals", "output", "'rgb', 'depth', 'opacity' or 'normal'"),
    ],
)
def test_wrong_link_names_the_parameter(client, query, field, message):
    details = problem(client.get(f"{RENDER}.png?{query}"), 422)
    assert [item["field"] for item in details["errors"]] == [field]
    assert message in details["errors"][0]["message"]


def test_link_with_an_unknown_extension_says_the_known(client):
    details = problem(client.get(f"{RENDER}.gif?eye=1,0,0&target=0,0,0"), 422)
    assert details["errors"][0]["field"] == "extension"
    assert "'png', 'jpg', 'jpeg', 'webp', 'npy' or 'exr'" in details["detail"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["look_at", "eye", "target", "orbit", "radius"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON_VALUES, st.sampled_from(sorted(EXAMPLES)), st.sampled_from(sorted(RenderRequest.model_fields)))
@settings(deadline=None, max_examples=150)
def test_any_json_is_refused_or_gives_finite_rays(value, example, field):
    try:
        request = RenderRequest.model_validate({**EXAMPLES[example], field: value})
    except ValidationError:
        return
    if request.width * request.height < 10**6:
        camera = request.camera.to_camera(request.width, request.height, (0.0, 0.0, 1.0))
        origins, directions = camera.rays().arrays()
        assert np.isfinite(origins).all()
        np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, atol=1e-5)
