"""Every command of docs/deploy.md is run, or taken apart by what it is for; its tables say what files say."""

import argparse
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from compose_services import FILE, VARIABLE, compose_file, image
from gateway_server import running_gateway, send
from test_dockerfile import read_stages
from test_helm_document import check_helm, check_kubectl
from test_readme import shown_commands
from test_serving_document import rows
from test_serving_faults import ScriptedEngine

from export import cli as exporter
from neurocity import cli as trainer
from serving.access.keys import ApiKeys
from serving.app import create_app
from serving.cli import read_settings, run_command
from serving.settings import Settings

REPOSITORY = Path(__file__).parents[1]
NAME = "docs/deploy.md"
TEXT = (REPOSITORY / NAME).read_text()
COMMANDS = [shlex.split(command, comments=True) for command in shown_commands(NAME)]
CODE_WITHOUT_FILES = 1
"""Of a command whose words are right, and whose files are not there; 2 is for words that are wrong."""


class Parser(argparse.ArgumentParser):
    """Fails the test that gives it a wrong word."""

    def error(self, message):
        pytest.fail(message)


def docker() -> Parser:
    """What the document uses of Docker's command line."""
    parser = Parser(prog="docker", allow_abbrev=False)
    kinds = parser.add_subparsers(dest="kind", required=True)
    build = kinds.add_parser("build", allow_abbrev=False)
    build.add_argument("--target", required=True)
    build.add_argument("--tag", required=True)
    build.add_argument("--build-arg", action="append", default=[])
    build.add_argument("context")
    run = kinds.add_parser("run", allow_abbrev=False)
    for flag in ("--rm", "--read-only"):
        run.add_argument(flag, action="store_true")
    for option in ("--gpus", "--user", "--publish", "--tmpfs"):
        run.add_argument(option)
    run.add_argument("--volume", action="append", default=[])
    run.add_argument("image")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    compose = kinds.add_parser("compose", allow_abbrev=False)
    compose.add_argument("--file", required=True)
    compose.add_argument("--profile", action="append", default=[])
    actions = compose.add_subparsers(dest="action", required=True)
    up = actions.add_parser("up", allow_abbrev=False)
    up.add_argument("--wait", action="store_true")
    actions.add_parser("down", allow_abbrev=False)
    return parser


def targets() -> dict[str, str]:
    """The images that the document builds, and the target of each."""
    built = [docker().parse_args(words[1:]) for words in COMMANDS if words[:2] == ["docker", "build"]]
    return {words.tag: words.target for words in built}


def check_docker(words, capsys):
    asked = docker().parse_args(words[1:])
    if asked.kind == "build":
        assert asked.context == "."
        assert image(asked.target).entry_point
    elif asked.kind == "compose":
        assert REPOSITORY / asked.file == FILE
        services = compose_file(FILE.read_text())["services"].values()
        assert set(asked.profile) <= {name for service in services for name in service.get("profiles", [])}
    else:
        (program,) = image(targets()[asked.image]).entry_point
        places = [volume.split(":")[1] for volume in asked.volume]
        for word in asked.arguments:
            if word.startswith("/"):
                assert word.startswith(tuple(places)), f"{word} is not mounted"
        check_program([program, *asked.arguments], capsys)


def check_program(words, capsys):
    """A command of this package is understood: it comes as far as to look for its files, or its storage."""
    name, *arguments = words
    if name == "neurocity-serve":
        assert read_settings(arguments).repository
        return
    main = {"neurocity": trainer.main, "neurocity-export": exporter.main}[name]
    assert main(arguments) == CODE_WITHOUT_FILES
    places = [word for word in arguments if is_source(word) or "://" in word]
    said = capsys.readouterr().err
    assert [place for place in places if place in said], said


def is_source(word):
    """Whether it is what a program begins with: a checkpoint, or photographs."""
    return word.endswith((".ckpt", "data/city"))


def check_serve(words, capsys):
    if words[1] != "key":
        return check_program(words, capsys)
    run_command(*words[1:])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[0] == words[2]
    return ApiKeys([line], "printed")


def check_curl(words, _capsys):
    with running_gateway(create_app(Settings(), ScriptedEngine())) as client:
        assert send(client, words)[0].status_code == 200


def check_pip(words, capsys):  # noqa: ARG001, as all checks
    """What it installs is pinned, and every extra is one of the project's."""
    assert words[:2] == ["pip", "install"]
    pinned = {
        line.partition("==")[0].lower() for line in (REPOSITORY / "constraints.txt").read_text().split()
    }
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for word in [word for word in words[2:] if not word.startswith("--") and word != "wheels"]:
        name, _, extras = word.rstrip("]").partition("[")
        assert name in pinned | {"neurocity"}
        assert set(filter(None, extras.split(","))) <= set(project["optional-dependencies"])


def check_make(words, capsys):  # noqa: ARG001
    assert subprocess.run(["make", "--dry-run", *words[1:]], cwd=REPOSITORY, check=False).returncode == 0


def check_module(words, capsys):  # noqa: ARG001
    assert words[1] == "-m"
    done = subprocess.run([sys.executable, *words[1:], "--help"], cwd=REPOSITORY, check=False)
    assert done.returncode == 0


CHECKS = {
    "curl": check_curl,
    "docker": check_docker,
    "helm": check_helm,
    "kubectl": check_kubectl,
    "make": check_make,
    "neurocity-export": check_program,
    "neurocity-serve": check_serve,
    "pip": check_pip,
    "python": check_module,
}


def parameter(words):
    """A command; slow where it imports PyTorch."""
    marks = [pytest.mark.slow] if any(map(is_source, words)) else []
    return pytest.param(words, id=" ".join(words[:4]), marks=marks)


@pytest.mark.parametrize("words", [parameter(words) for words in COMMANDS])
def test_command(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words[0] in CHECKS, "the document shows a command that no test runs"
    CHECKS[words[0]](words, capsys)


def test_a_wrong_command_is_found(capsys):
    for command in (
        "docker build --target server --tag neurocity-serve .",
        "docker run --volume ./runs:/runs neurocity-export-cuda /models/last.ckpt",
        "docker compose --file deploy/compose.yaml --profile gpus up",
        "docker compose --file compose.yaml up",
    ):
        with pytest.raises((AssertionError, KeyError)):
            check_docker(shlex.split(command), capsys)
    with pytest.raises(pytest.fail.Exception):
        check_docker(shlex.split("docker compose --file deploy/compose.yaml up --waits"), capsys)


def test_variables_of_the_compose_file():
    assert dict(VARIABLE.findall(FILE.read_text())) == {
        row[0]: row[1] for row in rows("One machine: compose", TEXT)
    }


def test_images():
    described = [name for row in rows("Images", TEXT) for name in row[0].split(", ")]
    runnable = {name for name, stage in read_stages().items() if "ENTRYPOINT" in stage}
    assert len(described) == len(set(described))
    assert set(described) == runnable - {"gateway"}  # what both gateways' images have in common
    for row in rows("Images", TEXT):
        if row[1] != "the same":
            programs = {image(name.strip()).entry_point[0] for name in row[0].split(",")}
            assert programs == set(row[1].split(", "))
    for argument in re.findall(r"--build-arg (\w+)=", TEXT):
        assert f"ARG {argument}=" in (REPOSITORY / "Dockerfile").read_text()


def test_the_last_table_names_tests_that_exist():
    files = re.findall(r"`(tests/\w+\.py)`", TEXT)
    assert len(files) >= 3
    assert [file for file in files if not (REPOSITORY / file).is_file()] == []


def test_links_lead_to_files_and_titles():
    for target, _, title in re.findall(r"\]\(([^)#]*)(#([^)]+))?\)", TEXT):
        file = REPOSITORY / "docs" / target if target else REPOSITORY / NAME
        assert file.is_file(), target
        titles = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
        assert not title or title in [text.lower().replace(" ", "-") for text in titles]
