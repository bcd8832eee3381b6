"""Every command that README.md and CONTRIBUTING.md show is run, in small.

`make demo` really builds and serves a city; what stands below it in the README is run on what it made.
"""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from films import frames_of
from gateway_server import send
from PIL import Image
from triton_server import triton_server
from waiting import PATIENCE

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md")

SMALLER = {
    "--max-minutes 12": "--max-minutes 0.02",
    "width=400&height=300": "width=40&height=30",
    '"width": 400, "height": 300': '"width": 40, "height": 30',
    "--triton-url 127.0.0.1:8001": "--triton-url TRITON",
}
"""What a command says -> what is run here."""

SMALL_DEMO = (
    "DEMO_CITY=--views 20 --width 32 --height 32 --sparse-points 200 --cutout",
    "DEMO_MINUTES=0.02",
    "DEMO_PORT=0",
)
"""The variables that `make help` tells of, at their smallest."""

SERVES = re.compile(r"NeuroCity serves at (http://\S+)/\n")


def shown_commands(document: str) -> Iterator[str]:
    """The commands of the document's `sh` blocks; one may go over several lines inside quotes."""
    for block in re.findall(r"^```sh\n(.*?)^```", (REPOSITORY / document).read_text(), re.S | re.M):
        command = ""
        for line in block.splitlines():
            command += line + "\n"
            try:
                words = shlex.split(command, comments=True)
            except ValueError:  # a quotation goes on
                continue
            if words:
                yield command.strip()
            command = ""
        assert not command, f"{document}: unfinished: {command}"


COMMANDS = [command for document in DOCUMENTS for command in shown_commands(document)]


def small_words(command: str) -> list[str]:
    """The command's words, made smaller."""
    for shown, smaller in SMALLER.items():
        command = command.replace(shown, smaller)
    return shlex.split(command, comments=True)


def run(words: list[str], folder: Path) -> str:
    """Run a command of this environment in a folder to its end; returns what it prints."""
    result = subprocess.run(
        [BIN / words[0], *words[1:]], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@contextmanager
def serving(words: list[str | Path], folder: Path) -> Iterator[httpx.Client]:
    """A client of the server that the command starts; it is stopped as by Ctrl-C."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        output = ""
        while (announced := SERVES.search(output)) is None:
            line = process.stdout.readline()
            assert line, f"ended without serving:\n{output}"
            output += line
        with httpx.Client(base_url=announced[1], timeout=120) as client:
            yield client
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE)


def make(*arguments: str) -> list[str | Path]:
    """`make` with this environment in place of the one that it would install."""
    installed = ("cpu", "cpu,dev", "cpu,triton-server")
    up_to_date = [f"--old-file=.venv/installed-{extras}" for extras in installed]
    return ["make", *up_to_date, f"bin={BIN}", *arguments]


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(demo_folder):
    """A client of what `make demo` serves."""
    with serving(make("demo", f"DEMO={demo_folder}", *SMALL_DEMO), REPOSITORY) as client:
        yield client


@pytest.fixture(scope="module")
def own_scene(demo, demo_folder, tmp_path_factory):
    """A folder with photographs, in which the README's training was run."""
    assert demo is not None
    folder = tmp_path_factory.mktemp("own")
    (folder / "photos").symlink_to(demo_folder / "city")
    (train,) = [command for command in COMMANDS if command.startswith("neurocity train")]
    assert run(small_words(train), folder).splitlines()[-1] == "runs/photos/checkpoints/last.ckpt"
    return folder


@pytest.fixture(scope="module")
def own_repository(own_scene, ngp_checkpoint):
    """The same folder after the README's export, for speed of a model smaller than a preset's."""
    shutil.copy(ngp_checkpoint, own_scene / "runs/photos/checkpoints/last.ckpt")
    (export,) = [command for command in COMMANDS if command.startswith("neurocity-export")]
    run(small_words(export), own_scene)
    return own_scene


def run_make(words, request):
    target, *variables = words[1:]
    if target == "demo":
        client = request.getfixturevalue("demo")
        assert [item["scene"] for item in client.get("/v1/scenes").json()["scenes"]] == ["city"]
        with Image.open(request.getfixturevalue("demo_folder") / "city.png") as picture:
            assert picture.size == (32, 32)
        return
    program = {
        "test": "pytest",
        "test-slow": "pytest",
        "check": "lint-imports",
        "docs-demo": "--formats web",
        "demo-city": "neurocity-export city",
        "triton": "serving.tritonserver",
    }[target]
    planned = subprocess.run(
        make("--dry-run", target, *variables), cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert program in planned.stdout


def run_activation(words, _request):
    assert words[1] == ".venv/bin/activate"
    assert "-m venv --clear .venv" in (REPOSITORY / "Makefile").read_text()


def run_neurocity(words, request):
    # Trained before, and with the checkpoint of the training, not the smaller one that is exported.
    folder = request.getfixturevalue("own_scene")
    if words[1] == "train":
        assert (folder / "runs/photos/checkpoints/last.ckpt").is_file()
        return
    printed = run(words, folder)
    if words[1] == "data":
        assert "frames     18 train" in printed
        with Image.open(folder / "photos.png") as sheet:
            assert sheet.mode == "RGB"
    elif words[1] == "evaluate":
        assert len(json.loads(printed)["views"]) > 0
    else:
        assert words[1] == "render"
        if "--camera-path" in words:
            assert len(frames_of(folder / "film.mp4")) == 20
            return
        assert (folder / "view.npy").is_file()
        with Image.open(folder / "view.png") as picture:
            assert picture.size == (32, 32)


def run_export(_words, request):
    folder = request.getfixturevalue("own_repository")
    assert (folder / "model_repository/photos_onnx/1/report.md").is_file()
    assert (folder / "model_repository/photos_native/1/model.safetensors").is_file()


def run_serve(words, request):
    folder = request.getfixturevalue("own_repository")
    program = [BIN / words[0], *words[1:], "--port", "0"]
    if "TRITON" in words:
        with triton_server(folder / "model_repository") as server:
            program[program.index("TRITON")] = server.grpc_url
            check_scenes(program, folder)
    else:
        check_scenes(program, folder)


def check_scenes(program, folder):
    with serving(program, folder) as client:
        assert [item["scene"] for item in client.get("/v1/scenes").json()["scenes"]] == ["photos"]


def run_curl(words, request):
    """What curl would do, sent to the demo's server."""
    response, file = send(request.getfixturevalue("demo"), words)
    assert response.status_code == 200, response.text
    if file:
        with Image.open(io.BytesIO(response.content)) as picture:
            assert picture.size == (40, 30)
            assert str(picture.format).lower() == Path(file).suffix[1:]


RUNNERS = {
    ".": run_activation,
    "curl": run_curl,
    "make": run_make,
    "neurocity": run_neurocity,
    "neurocity-export": run_export,
    "neurocity-serve": run_serve,
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[:3]))
def test_command(command, request):
    words = small_words(command)
    assert words[0] in RUNNERS, "a document shows a command that no test runs"
    RUNNERS[words[0]](words, request)


def test_the_readme_shows_the_whole_way():
    shown = " ".join(COMMANDS)
    for needed in (
        "make demo",
        "make test",
        "neurocity train",
        "neurocity-export",
        "neurocity-serve",
        "curl",
    ):
        assert needed in shown


def test_nothing_is_made_smaller_that_is_not_shown():
    text = (REPOSITORY / "README.md").read_text()
    assert [shown for shown in SMALLER if shown not in text] == []


def test_links_lead_to_files():
    targets = re.findall(r"\]\(([^)#]+)\)", (REPOSITORY / "README.md").read_text())
    assert "docs/conventions.md" in targets
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []


def test_extras_that_messages_and_documents_name_exist():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    files = [
        *(REPOSITORY / name for name in ("Makefile", "Dockerfile", *DOCUMENTS)),
        *(
            file
            for package in ("neurocity", "export", "serving")
            for file in (REPOSITORY / package).rglob("*.py")
        ),
    ]
    named = {
        extra.strip()
        for file in files
        for extras in re.findall(r"(?:neurocity|'\.)\[([a-z, -]+)\]", file.read_text())
        for extra in extras.split(",")
    }
    assert {"cpu", "gpu", "onnxruntime", "triton", "triton-server"} <= named
    assert named - set(project["optional-dependencies"]) == set()
