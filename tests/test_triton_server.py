"""The launcher of `serving.tritonserver` with the real server: starts, refuses, stops, leaves nothing."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import analytic_scene
import pytest
import triton_server
from waiting import PATIENCE

from neurocity.errors import ConfigError, EngineError, MissingDependencyError
from serving.tritonserver import installation
from serving.tritonserver.server import SHARED_MEMORY, ServerOptions, running_server

FREE_PORTS = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]


@pytest.fixture
def repository(tmp_path):
    triton_server.require_triton()
    analytic_scene.write_repository(tmp_path, "onnx")
    triton_server.write_configs(tmp_path)
    return tmp_path


def shared_memory_of(folder: str) -> list[Path]:
    """What a server that was started with that temporary folder has in shared memory."""
    return list(SHARED_MEMORY.glob(f"{folder}*"))


def start(options: ServerOptions):
    with running_server(options, log=print):
        pytest.fail("the server must not become ready")


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT)])
def test_the_command_serves_until_it_is_told_to_end_and_leaves_nothing(repository, signals):
    launcher = subprocess.Popen(
        [sys.executable, "-m", "serving.tritonserver", "--repository", repository, *FREE_PORTS],
        env=os.environ | {"http_proxy": "http://127.0.0.1:1", "no_proxy": ""},  # of no concern here
        stderr=subprocess.PIPE,
        text=True,
    )
    log = ""
    for line in launcher.stderr:
        log += line
        if line.startswith("ready: gRPC on 127.0.0.1:"):
            break
    assert "successfully loaded 'sphere_onnx'" in log
    port = int(line.split(",")[0].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        pass
    for number in signals:
        launcher.send_signal(number)
        time.sleep(0.1)
    _, rest = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0
    assert "All models are stopped" in rest
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    folder = Path(re.search(r"\S*/neurocity-triton-\w+(?=/backends/)", log)[0])
    assert not folder.exists()
    assert not shared_memory_of(folder.name)


def test_a_killed_server_ends_the_command_with_an_error_and_leaves_nothing(repository):
    with running_server(triton_server.on_free_ports(repository), log=print) as server:
        folder = re.search(r"/(neurocity-triton-\w+)/backends", " ".join(server.process.args))[1]
        assert shared_memory_of(folder)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(PATIENCE)
        with pytest.raises(EngineError, match="exited with code -9"):
            server.wait_ready(1.0)
    assert not shared_memory_of(folder)


def test_a_model_that_does_not_load_is_named_with_the_reason(repository):
    artefact = repository / "sphere_onnx" / "1" / "model.onnx"
    artefact.write_bytes(b"not a graph")
    with pytest.raises(EngineError, match=r"(?s)exited with code 1.*sphere_onnx version 1: .*model\.onnx"):
        start(triton_server.on_free_ports(repository))


def test_the_warm_up_is_asked_before_the_model_is_ready(repository):
    (repository / "sphere_onnx" / "warmup" / "1-ray_origins").write_bytes(b"short")
    with pytest.raises(EngineError, match=r"sphere_onnx version 1: .*warmup"):
        start(triton_server.on_free_ports(repository))


def test_an_artefact_without_a_configured_output_does_not_load(repository):
    config = repository / "sphere_onnx" / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "depth"', 'name: "range"', 1))
    with pytest.raises(EngineError, match="outputs range, the artefact has rgb, depth, opacity"):
        start(triton_server.on_free_ports(repository))


def test_a_taken_port_is_refused_before_the_server_starts(repository):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = replace(triton_server.on_free_ports(repository), grpc_port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match=f"grpc_port: cannot listen on 127.0.0.1:{options.grpc_port}"):
            start(options)


def test_a_folder_without_models_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.pbtxt in"):
        start(ServerOptions(repository=tmp_path))
    with pytest.raises(ConfigError, match="is not a folder"):
        start(ServerOptions(repository=tmp_path / "absent"))


def test_not_ready_in_time_is_an_error(repository):
    started = time.monotonic()
    options = replace(triton_server.on_free_ports(repository), ready_timeout_seconds=0.0)
    with pytest.raises(EngineError, match="not ready after 0 s"):
        start(options)
    assert time.monotonic() - started < PATIENCE  # and not as long as it may take to start


def test_without_the_wheel_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'neurocity\[triton-server\]'"):
        installation.find_installation()


def test_an_unsupported_python_is_named(monkeypatch):
    triton_server.require_triton()
    monkeypatch.setattr(installation.sys, "version_info", SimpleNamespace(major=3, minor=99))
    with pytest.raises(MissingDependencyError, match=r"no python backend for Python 3\.99, it has: 3\.10"):
        installation.find_installation()


def test_the_wheel_is_not_written_to(repository):
    wheel = installation.find_installation().python_backend
    before = sorted(wheel.rglob("*.so")), sorted(path.name for path in wheel.iterdir())
    target = installation.find_installation().assemble_backends(repository / "backends")
    assert (target / "onnxruntime" / "model.py").is_file()
    assert (target / "python" / "neurocity" / "triton_names.py").is_file()
    assert os.access(target / "python" / "triton_python_backend_stub", os.X_OK)
    assert before == (sorted(wheel.rglob("*.so")), sorted(path.name for path in wheel.iterdir()))
