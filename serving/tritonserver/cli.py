"""`python -m serving.tritonserver`: run a Triton server in the foreground until it is told to stop."""

import contextlib
import signal
import subprocess
import sys

import tyro

from neurocity.errors import EngineError, NeuroCityError
from serving.tritonserver.backend_processes import StubWatch
from serving.tritonserver.server import Server, ServerOptions, running_server

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 1.0
"""Between two looks at the backend processes."""


def main() -> None:
    """Entry point; exits with 0 after SIGTERM, SIGHUP and Ctrl-C, else with 1 and the reason on stderr."""
    options = tyro.cli(ServerOptions, prog="python -m serving.tritonserver", description=__doc__)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _stop)
    try:
        serve(options)
    except NeuroCityError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(0)


def serve(options: ServerOptions) -> None:
    """Run a server until it ends.

    Raises EngineError when it does so unasked, and when it cannot go on without a backend process that died.
    """
    with running_server(options, _log) as server:
        _log(f"ready: gRPC on {server.grpc_url}, HTTP on {server.http_url}, metrics on {server.metrics_url}")
        code = _watch(server, options)
    raise EngineError(f"the Triton server ended by itself with code {code}; its log says why")


def _watch(server: Server, options: ServerOptions) -> int:
    """The exit code of the server, when it ends; models that lose their backend processes are reloaded."""
    stubs = StubWatch(server.process.pid, server.http_url)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return server.process.wait(LOOK_SECONDS)
        for model in stubs.lost():
            if options.model_control == "none":
                raise EngineError(
                    f"a backend process of model {model!r} died; "
                    "with --model-control explicit it would be reloaded"
                )
            _log(f"a backend process of model {model!r} died: the model is reloaded")
            stubs.reload(model, options.ready_timeout_seconds)
            _log(f"model {model!r} is reloaded")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _stop(*_: object) -> None:
    # Leaves running_server, which stops the server and waits for it; a second signal must not interrupt that.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
