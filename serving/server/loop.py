"""The event loop that the gateway runs on: uvloop's, and asyncio's own on systems without it (Windows)."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
if sys.platform != "win32":
    import uvloop

    _new_event_loop = uvloop.new_event_loop

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`."""
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(main)
