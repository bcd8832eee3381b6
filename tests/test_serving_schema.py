"""The API's description accepts what the gateway accepts, as far as a schema can say it."""

import itertools
import re
import sys
from typing import Any

import analytic_scene
import pytest
from fastapi import FastAPI
from gateway_server import running_gateway
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neurocity.pictures.options import PictureOptionsError
from serving.app import create_app
from serving.http.camera_forms import MAX_COORDINATE, PoseCamera
from serving.http.query import VECTOR, RenderQuery
from serving.http.schemas import RenderRequest
from serving.settings import Settings

jsonschema = pytest.importorskip("jsonschema_rs", reason="the judge of schemas comes with schemathesis")

CAMERA = {"look_at": {"eye": [3, -3, 2], "target": [0, 0, 0]}}
ABSENT = object()
CHOICES: dict[str, list[Any]] = {
    "output": [ABSENT, "rgb", "depth", "opacity", "normal"],
    "format": [ABSENT, "png", "jpeg", "webp", "npy", "exr"],
    "background": [ABSENT, "scene", "#ffcc00"],
    "quality": [ABSENT, None, 50],
    "colormap": [ABSENT, None, "turbo"],
    "near": [ABSENT, None, 1],
    "far": [ABSENT, 2.5],
    "axes": [ABSENT, None, "camera"],
}
MATRIX = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
INTRINSICS = {"fl_x": 300, "fl_y": 300, "cx": 160, "cy": 120}


def accepted(body: dict[str, Any]) -> bool:
    try:
        RenderRequest.model_validate(body).to_options()
    except PictureOptionsError:
        return False
    return True


def test_options_that_the_schema_accepts_are_those_that_can_be_met():
    schema = jsonschema.validator_for(RenderRequest.model_json_schema())
    counts = [0, 0]
    for values in itertools.product(*CHOICES.values()):
        chosen = {name: value for name, value in zip(CHOICES, values, strict=True) if value is not ABSENT}
        body = {"camera": CAMERA, **chosen}
        valid = schema.is_valid(body)
        assert valid == accepted(body), body
        counts[valid] += 1
    assert min(counts) > 100


@pytest.mark.parametrize("width", [640.0, 640, 0, 0.5, "640", True, None])
def test_whole_numbers(width):
    body = {"camera": CAMERA, "width": width}
    try:
        accepted = RenderRequest.model_validate(body).width == 640
    except ValueError:
        accepted = False
    assert jsonschema.validator_for(RenderRequest.model_json_schema()).is_valid(body) == accepted


@pytest.mark.parametrize("intrinsics", [ABSENT, None, INTRINSICS])
@pytest.mark.parametrize("fov", [ABSENT, None, 45])
def test_a_pose_has_one_lens(intrinsics, fov):
    chosen = {"intrinsics": intrinsics, "fov_y_degrees": fov}
    camera = {"camera_to_world": MATRIX, "convention": "opengl"}
    camera |= {name: value for name, value in chosen.items() if value is not ABSENT}
    try:
        PoseCamera.model_validate(camera)
        accepted = True
    except ValueError:
        accepted = False
    assert jsonschema.validator_for(PoseCamera.model_json_schema()).is_valid(camera) == accepted
    assert accepted == ((intrinsics is INTRINSICS) != (fov == 45))


@given(st.from_regex(re.compile(VECTOR, re.ASCII), fullmatch=True))
@settings(deadline=None, max_examples=60)
@example("3,-3,2")
@example(" 1e-7 ,1E+08, .5")
@example("999999999.9999,0,-0.")
def test_places_that_match_are_numbers_within_bounds(text):
    query = RenderQuery.model_validate({"eye": text, "target": "0,0,0"})
    assert query.eye == tuple(float(item) for item in text.split(","))
    assert all(abs(value) < MAX_COORDINATE for value in query.eye)
    RenderQuery.model_validate({"eye": "1,0,0", "target": text, "up": text}).to_request("png")


@pytest.mark.parametrize(
    "text", ["", "1,2", "1,2,3,4", "nan,0,0", "inf,0,0", "1e9,0,0", "1_0,0,0", "1,2,3\n", "٣,0,0", "0x1,0,0"]
)
def test_other_places_are_refused(text):
    with pytest.raises(ValueError, match="three numbers as x,y,z"):
        RenderQuery.model_validate({"eye": text, "target": "0,0,0"})


@given(st.floats(-MAX_COORDINATE / 10, MAX_COORDINATE / 10))
@settings(deadline=None, max_examples=300)
def test_places_as_programs_write_them_are_taken(value):
    for text in (repr(value), f"{value:g}", f"{value:.3f}"):
        query = RenderQuery.model_validate({"eye": f"{text},0,0", "target": "0,0,0"})
        assert query.eye[0] == float(text)


def parameters(description: dict[str, Any]) -> dict[str, Any]:
    """The schemas of a link's parameters, by name."""
    link = description["paths"]["/v1/scenes/{scene}/render.{extension}"]["get"]
    return {item["name"]: item["schema"] for item in link["parameters"]}


def test_no_parameter_of_a_link_may_be_null():
    for name, schema in parameters(create_app(Settings()).openapi()).items():
        assert not jsonschema.validator_for(schema).is_valid(None), name


def test_sides_are_those_of_the_settings():
    description = create_app(Settings(max_side=1234)).openapi()
    body = description["components"]["schemas"]["RenderRequest"]["properties"]
    for schemas in (parameters(description), body):
        assert [schemas[side]["maximum"] for side in ("width", "height")] == [1234, 1234]


@pytest.fixture
def app(tmp_path) -> FastAPI:
    return create_app(Settings(repository=analytic_scene.write_repository(tmp_path, "onnx")))


def test_without_the_extra_there_is_no_exr(app, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)  # as if it were not installed
    description = app.openapi()
    assert "exr" not in parameters(description)["extension"]["enum"]
    assert "exr" not in description["components"]["schemas"]["RenderRequest"]["properties"]["format"]["enum"]
    with running_gateway(app) as client:
        assert "exr" not in client.get("/v1/scenes/sphere").json()["formats"]
        answer = client.get("/v1/scenes/sphere/render.exr?eye=3,0,0&target=0,0,0")
        assert answer.status_code == 422
        assert [item["field"] for item in answer.json()["errors"]] == ["format"]
        assert "neurocity[exr]" in answer.json()["detail"]
