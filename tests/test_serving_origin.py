"""A georeferenced scene over HTTP: requests and answers speak world coordinates."""

import analytic_scene
import numpy as np
import pytest
from analytic_scene import EYE, TARGET, UP
from gateway_server import running_gateway
from georeferenced import OFFSET

from neurocity.poses import look_at, opengl_to_opencv, orbit
from serving.app import create_app
from serving.settings import Settings

SIZE = {"width": 24, "height": 16}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The analytic scene twice: where it is, and at a place in the world."""
    repository = analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "onnx", "native")
    analytic_scene.write_repository(repository, "onnx", "native", scene="survey", origin=tuple(OFFSET))
    with running_gateway(create_app(Settings(repository=repository))) as client:
        yield client


def place(point) -> list[float]:
    return (np.array(point) + OFFSET).tolist()


def pose_camera(matrix, convention) -> dict:
    intrinsics = {"fl_x": 20.0, "fl_y": 22.0, "cx": 11.0, "cy": 9.0}
    return {"camera_to_world": matrix.tolist(), "convention": convention, "intrinsics": intrinsics}


def cameras(offset) -> list[dict]:
    """A camera in each form, at a place in the world."""
    eye, target = np.array(EYE) + offset, np.array(TARGET) + offset
    pose = look_at(EYE, TARGET, UP)
    pose[:3, 3] += offset
    return [
        {"look_at": {"eye": eye.tolist(), "target": target.tolist()}, "fov_y_degrees": 45},
        {"orbit": {"azimuth": 30, "elevation": 25, "radius": 4, "target": target.tolist()}},
        pose_camera(pose, "opengl"),
        pose_camera(opengl_to_opencv(pose), "opencv"),
    ]


@pytest.mark.parametrize("form", range(4))
@pytest.mark.parametrize("output", ["rgb", "depth"])
def test_a_request_at_its_place_gives_the_bytes_of_the_scene_where_it_is(client, form, output):
    answers = [
        client.post(f"/v1/scenes/{scene}/render", json={"camera": camera, "output": output, **SIZE})
        for scene, camera in (("sphere", cameras(0.0)[form]), ("survey", cameras(OFFSET)[form]))
    ]
    assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
    assert answers[0].content == answers[1].content
    assert len(set(answers[0].content)) > 20, "there is something in the picture"


def test_a_link_at_its_place_gives_the_bytes_of_the_scene_where_it_is(client):
    query = {"fov": 45, **SIZE}
    here = client.get(
        "/v1/scenes/sphere/render.npy", params={"eye": "3,-2.5,2", "target": "0,0,0.5", **query}
    )
    there = {"eye": "500003,5399997.5,2", "target": "500000,5400000,0.5", **query}
    assert client.get("/v1/scenes/survey/render.npy", params=there).content == here.content


def test_a_scene_is_described_in_world_coordinates(client):
    here, there = (client.get(f"/v1/scenes/{scene}").json() for scene in ("sphere", "survey"))
    assert (here["origin"], there["origin"]) == ([0.0, 0.0, 0.0], OFFSET.tolist())
    assert there["bounds"] == [*place(here["bounds"][:3]), *place(here["bounds"][3:])]
    assert there["up"] == here["up"]
    (view,), (before,) = there["views"], here["views"]
    pose, expected = np.array(view.pop("camera_to_world")), np.array(before.pop("camera_to_world"))
    assert view == before
    np.testing.assert_array_equal(pose[:3, 3], expected[:3, 3] + OFFSET)
    np.testing.assert_array_equal(pose[:3, :3], expected[:3, :3])


def test_a_described_view_can_be_asked_for(client):
    view = client.get("/v1/scenes/survey").json()["views"][0]
    intrinsics = {name: view[name] for name in ("fl_x", "fl_y", "cx", "cy")}
    camera = {"convention": "opengl", "camera_to_world": view["camera_to_world"], "intrinsics": intrinsics}
    body = {"camera": camera, "width": view["width"], "height": view["height"]}
    assert client.post("/v1/scenes/survey/render", json=body).status_code == 200


@pytest.mark.parametrize(
    ("camera", "field"),
    [
        ({"look_at": {"eye": EYE, "target": TARGET}}, "camera.look_at.eye"),
        ({"orbit": {"azimuth": 0, "elevation": 20, "radius": 4, "target": TARGET}}, "camera"),
        (pose_camera(orbit(30.0, 20.0, 4.0), "opengl"), "camera"),
        ({"look_at": {"eye": [500_000.0, 15_400_000.0, 0.0], "target": place(TARGET)}}, "camera.look_at.eye"),
    ],
)
def test_a_camera_in_other_coordinates_is_an_error_that_says_where_the_scene_is(client, camera, field):
    answer = client.post("/v1/scenes/survey/render", json={"camera": camera, **SIZE})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    for expected in (
        "world coordinates",
        "(499999.000, 5399998.500, -1.000, 500001.500, 5400001.000, 2.000)",
    ):
        assert expected in answer.json()["detail"]


def test_a_link_in_other_coordinates_names_its_parameter(client):
    answer = client.get("/v1/scenes/survey/render.png", params={"eye": "3,-2.5,2", "target": "0,0,0", **SIZE})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "eye"
