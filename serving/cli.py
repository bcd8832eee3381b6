"""The command `neurocity-serve`."""

import asyncio
import contextlib
import ctypes
import logging
import signal
import socket
import sys
from collections.abc import Sequence

import pydantic
import tyro
import uvicorn

from neurocity.errors import NeuroCityError
from serving.app import create_app
from serving.engines.base import open_engine
from serving.settings import Settings

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


def main() -> None:
    """Serve the scenes of a model repository over HTTP, until SIGINT or SIGTERM."""
    settings = read_settings()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGTERM, _exit)
    keep_freed_memory()
    try:
        asyncio.run(serve(settings))
    except (NeuroCityError, OSError) as error:
        sys.exit(f"neurocity-serve: {error}")
    except KeyboardInterrupt:
        pass


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


async def serve(settings: Settings) -> None:
    """Open the engine and serve until a signal arrives; raises as `open_engine`, and OSError for the port."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.create_server((settings.host, settings.port), family=family)
    # asyncio does without Nagle's algorithm where a socket names its protocol, as create_server's does not.
    # Each answer but the first of a connection would wait 40 ms for the client's delayed acknowledgement.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=bound.detach()) as listener:
        engine = await open_engine(settings.engine, settings)
        try:
            config = uvicorn.Config(create_app(settings, engine), access_log=False, log_config=None)
            await _AnnouncingServer(config).serve(sockets=[listener])
        finally:
            await engine.close()


class _AnnouncingServer(uvicorn.Server):
    """Prints the URL when connections are accepted, not before."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        host, port, *_ = sockets[0].getsockname()
        address = f"[{host}]" if ":" in host else host
        print(f"NeuroCity serves at http://{address}:{port}/", flush=True)


def _exit(*_: object) -> None:
    """uvicorn raises the signal again after its last response; SystemExit then runs all clean-up."""
    raise SystemExit(0)
