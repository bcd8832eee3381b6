"""A real Triton server that dies or loses a process, with its launcher and with a gateway in front of it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import analytic_scene
import httpx
import pytest
import triton_server
from asking_clients import AskingClients
from gateway_server import running_gateway
from waiting import PATIENCE, wait_for

from deploy.ports import free_ports
from serving.app import create_app
from serving.settings import Settings
from serving.tritonserver.backend_processes import stubs_of
from serving.tritonserver.server import SHARED_MEMORY

RELOADED = "model 'sphere_onnx' is reloaded\n"
SLOW_LOOPS = 300_000
"""Makes one call of the scene take some tenths of a second, so that the server is at work when it dies."""


class Launcher:
    """`python -m serving.tritonserver` as a process that is ready, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        for line in process.stderr:
            self.said += line
            if line.startswith("ready: gRPC on "):
                break
        self.ports = re.findall(r"127\.0\.0\.1:(\d+)", line)
        self.folder = re.search(r"neurocity-triton-\w+(?=/backends/)", self.said)[0]
        children = Path(f"/proc/{process.pid}/task").glob("*/children")
        (self.server_pid,) = [int(child) for file in children for child in file.read_text().split()]
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.said += line

    def ended(self) -> int:
        """The exit code, when it has ended; all that it said is read."""
        code = self.process.wait(PATIENCE)
        self._reader.join()
        return code

    def check_nothing_is_left(self) -> None:
        """No backend process, no shared memory, no folder."""
        assert stubs_of(self.server_pid) == {}
        assert [*SHARED_MEMORY.glob(f"{self.folder}*")] == []
        assert not Path(tempfile.gettempdir(), self.folder).exists()


@contextlib.contextmanager
def launched(repository: Path, *options: str, ports=("0", "0", "0")):
    """A launcher that is ready; it is ended, if it has not ended by itself."""
    places = [f"--{name}-port={port}" for name, port in zip(("grpc", "http", "metrics"), ports, strict=True)]
    command = [sys.executable, "-m", "serving.tritonserver", "--repository", str(repository)]
    with subprocess.Popen([*command, *places, *options], stderr=subprocess.PIPE, text=True) as process:
        launcher = Launcher(process)
        try:
            yield launcher
        finally:
            process.terminate()
            launcher.ended()


def ask(client: httpx.Client, number: int) -> httpx.Response:
    place = f"eye=3,-2.5,{number * 1e-3}&target=0,0,0"
    return client.get(f"/v1/scenes/sphere/render.npy?{place}&width=8&height=8")


def asking(client: httpx.Client) -> AskingClients:
    return AskingClients(client.base_url, ask, count=3, pause=0.1)


def check(clients: AskingClients) -> None:
    """Every answer is a picture, or says when to try again, long before a render's time is over."""
    for answer in clients.answers:
        if answer.status != 200:
            assert answer.status == 503, answer
            assert answer.response.json()["type"].endswith((":engine-unavailable", ":overloaded")), answer
            assert int(answer.response.headers["retry-after"]) >= 1
            assert answer.seconds < Settings().render_timeout_seconds / 2


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    triton_server.require_triton()
    folder = tmp_path_factory.mktemp("models")
    analytic_scene.write_repository(folder, "onnx", idle_loops=SLOW_LOOPS)
    triton_server.write_configs(folder)
    return folder


def gateway_of(launcher: Launcher):
    settings = Settings(engine="triton", triton_url=f"127.0.0.1:{launcher.ports[0]}")
    return running_gateway(create_app(settings))


@pytest.mark.slow
def test_a_server_killed_at_work_ends_its_launcher_and_another_takes_its_place(repository):
    ports = [str(port) for port in free_ports(3)]
    with contextlib.ExitStack() as gateway, launched(repository, ports=ports) as first:
        client = gateway.enter_context(gateway_of(first))
        clients = gateway.enter_context(asking(client))
        clients.wait_for(200)
        os.kill(first.server_pid, signal.SIGKILL)
        clients.wait_for(503)
        assert first.ended() == 1
        assert "error: the Triton server ended by itself with code -9" in first.said
        first.check_nothing_is_left()
        assert client.get("/readyz").status_code == 503
        with launched(repository, ports=ports):
            clients.wait_for(200)
            gateway.close()
        check(clients)


@pytest.mark.slow
def test_a_model_whose_process_died_is_reloaded(repository):
    with launched(repository, "--model-control=explicit") as launcher, gateway_of(launcher) as client:
        with asking(client) as clients:
            clients.wait_for(200)
            for reloads in (1, 2):
                (stub,) = stubs_of(launcher.server_pid)
                os.kill(stub, signal.SIGKILL)
                clients.wait_for(503)
                clients.wait_for(200)
                # It is said a moment after the model answers again.
                wait_for(lambda reloads=reloads: launcher.said.count(RELOADED) == reloads)
        check(clients)
        assert launcher.said.count("a backend process of model 'sphere_onnx' died: the model is reload") == 2
        assert list(stubs_of(launcher.server_pid).values()) == ["sphere_onnx"]


@pytest.mark.slow
def test_a_model_that_was_unloaded_stays_so(repository):
    with launched(repository, "--model-control=explicit") as launcher:
        control = f"http://127.0.0.1:{launcher.ports[1]}/v2/repository/models/sphere_onnx"
        assert httpx.post(f"{control}/unload", timeout=PATIENCE).status_code == 200
        wait_for(lambda: not stubs_of(launcher.server_pid))
        time.sleep(2.5)  # two looks of the launcher
        assert stubs_of(launcher.server_pid) == {}
        assert httpx.post(f"{control}/load", timeout=PATIENCE).status_code == 200
        assert list(stubs_of(launcher.server_pid).values()) == ["sphere_onnx"]
        assert "died" not in launcher.said


@pytest.mark.slow
def test_without_control_of_models_the_launcher_ends(repository):
    with launched(repository) as launcher:
        (stub,) = stubs_of(launcher.server_pid)
        os.kill(stub, signal.SIGKILL)
        assert launcher.ended() == 1
        assert "error: a backend process of model 'sphere_onnx' died; with --model-control" in launcher.said
        launcher.check_nothing_is_left()
