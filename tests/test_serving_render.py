"""Pixels over HTTP against the analytic scene: geometry, colours, encodings and headers."""

import io
import json

import analytic_scene
import httpx
import numpy as np
import pytest
from gateway_server import running_gateway
from PIL import Image

from neurocity.cameras import Camera
from neurocity.poses import look_at, opengl_to_opencv
from serving.app import create_app
from serving.settings import Settings

WIDTH, HEIGHT, FOV_Y = 24, 16, 45.0
RENDER = "/v1/scenes/sphere/render"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    repository = analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "onnx")
    analytic_scene.write_repository(repository, "onnx", scene="cones", cones=True)
    with running_gateway(create_app(Settings(repository=repository))) as client:
        yield client


def look_at_body(**changes) -> dict:
    place = {"eye": analytic_scene.EYE, "target": analytic_scene.TARGET}
    camera = {"look_at": place, "fov_y_degrees": FOV_Y}
    return {"camera": camera, "width": WIDTH, "height": HEIGHT, **changes}


def expected(camera: Camera | None = None, background=analytic_scene.BACKGROUND):
    """Oracle image [H, W, 3] in [0, 1], depth [H, W], opacity [H, W]."""
    camera = camera or analytic_scene.camera(WIDTH, HEIGHT, FOV_Y)
    rgb, depth, opacity = analytic_scene.render(*camera.rays().arrays())
    image = rgb + (1 - opacity[:, None]) * np.array(background)
    size = camera.height, camera.width
    return image.reshape(*size, 3), depth.reshape(size), opacity.reshape(size)


def post(client: httpx.Client, body: dict) -> httpx.Response:
    response = client.post(RENDER, json=body)
    assert response.status_code == 200, response.text
    return response


def pixels(response: httpx.Response) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(response.content)))


def assert_within_one_count(image: np.ndarray, reference: np.ndarray) -> None:
    assert image.dtype == np.uint8
    assert image.shape == reference.shape
    assert np.abs(image / 255 - reference).max() <= 1 / 255


def test_png_is_the_analytic_image(client):
    response = post(client, look_at_body())
    image, _, opacity = expected()
    assert 20 < (opacity > 0).sum() < 300
    assert_within_one_count(pixels(response), image)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-scene-version"] == "1"
    assert float(response.headers["x-render-ms"]) > 0
    assert response.headers["server-timing"].startswith("render;dur=")


def test_usual_requests_do_not_wait_for_fastapi_and_are_the_same(client, monkeypatch):
    """With parameters, or a Content-Type that is written otherwise, FastAPI reads them."""
    whole = client.post(RENDER, json=look_at_body(), headers={"X-Request-Timeout": "20"})
    charset = {"Content-Type": "application/json; charset=utf-8"}
    written = client.post(RENDER, content=json.dumps(look_at_body()), headers=charset)

    async def unused(**_):
        raise AssertionError("FastAPI looks for parameters")

    monkeypatch.setattr("fastapi.routing.solve_dependencies", unused)
    quick = post(client, look_at_body())
    assert whole.content == written.content == quick.content
    assert whole.headers["etag"] == written.headers["etag"] == quick.headers["etag"]
    assert client.post(f"{RENDER}?version=1", json=look_at_body()).status_code == 500


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b'{"camera": ', 400, "not valid JSON"),
        (b"[" * 5000, 400, "parsing the body"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (b"[1]", 422, "body: Input should be"),
        (b'{"camera": 1}', 422, "camera: expected an object"),
        (b'{"width": NaN}', 422, "camera: Field required"),
    ],
)
def test_what_is_wrong_is_told_by_fastapi(client, content, status, word):
    answer = client.post(RENDER, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert word in answer.json()["detail"]


def test_the_oracle_tells_flipped_and_transposed_images_apart():
    image, _, _ = expected(analytic_scene.camera(16, 16))
    for wrong in (image[::-1], image[:, ::-1], image.transpose(1, 0, 2), image[..., ::-1], image[::-1, ::-1]):
        assert np.abs(wrong - image).max() > 0.1


def test_every_camera_form_gives_the_same_pixels(client):
    reference = pixels(post(client, look_at_body()))
    camera = analytic_scene.camera(WIDTH, HEIGHT, FOV_Y)
    intrinsics = {"fl_x": camera.fl_x, "fl_y": camera.fl_y, "cx": camera.cx, "cy": camera.cy}
    opengl, opencv = camera.camera_to_world, opengl_to_opencv(camera.camera_to_world)
    offset = np.subtract(analytic_scene.EYE, analytic_scene.TARGET)
    radius = float(np.linalg.norm(offset))
    orbit = {
        "azimuth": float(np.degrees(np.arctan2(offset[1], offset[0]))),
        "elevation": float(np.degrees(np.arcsin(offset[2] / radius))),
        "radius": radius,
        "target": analytic_scene.TARGET,
    }
    forms = [
        {"camera_to_world": opengl.tolist(), "convention": "opengl", "intrinsics": intrinsics},
        {"camera_to_world": opencv.tolist(), "convention": "opencv", "intrinsics": intrinsics},
        {"camera_to_world": opengl[:3].tolist(), "convention": "opengl", "fov_y_degrees": FOV_Y},
        {"orbit": orbit, "fov_y_degrees": FOV_Y},
    ]
    for form in forms:
        image = pixels(post(client, look_at_body(camera=form)))
        assert np.abs(image.astype(int) - reference).max() <= 1, form


def test_the_wrong_convention_gives_another_image(client):
    pose = analytic_scene.camera().camera_to_world.tolist()
    images = [
        pixels(
            post(
                client,
                look_at_body(camera={"camera_to_world": pose, "convention": name, "fov_y_degrees": FOV_Y}),
            )
        )
        for name in ("opengl", "opencv")
    ]
    assert np.abs(images[0].astype(int) - images[1]).max() > 20


def test_up_turns_the_image(client):
    body = look_at_body(width=16)
    upright = pixels(post(client, body))
    body["camera"]["look_at"]["up"] = (0, 0, -1)
    turned = pixels(post(client, body))
    assert np.abs(turned[::-1, ::-1].astype(int) - upright).max() <= 1


def test_off_centre_principal_point_and_non_square_pixels(client):
    pose = look_at(analytic_scene.EYE, analytic_scene.TARGET, analytic_scene.UP)
    camera = Camera(camera_to_world=pose, width=20, height=30, fl_x=25.0, fl_y=40.0, cx=7.0, cy=18.0)
    form = {
        "camera_to_world": pose.tolist(),
        "convention": "opengl",
        "intrinsics": {"fl_x": 25, "fl_y": 40, "cx": 7, "cy": 18},
    }
    response = post(client, look_at_body(camera=form, width=20, height=30))
    assert_within_one_count(pixels(response), expected(camera)[0])


@pytest.mark.parametrize(
    ("background", "colour"),
    [
        ("scene", analytic_scene.BACKGROUND),
        ("#ff8000", (1.0, 128 / 255, 0.0)),
        ("00ff00", (0.0, 1.0, 0.0)),
        ([0.25, 0, 1], (0.25, 0.0, 1.0)),
    ],
)
def test_background(client, background, colour):
    response = post(client, look_at_body(background=background))
    assert_within_one_count(pixels(response), expected(background=colour)[0])


def test_npy_holds_float32(client):
    image, depth, opacity = expected()
    for output, reference in (("rgb", image), ("depth", depth), ("opacity", opacity)):
        response = post(client, look_at_body(output=output, format="npy"))
        assert response.headers["content-type"] == "application/x-npy"
        values = np.load(io.BytesIO(response.content))
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, reference, atol=2e-5)


def test_depth_png_declares_kind_and_scale(client):
    response = post(client, look_at_body(output="depth"))
    picture = Image.open(io.BytesIO(response.content))
    counts = np.array(picture)
    assert counts.dtype == np.uint16
    assert counts.max() == 65535
    scale = float(response.headers["x-depth-scale"])
    assert response.headers["x-depth-kind"] == "distance"
    assert response.headers["x-depth-invalid"] == "0"
    assert picture.text["X-Depth-Scale"] == response.headers["x-depth-scale"]
    assert picture.text["X-Depth-Kind"] == "distance"
    _, depth, opacity = expected()
    np.testing.assert_allclose(counts * scale, depth, atol=0.51 * scale + 2e-5)
    assert ((counts > 0) == (opacity > 0)).all()


def test_depth_of_an_empty_view_is_all_invalid(client):
    body = look_at_body(output="depth")
    body["camera"]["look_at"]["target"] = (6, -5, 3)
    response = post(client, body)
    assert not pixels(response).any()
    assert float(response.headers["x-depth-scale"]) > 0


def test_opacity_png_is_gray(client):
    image = pixels(post(client, look_at_body(output="opacity")))
    assert_within_one_count(image, expected()[2])


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_lossy_formats(client, encoding):
    size = {"width": 96, "height": 64}
    image, _, _ = expected(analytic_scene.camera(96, 64, FOV_Y))
    sizes = []
    for quality in (20, 95):
        response = post(client, look_at_body(format=encoding, quality=quality, **size))
        assert response.headers["content-type"] == f"image/{encoding}"
        assert Image.open(io.BytesIO(response.content)).format == encoding.upper()
        sizes.append(len(response.content))
    assert sizes[0] < sizes[1]
    assert np.abs(pixels(response) / 255 - image).mean() < 0.02


def test_link_gives_the_bytes_of_the_post(client):
    link = f"{RENDER}.png?eye=3,-2.5,2&target=0,0,0.4&fov=45&width={WIDTH}&height={HEIGHT}&background=ff8000"
    assert client.get(link).content == post(client, look_at_body(background="#ff8000")).content


@pytest.mark.parametrize(
    ("extension", "output", "media_type"),
    [
        ("png", "depth", "image/png"),
        ("jpg", "rgb", "image/jpeg"),
        ("jpeg", "opacity", "image/jpeg"),
        ("webp", "rgb", "image/webp"),
        ("npy", "depth", "application/x-npy"),
    ],
)
def test_link_extensions_and_outputs(client, extension, output, media_type):
    query = {"eye": "3,-2.5,2", "target": "0,0,0.4", "up": "0,1,0", "width": 8, "height": 6, "output": output}
    response = client.get(f"{RENDER}.{extension}", params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == media_type


def test_one_pixel(client):
    image = pixels(post(client, look_at_body(width=1, height=1)))
    assert_within_one_count(image, expected(analytic_scene.camera(1, 1, FOV_Y))[0])


def test_a_scene_that_takes_radii_gets_those_of_the_camera(client):
    camera = analytic_scene.camera(WIDTH, HEIGHT, FOV_Y)
    response = client.post("/v1/scenes/cones/render", json=look_at_body(output="opacity"))
    _, _, opacity = analytic_scene.render(*camera.rays(radii=True).arrays())
    assert_within_one_count(pixels(response), opacity.reshape(HEIGHT, WIDTH))
    assert np.abs(pixels(response) / 255.0 - expected()[2]).max() > 0.05


def test_a_link_to_coloured_depth(client):
    query = {"eye": "3,-2.5,2", "target": "0,0,0.4", "fov": "45", "width": WIDTH, "height": HEIGHT}
    colours = {"output": "depth", "colormap": "viridis", "near": "2", "far": "4"}
    response = client.get(f"{RENDER}.webp", params=query | colours)
    assert response.status_code == 200, response.text
    assert response.headers["x-depth-colormap"] == "viridis"
    assert (response.headers["x-depth-near"], response.headers["x-depth-far"]) == ("2.0", "4.0")
    body = look_at_body(output="depth", format="webp", colormap="viridis", near=2, far=4)
    assert post(client, body).content == response.content
    _, depth, opacity = expected()
    nearest = np.unravel_index(np.argmin(np.where(opacity > 0, depth, np.inf)), depth.shape)
    shown = pixels(post(client, body | {"format": "png"}))
    assert shown[nearest].sum() > shown[opacity > 0].sum(-1).mean(), "near is bright"


def test_normals_of_a_sphere(client):
    camera = analytic_scene.camera(96, 64, FOV_Y)
    rays = camera.rays()
    _, depth, opacity = analytic_scene.render(rays.origins, rays.directions)
    true = (rays.origins + depth[:, None] * rays.directions - analytic_scene.CENTER) / analytic_scene.RADIUS
    body = look_at_body(output="normal", format="npy", width=96, height=64)
    response = post(client, body)
    assert response.headers["x-normal-axes"] == "world"
    found = np.load(io.BytesIO(response.content))
    assert found.shape == (64, 96, 3)
    alike = (found.reshape(-1, 3) * true).sum(-1)[opacity > 0]
    assert np.degrees(np.arccos(np.quantile(alike, 0.5))) < 0.5
    assert not found.reshape(-1, 3)[opacity == 0].any()
    turned = post(client, body | {"axes": "camera"})
    assert turned.headers["x-normal-axes"] == "camera"
    in_camera = np.load(io.BytesIO(turned.content))
    np.testing.assert_allclose(in_camera, found @ camera.camera_to_world[:3, :3], atol=1e-5)
    picture = pixels(post(client, body | {"format": "png"}))
    assert np.abs(picture / 255 * 2 - 1 - found).max() < 1.01 / 255


def test_exr_of_every_output(client):
    openexr = pytest.importorskip("OpenEXR", reason="the extra exr is not installed")
    channels = {"rgb": "ABGR", "depth": "Z", "opacity": "A", "normal": ["N.X", "N.Y", "N.Z"]}
    for output, names in channels.items():
        response = post(client, look_at_body(output=output, format="exr"))
        assert response.headers["content-type"] == "image/x-exr"
        file = openexr.File(io.BytesIO(response.content), separate_channels=True)
        assert set(file.channels()) == set(names)
        if output == "depth":
            np.testing.assert_allclose(file.channels()["Z"].pixels, expected()[1], atol=2e-5)


def test_what_a_link_may_not_combine_is_named(client):
    query = "eye=3,0,0&target=0,0,0"
    for extension, changes, field in (
        ("jpg", "output=depth", "format"),
        ("png", "colormap=turbo", "colormap"),
        ("png", "output=depth&colormap=turbo&near=2&far=1", "far"),
        ("npy", "axes=world", "axes"),
        ("exr", "background=ffffff", "background"),
    ):
        answer = client.get(f"{RENDER}.{extension}?{query}&{changes}")
        assert answer.status_code == 422
        assert [item["field"] for item in answer.json()["errors"]] == [field]
