"""The Dockerfile without Docker: the steps of its serve target run here, in folders of their own.

A container path such as /opt/neurocity stands for that path below a temporary folder. What cannot be had this
way is the base image: its Python is the one that runs the tests.
"""

import io
import json
import os
import re
import shlex
import shutil
import socket
import string
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
import voxel_scene
from dockerfile_parse import DockerfileParser
from PIL import Image

from neurocity.cameras import Camera, look_at

REPOSITORY = Path(__file__).parents[1]
DOCKERFILE = REPOSITORY / "Dockerfile"
ABSENT = ("torch", "pytorch_lightning", "trimesh", "onnx", "onnxruntime", "tensorboard")
"""What trains and exports."""

IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
import serving, tritonclient.grpc.aio
for module in pkgutil.walk_packages(serving.__path__, "serving."):
    # ONNX Runtime is an extra, which the image has not.
    if not module.name.endswith((".__main__", ".onnxruntime_engine")):
        importlib.import_module(module.name)
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])
"""


@dataclass
class Stage:
    """One stage of a build: its environment, working folder and the last of each other instruction."""

    environment: dict[str, str]
    folder: Path
    instructions: dict[str, str] = field(default_factory=dict)


class Build:
    """Runs the stages of the Dockerfile that a target needs, all below one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stages: dict[str, Stage] = {}
        self.recipes = read_stages()

    def inside(self, path: str) -> str:
        """A container path as a path on this machine; relative paths stay as they are."""
        return f"{self.root}{path}" if path.startswith("/") else path

    def stage(self, name: str) -> Stage:
        """The stage of that name, built if it is not yet."""
        if name not in self.stages:
            base, recipe = self.recipes[name]
            self.stages[name] = stage = self.start(base)
            for instruction, value in recipe:
                self.step(stage, instruction, value)
        return self.stages[name]

    def start(self, base: str) -> Stage:
        if base in self.recipes:
            parent = self.stage(base)
            return Stage(dict(parent.environment), parent.folder)
        assert re.fullmatch(r"python:3\.\d+(-slim)?", base), base
        kept = {
            name: value
            for name, value in os.environ.items()
            if name == "HOME" or name.startswith(("PIP_", "SSL_")) or name.lower().endswith("_proxy")
        }
        folders = (str(self.quick_compiler()), str(Path(sys.executable).parent), "/usr/bin", "/bin")
        return Stage({**kept, "PATH": ":".join(folders)}, self.root)

    def quick_compiler(self) -> Path:
        """A folder with a c++ that does not optimise: what counts here is what the image holds."""
        program = self.root / "compiler" / "c++"
        program.parent.mkdir(exist_ok=True)
        program.write_text('#!/bin/sh\nexec /usr/bin/c++ "$@" -O0\n')
        program.chmod(0o755)
        return program.parent

    def step(self, stage: Stage, instruction: str, value: str) -> None:
        if instruction == "WORKDIR":
            stage.folder = Path(self.inside(value))
            stage.folder.mkdir(parents=True, exist_ok=True)
        elif instruction == "ENV":
            for assignment in shlex.split(value):
                name, _, text = assignment.partition("=")
                expanded = string.Template(text).substitute(stage.environment)
                stage.environment[name] = expanded if "$" in text else self.inside(expanded)
        elif instruction == "RUN":
            subprocess.run(["sh", "-c", value], cwd=stage.folder, env=stage.environment, check=True)
        elif instruction == "COPY" and value == ". .":
            copy_context(stage.folder)
        elif instruction == "COPY":
            copied = re.fullmatch(r"--from=(\S+) (\S+) (\S+)", value)
            assert copied is not None, value
            self.stage(copied[1])
            # All stages share the root, so that what keeps its path is there already.
            assert copied[2] == copied[3]
            assert Path(string.Template(copied[2]).substitute(stage.environment)).exists()
        else:
            assert instruction in {"USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}, instruction
            stage.instructions[instruction] = value


def read_stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Stage -> what it is built from, and its instructions in order."""
    stages: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    parser = DockerfileParser(str(DOCKERFILE), env_replace=False)
    for line in parser.structure:
        instruction, value = line["instruction"], line["value"]
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            stages[name] = (base, [])
        elif instruction != "COMMENT":
            stages[name][1].append((instruction, value))
    return stages


def copy_context(target: Path) -> None:
    """`COPY . .`, with a .dockerignore that excludes everything and then names what is let in."""
    first, *rules = (REPOSITORY / ".dockerignore").read_text().split()
    assert first == "*"
    ignored = shutil.ignore_patterns(*[rule.removeprefix("**/") for rule in rules if rule[0] != "!"])
    for rule in rules:
        if rule[0] == "!":
            source = REPOSITORY / rule[1:]
            if source.is_dir():
                shutil.copytree(source, target / source.name, ignore=ignored)
            else:
                shutil.copy(source, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The serve target, built."""
    build = Build(tmp_path_factory.mktemp("image"))
    return build.stage("serve")


@pytest.fixture(scope="module")
def container(image):
    """A client of the entry point, which serves a scene from where the image expects it."""
    voxel_scene.write_repository(Path(image.environment["NEUROCITY_REPOSITORY"]))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        image.environment["NEUROCITY_PORT"] = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{image.environment['NEUROCITY_PORT']}"
    process = subprocess.Popen(
        command(image, "ENTRYPOINT"),
        cwd=image.folder,
        env=image.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("NeuroCity serves at http://0.0.0.0:")
        with httpx.Client(base_url=url, timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert health(image) != 0, "the health check does not notice that the server is gone"


def command(stage: Stage, instruction: str) -> list[str]:
    """The words of an ENTRYPOINT or HEALTHCHECK, with the program found as the container would."""
    words: list[str] = json.loads(stage.instructions[instruction].rpartition("CMD ")[2])
    program = shutil.which(words[0], path=stage.environment["PATH"])
    assert program is not None, words
    return [program, *words[1:]]


def health(stage: Stage) -> int:
    return subprocess.run(
        command(stage, "HEALTHCHECK"), env=stage.environment, stderr=subprocess.DEVNULL, check=False
    ).returncode


@pytest.mark.slow
def test_the_serve_image_has_all_of_the_gateway_and_nothing_that_trains(image):
    python = shutil.which("python", path=image.environment["PATH"])
    assert python == f"{image.environment['VIRTUAL_ENV']}/bin/python"
    result = subprocess.run(
        [python, "-c", IMPORT_ALL, *ABSENT],
        env=image.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


@pytest.mark.slow
def test_the_serve_image_renders_over_http(container):
    """By the kernels that were compiled when it was built."""
    scene = container.get(f"/v1/scenes/{voxel_scene.SCENE}").json()
    assert scene["engine"] == "native"
    link = f"/v1/scenes/{voxel_scene.SCENE}/render.png?eye=3,-2.5,2&target=0,0,0&fov=45&width=24&height=16"
    response = container.get(link)
    assert response.status_code == 200, response.text
    pixels = np.array(Image.open(io.BytesIO(response.content)))
    camera = Camera.from_fov_y(look_at((3, -2.5, 2), (0, 0, 0), (0, 0, 1)), 24, 16, 45.0)
    assert np.abs(pixels / 255 - voxel_scene.picture(camera)).max() <= 1 / 255


@pytest.mark.slow
@pytest.mark.usefixtures("container")
def test_the_health_check_passes_while_it_serves(image):
    deadline = time.monotonic() + 30
    while health(image) != 0:
        assert time.monotonic() < deadline


def test_images_run_without_root_and_say_where_they_listen():
    stages = read_stages()
    for name in ("serve", "train"):
        instructions = dict(stages[name][1])
        assert int(instructions["USER"].split(":")[0]) > 0
    assert dict(stages["serve"][1])["EXPOSE"] == "8000"
    assert "NEUROCITY_PORT=8000" in dict(stages["serve"][1])["ENV"]
    assert list(stages)[-1] == "serve", "a plain docker build makes the gateway"


def test_the_serve_image_installs_the_extras_of_the_gateway_alone():
    installs = [value for instruction, value in read_stages()["serve-build"][1] if instruction == "RUN"]
    assert [re.findall(r"'\.\[(.*)\]'", step) for step in installs] == [["triton"]]


def test_hadolint_finds_nothing(tmp_path):
    def complaints(file: Path) -> str:
        program = Path(sys.executable).with_name("hadolint")
        return subprocess.run([program, file], capture_output=True, text=True, check=False).stdout

    assert complaints(DOCKERFILE) == ""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.read_text().replace("--no-cache-dir ", ""))
    assert "DL3042" in complaints(tmp_path / "Dockerfile")
