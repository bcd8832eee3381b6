"""The command `neurocity-serve`."""

import asyncio
import contextlib
import ctypes
import signal
import sys
from collections.abc import Callable, Sequence

import pydantic
import tyro

from neurocity.errors import NeuroCityError
from serving.access import commands
from serving.app import create_app
from serving.drain import Drain
from serving.engines.base import open_engine
from serving.server.listener import open_listener
from serving.server.server import Server
from serving.settings import Settings
from serving.telemetry.logs import configure_logs

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


COMMANDS: dict[str, Callable[..., None]] = {"key": commands.key, "sign": commands.sign}
"""What the command does beside serving, by its first word."""


def main() -> None:
    """Serve the scenes of a model repository over HTTP, until SIGINT or SIGTERM.

    `neurocity-serve key` makes an API key, `neurocity-serve sign` a link that needs none.
    """
    if len(sys.argv) > 1 and sys.argv[1] in COMMANDS:
        return run_command(*sys.argv[1:])
    settings = read_settings()
    configure_logs(settings.log_format)
    signal.signal(signal.SIGTERM, _exit)
    keep_freed_memory()
    try:
        sys.exit(asyncio.run(serve(settings)))
    except (NeuroCityError, OSError) as error:
        sys.exit(f"neurocity-serve: {error}")
    except KeyboardInterrupt:
        pass


def run_command(name: str, *arguments: str) -> None:
    """Run one of `COMMANDS` with its arguments; exits with its message when it cannot be done."""
    try:
        tyro.cli(COMMANDS[name], args=arguments, prog=f"neurocity-serve {name}")
    except NeuroCityError as error:
        sys.exit(f"neurocity-serve {name}: {error}")


def keep_freed_memory() -> None:
    """Has glibc keep up to 64 MiB of what is freed; elsewhere nothing is done.

    Else the arrays of a picture go back to the system, and the next picture gets their pages anew, emptied: a
    third of the time that is not the engine's.
    """
    with contextlib.suppress(AttributeError):  # other C libraries have no such setting
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)


def read_settings(arguments: Sequence[str] | None = None) -> Settings:
    """Settings from arguments (`sys.argv` by default) over the environment; exits when they are wrong."""
    try:
        defaults = Settings()
    except pydantic.ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        sys.exit(f"neurocity-serve: environment: {reasons}")
    return tyro.cli(
        Settings, args=arguments, default=defaults, prog="neurocity-serve", description=main.__doc__
    )


async def serve(settings: Settings) -> int:
    """Open the engine and serve until a signal arrives; the process's exit code.

    Raises as `open_engine`, and OSError for the port.
    """
    with open_listener(settings.host, settings.port) as listener:
        engine = await open_engine(settings.engine, settings)
        try:
            drain = Drain()
            app = create_app(settings, engine, drain)
            server = Server(app, settings, drain, app.state.metrics)
            await server.serve(sockets=[listener])
            return server.exit_code
        finally:
            await engine.close()


def _exit(*_: object) -> None:
    """While the engine is opened; SystemExit runs all clean-up. The server has its own way to end."""
    raise SystemExit(0)
