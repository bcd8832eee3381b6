"""Start a Triton server on a model repository, wait until it is ready, stop it."""

import contextlib
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from neurocity.errors import ConfigError, EngineError
from neurocity.object_store import require_folder
from serving.tritonserver.backend_processes import kill_stubs
from serving.tritonserver.direct import open_direct
from serving.tritonserver.installation import find_installation

EXIT_TIMEOUT_SECONDS = 10
POLL_SECONDS = 0.1
SHARED_MEMORY = Path("/dev/shm")
LOAD_FAILURE = re.compile(r"failed to load '(?P<model>[^']+)' version (?P<version>\d+): (?P<reason>.*)")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """What a server is started with. A port of 0 means a free one."""

    repository: Path = Path("model_repository")
    """Model repository: folders <model>/config.pbtxt and <model>/<version>/."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces."""

    grpc_port: int = 8001
    """Port of the gRPC endpoint, which the gateway's triton engine speaks to."""

    http_port: int = 8003
    """Port of the HTTP endpoint; not Triton's usual 8000, where the gateway listens."""

    metrics_port: int = 8002
    """Port of the Prometheus metrics."""

    device: Literal["cpu", "cuda"] = "cpu"
    """cpu hides the GPUs from the server; cuda lets models without a fixed kind run on them."""

    model_control: Literal["none", "explicit"] = "none"
    """explicit loads all models at first, and then loads, reloads and unloads those it is asked to
    (POST /v2/repository/models/NAME/load), and reloads a model whose backend process has died; none keeps
    what it loaded, and ends when a backend process has died."""

    ready_timeout_seconds: float = 120.0
    """How long all models together may take to load."""


@dataclass
class Server:
    """A started `tritonserver` process and its endpoints (`HOST:PORT`)."""

    process: subprocess.Popen[str]
    grpc_url: str
    http_url: str
    metrics_url: str
    log_reader: threading.Thread
    load_failures: list[str] = field(default_factory=list)
    """Why models failed to load, read from the log."""

    def wait_ready(self, timeout_seconds: float) -> None:
        """Return when all models are loaded.

        Raises EngineError when the server exits, with the reasons, or is not ready in time.
        """
        deadline, url = time.monotonic() + timeout_seconds, f"http://{self.http_url}/v2/health/ready"
        while self.process.poll() is None:
            with contextlib.suppress(OSError), open_direct(url, timeout=5):
                return
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the Triton server is not ready after {timeout_seconds:g} s; its log says more"
                )
            time.sleep(POLL_SECONDS)
        self._end_log()
        reasons = "\n".join(self.load_failures) or "its log says why"
        raise EngineError(f"the Triton server exited with code {self.process.returncode}:\n{reasons}")

    def stop(self) -> int:
        """Let the server end its requests and exit, insist after a while; returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(EXIT_TIMEOUT_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
        code = self.process.wait()
        self._end_log()
        return code

    def _end_log(self) -> None:
        """Read the rest of a dead server's log, whose pipe its stubs would hold."""
        kill_stubs(self.process.pid)
        self.log_reader.join()


@contextlib.contextmanager
def running_server(options: ServerOptions, log: Callable[[str], object]) -> Iterator[Server]:
    """A server that is ready for requests; it is stopped, and its files are removed, on leaving.

    log: called with every line of the server's log, from a thread of its own.

    Raises MissingDependencyError (no server installed), ConfigError (no repository, a port is taken) and
    EngineError (a model does not load, not ready in time).
    """
    _check_repository(options.repository)
    installation = find_installation()
    ports = _free_ports(options)
    with tempfile.TemporaryDirectory(prefix="neurocity-triton-") as folder:
        command = [
            str(installation.binary),
            f"--backend-directory={installation.assemble_backends(Path(folder) / 'backends')}",
            *_arguments(options, ports, shared_memory_prefix=Path(folder).name),
        ]
        environment = installation.environment()
        if options.device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        # The working folder is on the stubs' sys.path: an empty one, so that nothing there is imported. A
        # session of its own, so that Ctrl-C reaches the launcher alone, which then stops the server in order.
        work = Path(folder) / "work"
        work.mkdir()
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=work,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        server = _watch(process, {name: f"{options.host}:{port}" for name, port in ports.items()}, log)
        try:
            server.wait_ready(options.ready_timeout_seconds)
            yield server
        finally:
            server.stop()
            for leftover in SHARED_MEMORY.glob(f"{Path(folder).name}*"):
                leftover.unlink(missing_ok=True)


def _arguments(options: ServerOptions, ports: dict[str, int], *, shared_memory_prefix: str) -> list[str]:
    arguments = [
        f"--model-repository={options.repository.resolve()}",
        "--disable-auto-complete-config",
        f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
        f"--allow-gpu-metrics={'true' if options.device == 'cuda' else 'false'}",
        # Python-based backends take the python backend's prefix; it lets a killed server be cleaned up after.
        f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix}",
        # One model after the other: where several of these backends begin at once, the server now and then
        # aborts or waits for ever (https://github.com/triton-inference-server/server/issues/8882).
        "--model-load-thread-count=1",
    ]
    if options.model_control == "explicit":
        arguments += ["--model-control-mode=explicit", "--load-model=*"]
    for endpoint, port in ports.items():
        arguments += [f"--{endpoint}-address={options.host}", f"--{endpoint}-port={port}"]
    return arguments


def _watch(process: subprocess.Popen[str], urls: dict[str, str], log: Callable[[str], object]) -> Server:
    """The server of `process`, with a thread that reads its log to the end."""
    failures: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if failure := LOAD_FAILURE.search(line):
                    failures.append("{model} version {version}: {reason}".format_map(failure.groupdict()))
                log(line.rstrip("\n"))

    reader = threading.Thread(target=read, name="triton-log", daemon=True)
    reader.start()
    return Server(process, urls["grpc"], urls["http"], urls["metrics"], reader, failures)


def _check_repository(repository: Path) -> None:
    require_folder(repository, "repository")
    if not repository.is_dir():
        raise ConfigError(f"repository: {repository} is not a folder; neurocity-export writes one")
    if not any(repository.glob("*/config.pbtxt")):
        raise ConfigError(
            f"repository: no <model>/config.pbtxt in {repository}; neurocity-export writes them"
        )


def _free_ports(options: ServerOptions) -> dict[str, int]:
    """Endpoint -> port. Raises ConfigError for one that is taken, which Triton would only log."""
    ports = {}
    with contextlib.ExitStack() as held:
        for endpoint in ("grpc", "http", "metrics"):
            wanted = getattr(options, f"{endpoint}_port")
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host, wanted))
            except OSError as error:
                raise ConfigError(
                    f"{endpoint}_port: cannot listen on {options.host}:{wanted} ({error.strerror}); "
                    "give another, or 0 for a free one"
                ) from None
            ports[endpoint] = probe.getsockname()[1]
    return ports
