"""`python -m serving.tritonserver`: run a Triton server in the foreground until it is told to stop."""

import signal
import sys

import tyro

from neurocity.errors import EngineError, NeuroCityError
from serving.tritonserver.server import ServerOptions, running_server


def main() -> None:
    """Entry point; exits with 0 after SIGTERM or Ctrl-C, with 1 and the reason on stderr otherwise."""
    options = tyro.cli(ServerOptions, prog="python -m serving.tritonserver", description=__doc__)
    signal.signal(signal.SIGTERM, _stop)
    try:
        serve(options)
    except NeuroCityError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(0)


def serve(options: ServerOptions) -> None:
    """Run a server until it ends; raises EngineError when it does so unasked."""
    with running_server(options, _log) as server:
        _log(f"ready: gRPC on {server.grpc_url}, HTTP on {server.http_url}, metrics on {server.metrics_url}")
        code = server.process.wait()
    raise EngineError(f"the Triton server ended by itself with code {code}; its log says why")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _stop(*_: object) -> None:
    # Leaves running_server as Ctrl-C does, which stops the server and waits for it; a second signal must not
    # interrupt that.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
