"""Schemathesis reads the API's description, asks what it allows and forbids, and judges the answers."""

import subprocess
import sys
from pathlib import Path

import analytic_scene
import pytest
from gateway_server import running_server

from serving.app import create_app
from serving.settings import Settings

CONFIGURATION = """
[parameters]
"path.scene" = "sphere"
"query.version" = 1

[checks]
# A picture that cannot be made in the time that the client gives, and work for which there is no room.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503, 504]

[[operations]]
include-path-regex = "/render"
# No schema can say that the eye is not on the target, or that width times height is within the limit.
checks.positive_data_acceptance.expected-statuses = ["2xx", "304", "422", "503", "504"]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    repository = analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "native")
    settings = Settings(repository=repository, max_pixels=640 * 480, drain_seconds=5)
    with running_server(create_app(settings), settings) as (_, client):
        yield client


def schemathesis(gateway, folder: Path, *options: str) -> str:
    """What it says of the gateway with these options; it must have found nothing."""
    file = folder / "schemathesis.toml"
    file.write_text(CONFIGURATION)
    program = Path(sys.executable).with_name("schemathesis")
    address = str(gateway.base_url.join("/openapi.json"))
    chosen = ["--checks=all", "--mode=all", "--seed=1", "--continue-on-failure", "--no-color", *options]
    done = subprocess.run(
        [program, f"--config-file={file}", "run", address, *chosen],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_few_requests_of_each_kind_are_answered_as_described(gateway, tmp_path):
    said = schemathesis(gateway, tmp_path, "--phases=examples,fuzzing", "--max-examples=10")
    operations = sum(len(methods) for methods in gateway.get("/openapi.json").json()["paths"].values())
    assert f"Tested: {operations}\n" in said


@pytest.mark.nightly
@pytest.mark.slow
def test_thousands_of_requests_are_answered_as_described(gateway, tmp_path):
    schemathesis(gateway, tmp_path, "--max-examples=100")
