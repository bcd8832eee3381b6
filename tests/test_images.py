"""The images of the Dockerfile, built and run. What needs no image is in test_dockerfile.py."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import voxel_scene
from nginx_server import PREFIX, nginx
from PIL import Image as Picture
from steady_load import steady_load
from waiting import PATIENCE, wait_for

from benchmarks import images
from deploy.containers import BASE, Container, Image, Process, Store, bytes_of, missing
from deploy.ports import free_port
from neurocity.cameras import Camera
from neurocity.poses import look_at

pytestmark = [
    pytest.mark.container,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

MOST_BYTES = 250 * 10**6
"""Of what the gateway's image has over its base."""

CAMERA = Camera.from_fov_y(look_at((3, -2.5, 2), (0, 0, 0), (0, 0, 1)), 240, 160, 45.0)
LINK = f"/v1/scenes/{voxel_scene.SCENE}/render.png?eye=3,-2.5,2&target=0,0,0&fov=45&width=240&height=160"

ABSENT = ("torch", "pytorch_lightning", "onnx", "onnxruntime", "pip", "setuptools", "ziglang")
"""What trains, exports or builds."""
FIND = "import importlib.util, sys; print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])"


@pytest.fixture(scope="session")
def store(made_once) -> Store:
    """One store of images for all processes, which has those that others are made from.

    It goes with the run, unless NEUROCITY_IMAGES names a folder that keeps it: what has not changed is not
    built anew then.
    """
    kept = os.environ.get("NEUROCITY_IMAGES")

    def place(folder: Path) -> Path:
        return Path(kept).resolve() if kept else folder

    return Store(place(made_once("images", lambda folder: Store(place(folder)).make_bases())))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model repository that every user may read."""
    folder = tmp_path_factory.mktemp("repository") / "models"
    voxel_scene.write_repository(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture(scope="module")
def serve(store) -> Image:
    """The gateway's image."""
    return store.build("serve")


@pytest.fixture(scope="module")
def container(serve) -> Iterator[Container]:
    """Its files."""
    with serve.mounted() as mounted:
        yield mounted


@contextmanager
def running(container: Container, models) -> Iterator[tuple[Process, httpx.Client]]:
    """The entry point, which serves the models, and a client of it."""
    with container.gateway(models) as (process, port):
        process.until_it_listens()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            yield process, client


def inside(container: Container, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that was run in the container."""
    return subprocess.run(
        container.words(*command),
        env=container.environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_gateway_is_small_and_has_nothing_that_builds_or_trains(store, container):
    with store.image(f"localhost/{BASE}").mounted() as base:
        over_base = bytes_of(container.root) - bytes_of(base.root)
    assert 0 < over_base <= MOST_BYTES
    found = inside(container, "python", "-c", FIND, *ABSENT, "serving")
    assert found.stdout.split() == ["serving"], found.stderr
    programs = ":".join(f"{container.root}{folder}" for folder in ("/opt/neurocity/bin", "/usr/bin"))
    assert not [name for name in ("pip", "c++", "cc") if shutil.which(name, path=programs)]


@pytest.mark.nightly
def test_sizes_and_starts_are_measured(store, serve, models, monkeypatch, capsys):
    options = ["--scene", voxel_scene.SCENE, "--targets", "serve", "--starts", "1"]
    monkeypatch.setattr(sys, "argv", ["images", str(models), *options, "--store", str(store.folder)])
    images.main()
    output = capsys.readouterr().out
    (size,) = re.findall(r"^\| `serve` \| \d+ \| \d+ \| (\d+) \| \d+ \|$", output, re.M)
    assert 20 < int(size) <= MOST_BYTES / 1e6
    starts = re.findall(r"^\| (on the disk|in memory) \| ([\d.]+) .*\| ([\d.]+) .*\| ([\d.]+) ", output, re.M)
    assert [label for label, *_ in starts] == ["on the disk", "in memory"]
    assert all(0 < float(ready) < float(picture) and float(used) > 0 for _, ready, used, picture in starts)
    assert images.compared(serve, serve).endswith(" paths of serve, built twice: 0 differ")


def test_the_gateway_lists_what_is_in_it(container):
    parts = json.loads((container.root / "opt/neurocity/sbom.cdx.json").read_text())["components"]
    assert {"neurocity", "numpy", "uvicorn"} <= {part["name"].lower() for part in parts}
    assert all(part["version"] for part in parts)


def test_the_gateway_serves_as_a_user_without_rights_on_a_root_that_cannot_be_written(container, models):
    refused = inside(container, "python", "-c", "open('/models/x', 'w')")
    assert "Read-only file system" in refused.stderr
    with running(container, models) as (process, client):
        assert client.get("/readyz").status_code == 200
        scene = client.get(f"/v1/scenes/{voxel_scene.SCENE}").json()
        assert scene["engine"] == "native"
        response = client.get(LINK)
        assert response.status_code == 200, response.text
        pixels = np.array(Picture.open(io.BytesIO(response.content)))
        assert np.abs(pixels / 255 - voxel_scene.picture(CAMERA)).max() <= 1 / 255

        port = str(client.base_url.port)
        assert inside(container, *container.image.health_command(), NEUROCITY_PORT=port).returncode == 0
        assert process.stop(30) == 0
        gone = inside(container, *container.image.health_command(), NEUROCITY_PORT=port)
        assert gone.returncode == 1
        assert f"http://127.0.0.1:{port}/livez" in gone.stderr


def test_a_gateway_that_is_stopped_under_load_answers_what_it_accepted(container, models):
    answers: list[int | str] = []
    with running(container, models) as (process, client):

        def ask(number: int) -> None:
            # A picture of its own each, so that none is kept.
            with httpx.Client(base_url=client.base_url, timeout=PATIENCE) as own:
                refused = False
                for turn in range(10_000):
                    try:
                        answer = own.get(f"{LINK}&background={number:02x}{turn:04x}")
                    except httpx.TransportError as error:
                        # After the end nobody listens, and the system closes connections that nobody has
                        # taken: new ones, since a refusal closes its own. Any other cut is a loss.
                        unheard = refused or isinstance(error, httpx.ConnectError)
                        answers.append("refused" if unheard else repr(error))
                        return
                    refused = answer.status_code == 503
                    answers.append(answer.status_code)

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in clients:
            thread.start()
        wait_for(lambda: answers.count(200) > 4)
        assert process.stop(40) == 0
        for thread in clients:
            thread.join()
    assert set(answers) <= {200, 503, "refused"}


def test_no_request_is_lost_while_containers_are_replaced_one_by_one(container, models, tmp_path):
    """Behind nginx as it ships; the next one ends when the new one is ready."""
    behind = {"NEUROCITY_ROOT_PATH": PREFIX, "NEUROCITY_TRUSTED_PROXIES": "127.0.0.1"}
    # However slow the machine: one gateway alone has room for all clients.
    behind["NEUROCITY_QUEUE_SECONDS"] = "60"
    with ExitStack() as ended:

        def start(port: int) -> Process:
            process, _ = ended.enter_context(container.gateway(models, port, **behind))
            process.until_it_listens()
            return process

        gateways = {port: start(port) for port in (free_port(), free_port())}
        with nginx(tmp_path, list(gateways)) as url, steady_load(url, voxel_scene.SCENE) as clients:
            for port, process in gateways.items():
                clients.wait_for(200, answers=20)
                assert process.stop(40) == 0
                clients.wait_for(200, answers=20)
                start(port)
                assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE).status_code == 200
            clients.wait_for(200, answers=20)


@pytest.mark.nightly
def test_a_city_is_trained_and_exported_in_images_and_served_from_one(store, container, tmp_path):
    """As `make demo` does, and small: every step in its image, on folders that it may write to."""
    tmp_path.chmod(0o777)
    folder = {"/runs": tmp_path}
    train, export = store.build("train"), store.build("export")
    size = ("--views", "20", "--width", "32", "--height", "32", "--cutout", "--street-share", "0")
    steps = ("--max-steps", "20", "--preset", "cpu", "--seed", "0")
    with train.mounted() as training, export.mounted() as exporting:
        for image, words in (
            (training, ("demo-data", "city", *size)),
            (training, ("train", "svraster", "--data", "city", "--out", "run", *steps)),
            (
                exporting,
                ("run/checkpoints/last.ckpt", "--name", "city", "--out", "models", "--formats", "native"),
            ),
        ):
            done = subprocess.run(
                image.words(*image.entry_point(*words), writable=folder),
                env=image.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{words}:\n{done.stdout}\n{done.stderr}"
    with running(container, tmp_path / "models") as (_, client):
        scene = client.get("/v1/scenes/city").json()
        assert scene["parity"]["checks_passed"]
        assert client.get("/readyz").status_code == 200
