"""The command `neurocity-serve` as a process: start, render, stop; without PyTorch."""

import io
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import analytic_scene
import httpx
import numpy as np
import pytest
from PIL import Image
from waiting import PATIENCE, wait_for

from serving.cli import read_settings

COMMAND = [str(Path(sys.executable).with_name("neurocity-serve"))]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "onnx", "torchscript")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command run to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def kept_alive_seconds(url: str) -> float:
    """The sixth of 39 answers after the first of a connection, by their time.

    A client acknowledges after 40 ms, and by chance before. A busy machine is quick now and then.
    """
    seconds = []
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        for _ in range(40):
            began = time.perf_counter()
            client.get("/livez").raise_for_status()
            seconds.append(time.perf_counter() - began)
    return sorted(seconds[1:])[5]


@pytest.mark.parametrize(
    ("engine", "stop"),
    [("onnxruntime", signal.SIGTERM), ("torch", signal.SIGINT)],
    ids=["onnxruntime", "torch"],
)
def test_it_serves_until_it_is_told_to_stop(repository, engine, stop):
    arguments = ["--repository", str(repository), "--engine", engine, "--port", "0", "--threads", "1"]
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            announced = re.fullmatch(
                r"NeuroCity serves at (http://127.0.0.1:\d+/)\n", process.stdout.readline()
            )
            assert announced is not None
            url = announced[1]
            assert httpx.get(f"{url}readyz", timeout=PATIENCE).json()["status"] == "ready"
            wait_for(lambda: kept_alive_seconds(url) < 0.03)  # on a busy machine not the first time
            link = f"{url}v1/scenes/sphere/render.png?eye=3,-2.5,2&target=0,0,0.4&fov=45&width=24&height=16"
            image = np.array(Image.open(io.BytesIO(httpx.get(link, timeout=PATIENCE).content)))
        finally:
            process.send_signal(stop)
            _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert "path='/v1/scenes/sphere/render.png' status=200" in log
    rgb, _, opacity = analytic_scene.render(*analytic_scene.camera().rays().arrays())
    expected = (rgb + (1 - opacity[:, None]) * np.array(analytic_scene.BACKGROUND)).reshape(16, 24, 3)
    assert np.abs(image / 255 - expected).max() <= 1 / 255


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repository", "nowhere"], "model repository nowhere is not a folder"),
        (["--engine", "triton"], "triton"),
    ],
)
def test_what_cannot_be_served_ends_with_one_line(arguments, message):
    result = run(*arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("neurocity-serve: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert result.stdout == ""


FAULTS = """
import resource, sys
import numpy as np
from serving.cli import keep_freed_memory
if sys.argv[1:]:
    keep_freed_memory()
for index in range(60):
    array = np.ones(600_000 + 6_000 * index)  # larger than all before, which the C library maps anew
    if index == 9:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del array
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_of_pictures_is_used_again():
    def faults(*arguments: str) -> int:
        command = [sys.executable, "-c", FAULTS, *arguments]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert 4 * faults("keep") < faults()


def test_a_taken_port_is_an_error(repository):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = run("--repository", str(repository), "--port", str(port))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "Address already in use" in result.stderr
    assert str(port) in result.stderr


def test_arguments_win_over_the_environment_and_that_over_defaults(monkeypatch):
    assert read_settings([]).max_pixels == 4_194_304
    monkeypatch.setenv("NEUROCITY_MAX_PIXELS", "100")
    monkeypatch.setenv("NEUROCITY_REPOSITORY", "from_environment")
    settings = read_settings(["--repository", "from_arguments", "--engine", "torch"])
    assert settings.max_pixels == 100
    assert settings.repository == "from_arguments"
    assert settings.engine == "torch"


@pytest.mark.parametrize(
    "arguments", [["--port", "99999"], ["--max-pixels", "0"], ["--engine", "magic"], ["--cross-origin", "no"]]
)
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        read_settings(arguments)
    assert stopped.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_a_wrong_environment_is_refused(monkeypatch):
    monkeypatch.setenv("NEUROCITY_MAX_PIXELS", "many")
    with pytest.raises(SystemExit, match="environment: max_pixels: Input should be a valid integer"):
        read_settings([])


def test_an_empty_host_is_no_address(monkeypatch):
    monkeypatch.setenv("NEUROCITY_HOST", "")
    with pytest.raises(SystemExit, match="environment: host: String should have at least 1 character"):
        read_settings([])


def test_keys_and_links_are_made_by_the_command(tmp_path):
    made = run("key", "ada", "--scenes", "lego")
    assert made.returncode == 0
    assert re.fullmatch(r"ada [0-9a-f]{64} lego\n", made.stdout)
    secrets = tmp_path / "signing"
    secrets.write_text("web " + "s" * 40 + " *\n")
    link = "http://host/v1/scenes/lego/render.png?eye=1,1,1&target=0,0,0"
    signed = run("sign", link, "--signing-key-file", str(secrets))
    assert signed.returncode == 0
    assert signed.stdout.startswith(f"{link}&expires=")
    wrong = run("sign", link, "--signing-key-file", str(secrets), "--key-id", "none")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "neurocity-serve sign: signing key: got 'none', known: web" in wrong.stderr


RENDER_WITHOUT_TORCH = """
import asyncio, sys
import httpx
from serving.app import create_app
from serving.settings import Settings

async def main():
    app = create_app(Settings(repository=sys.argv[1], engine=sys.argv[2]))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            response = await client.get(
                "/v1/scenes/sphere/render.png?eye=3,0,0&target=0,0,0&width=8&height=8"
            )
            assert response.status_code == 200, response.text

asyncio.run(main())
forbidden = ("torch", "pytorch_lightning", "lightning", "export", "neurocity.data", "neurocity.rendering",
             "neurocity.training", "neurocity.checkpoint", "neurocity.families")
print(sorted(name for name in forbidden if name in sys.modules))
"""


@pytest.mark.parametrize(("engine", "imported"), [("onnxruntime", "[]"), ("torch", "['torch']")])
def test_a_rendering_gateway_has_imported_no_torch(repository, engine, imported):
    """The torch engine shows that the check can fail."""
    result = subprocess.run(
        [sys.executable, "-c", RENDER_WITHOUT_TORCH, str(repository), engine],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == imported
