"""The command `neurocity-serve`."""

import asyncio
import contextlib
import ctypes
import gc
import signal
import sys
from collections.abc import Callable, Sequence

import pydantic
import tyro

from neurocity.errors import NeuroCityError
from serving.access import commands
from serving.app import create_app
from serving.drain import Drain
from serving.probe import health
from serving.scenes.opening import open_scenes
from serving.server.listener import open_listener
from serving.server.server import Server
from serving.settings import Settings
from serving.telemetry.logs import configure_logs

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


COMMANDS: dict[str, Callable[..., None]] = {"health": health, "key": commands.key, "sign": commands.sign}
"""What the command does beside serving, by its first word."""


def main() -> None:
    """Serve the scenes of a model repository over HTTP, until SIGINT or SIGTERM.

    `neurocity-serve key` makes an API key, `neurocity-serve sign` a link that needs none, and
    `neurocity-serve health` asks a running gateway how it is.
    """
    if len(sys.argv) > 1 and sys.argv[1] in COMMANDS:
        return run_command(*sys.argv[1:])
    settings = read_settings()
    configure_logs(settings.log_format)
    signal.signal(signal.SIGTERM, _exit)
    keep_freed_memory()
    gc.freeze()  # what imports have made stays: to look through it again and again is for nothing
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
    """Open the scenes and serve until a signal arrives; the process's exit code.

    SIGHUP has the scenes looked at again. Raises as `open_scenes`, and OSError for the port.
    """
    with open_listener(settings.host, settings.port) as listener:
        scenes = await open_scenes(settings.engine, settings)
        try:
            if hasattr(signal, "SIGHUP"):  # not on Windows
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, scenes.look_soon)
            drain = Drain()
            app = create_app(settings, scenes, drain)
            server = Server(app, settings, drain, app.state.metrics)
            await server.serve(sockets=[listener])
            return server.exit_code
        finally:
            await scenes.close()


def _exit(*_: object) -> None:
    """While the scenes are opened; SystemExit runs all clean-up. The server has its own way to end."""
    raise SystemExit(0)
