"""What docs/serving.md shows is run, in its order, and its tables say what the code says."""

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import analytic_scene
import httpx
import numpy as np
import pytest
import triton_server
from gateway_server import send
from PIL import Image
from waiting import PATIENCE

from deploy.ports import free_port
from serving.app import create_app
from serving.engines.base import AUTO, ENGINES
from serving.errors import INTERNAL_ERROR, STATUSES
from serving.settings import Settings

DOCUMENT = (Path(__file__).parents[1] / "docs" / "serving.md").read_text()
BIN = Path(sys.executable).parent
READY = re.compile(r"NeuroCity serves at|^ready: gRPC", re.M)


def commands() -> list[list[str]]:
    """The words of each command, in order; one may go over several lines inside quotes."""
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.S | re.M)
    starts = r"(?m)^(?=curl |neurocity|python |NEUROCITY)"
    return [shlex.split(part) for block in blocks for part in re.split(starts, block) if part]


def rows(title: str, document: str = DOCUMENT) -> list[list[str]]:
    """The cells of the first table below a title, without its head and without backticks."""
    section = document.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture
def folder(tmp_path):
    """A folder with a model repository that has the scene of the document."""
    triton_server.require_triton()
    repository = tmp_path / "model_repository"
    analytic_scene.write_repository(repository, "onnx", "torchscript", scene="city")
    triton_server.write_configs(repository)
    return tmp_path


@contextmanager
def started(words: list[str], folder: Path):
    """A process that serves until the context ends; it must then exit with 0."""
    variables = dict(word.split("=") for word in words if re.match("[A-Z_]+=", word))
    arguments = words[len(variables) :]
    process = subprocess.Popen(
        [BIN / arguments[0], *arguments[1:]],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = ""
    try:
        while not READY.search(output):
            line = process.stdout.readline()
            assert line, f"{words} ended:\n{output}"
            output += line
        yield
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output


@pytest.mark.slow
def test_the_commands(folder):
    """Each gateway takes the place of the one before it, and renders the same pixels."""
    gateway, others = ExitStack(), ExitStack()
    ports = {"8000": str(free_port()), "8001": str(free_port())}
    address = f"http://127.0.0.1:{ports['8000']}"
    pictures = []
    with gateway, others, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        for shown in commands():
            words = [word.replace("127.0.0.1:8001", f"127.0.0.1:{ports['8001']}") for word in shown]
            if words[0] == "curl":
                response, file = send(client, words)
                assert response.status_code == 200, response.text
                if file:
                    check_file(file, response.content)
            elif words[0] == "python":
                free = ["--grpc-port", ports["8001"], "--http-port", "0", "--metrics-port", "0"]
                others.enter_context(started([*words, *free], folder))
            else:
                gateway.close()
                gateway.enter_context(started([*words, "--port", ports["8000"]], folder))
                link = "/v1/scenes/city/render.npy?eye=3,-3,2&target=0,0,0&width=20&height=10"
                pictures.append(np.load(io.BytesIO(client.get(link).content)))
    assert len(pictures) == 4
    for picture in pictures[1:]:
        np.testing.assert_allclose(picture, pictures[0], atol=1e-5)


def check_file(file: str, content: bytes) -> None:
    """What curl would write is what the file's name says, of the size that was asked for."""
    if file.endswith(".npy"):
        assert np.load(io.BytesIO(content)).shape == (300, 400)
    else:
        with Image.open(io.BytesIO(content)) as picture:
            assert (str(picture.format).lower(), picture.size) == (Path(file).suffix[1:], (400, 300))


def test_endpoints():
    paths = create_app(Settings()).openapi()["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert {row[0] for row in rows("What can be asked")} == described


def test_engines():
    assert {row[0]: row[2] for row in rows("Engines")} == {
        AUTO: "neurocity",
        **{name: entry.install for name, entry in ENGINES.items()},
    }


def test_settings():
    defaults = {
        "--" + name.replace("_", "-"): "none" if field.default is None else str(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert {row[0]: row[1] for row in rows("Settings")} == defaults


def test_errors():
    statuses = [*STATUSES.values(), INTERNAL_ERROR]
    assert {(int(row[0]), row[1]) for row in rows("Errors")} == {
        (status.code, status.slug) for status in statuses
    }


def test_rooms():
    rooms = [row[0] for row in rows("The way of a request")]
    folder = Path(__file__).parents[1] / "serving"
    assert [room for room in rooms if not (folder / room).exists()] == []
