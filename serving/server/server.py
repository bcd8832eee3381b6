"""uvicorn's server with an end of its own, a bound on connections, and a log that accept cannot fill.

uvicorn hands signals to its own flags, waits for connections before it runs an application's shutdown, and
waits for ever unless it is given a time. Here the first signal begins a drain: `Drain` refuses new work while
the port goes on to answer, so that probes and proxies see a reason and not a refused connection; what was
accepted is answered; the process ends when that is done, or when its time is over. The second signal ends it
at once, the third without asking the event loop.
"""

import asyncio
import contextlib
import errno
import logging
import os
import resource
import select
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from serving.drain import Drain
from serving.server.connection import Connection, Limits
from serving.server.listener import as_seen_by_both, url_of
from serving.server.websocket import PING_SECONDS, WebSocketConnection
from serving.settings import Settings
from serving.telemetry.metrics import Metrics

log = logging.getLogger("neurocity.serving")

RESERVED_FILES = 128
"""Open files that are not for connections: artefacts, channels, pipes, and connections on their way out."""
ACCEPTS_AT_ONCE = 16
"""Connections that the loop takes in one turn, before it can close one to make room."""
ACCEPT_TURNS = 3
"""Of the loop, until a connection that waits is taken: it sees it in one, and takes it in the next."""
WAITING_CONNECTIONS = 1024
"""Connections that the system holds until they are taken."""
LAST_SECONDS = 1.0
"""Part of the drain that is kept for telling clients that they are given up."""
LAST_REQUESTS_SECONDS = 0.25
"""How long requests that are on their way when the work is done have to come, and be told a reason."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def allowed_connections(wanted: int) -> int:
    """As many as are wanted, and as the limit of open files leaves."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(min(wanted, files - RESERVED_FILES), 1)


class Server(uvicorn.Server):
    """Serves an application on a listener until a signal; `exit_code` says how it ended."""

    def __init__(self, app: FastAPI, settings: Settings, drain: Drain, metrics: Metrics) -> None:
        self._limits = Limits(
            allowed_connections(settings.max_connections),
            settings.request_timeout_seconds,
            settings.keep_alive_seconds,
            metrics.rejected,
        )
        metrics.watch("neurocity_connections", "Open connections.", self.connection_count)
        if self._limits.connections < settings.max_connections:
            log.warning(
                "max_connections=%d, of %d: the limit of open files allows no more",
                self._limits.connections,
                settings.max_connections,
            )
        super().__init__(
            uvicorn.Config(
                app,
                http=self._limits.protocol,  # type: ignore[arg-type]
                ws=partial(WebSocketConnection, settings.keep_alive_seconds, metrics.rejected),  # type: ignore[arg-type]
                ws_max_size=settings.max_body_bytes,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_SECONDS,
                ws_per_message_deflate=False,  # pictures are compressed
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=as_seen_by_both(settings.trusted_proxies or ""),
                root_path=settings.root_path or "",
                timeout_keep_alive=settings.keep_alive_seconds,  # type: ignore[arg-type]
                backlog=ACCEPTS_AT_ONCE,
            )
        )
        self.exit_code = 0
        self._drain = drain
        self._drain_seconds = settings.drain_seconds
        self._signals = 0
        self._told_full = float("-inf")

    def connection_count(self) -> int:
        """Open connections."""
        return len(self.server_state.connections)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on the listeners until a signal, or until `should_exit` is set."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then print the address."""
        await super().startup(sockets)
        self._loop.set_exception_handler(self._loop_failure)
        self._checks = self._loop.create_task(self._check_connections())
        assert sockets is not None
        for listener in sockets:
            listener.listen(WAITING_CONNECTIONS)  # uvicorn has made it as short as its turns
        print(f"NeuroCity serves at {url_of(sockets[0])}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what was accepted end in its time; then close."""
        self._drain.begin()
        ends = self._loop.time() + max(self._drain_seconds - LAST_SECONDS, 0)
        log.info("drain: requests=%d seconds=%g", len(self.server_state.tasks), self._drain_seconds)
        while self.server_state.tasks and self._loop.time() < ends and not self._drain.over:
            await asyncio.sleep(0.05)
        self._drain.give_up()
        if left := set(self.server_state.tasks):
            log.warning("drain: given up=%d", len(left))
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=LAST_SECONDS / 2)
        await self._answer_the_last()
        self.config.timeout_graceful_shutdown = 1
        await super().shutdown(sockets)
        self._checks.cancel()

    async def _answer_the_last(self) -> None:
        """Take no more connections, and let those that are there say what they want.

        A connection that is closed while its request is on the way tells the client nothing.
        """
        # Else those that wait for the loop are lost when it stops to listen.
        waiting = select.poll()
        for listener in (each for server in self.servers for each in server.sockets):
            waiting.register(listener.fileno(), select.POLLIN)
        for _ in range(WAITING_CONNECTIONS):
            await asyncio.sleep(0)
            if not waiting.poll(0):
                break
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        ends = self._loop.time() + LAST_REQUESTS_SECONDS
        while self.server_state.connections and self._loop.time() < ends:
            await asyncio.sleep(0.02)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals inside the `with`; in a thread there are none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain; at the second signal end within a second, at the third now."""
        del frame
        self._signals += 1
        if self._signals == 1:
            self._loop.call_soon_threadsafe(self._drain.begin)
            self.should_exit = True
            _end_after(self._drain_seconds, 0)
            return
        self.exit_code = 128 + sig
        if self._signals > 2:
            os._exit(self.exit_code)
        self._loop.call_soon_threadsafe(self._drain.give_up)
        self.should_exit = True
        _end_after(LAST_SECONDS, self.exit_code)

    async def _check_connections(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = self._loop.time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection | WebSocketConnection):
                    connection.check(now)

    def _loop_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what nobody awaits; one line in ten seconds where the system has no more open files.

        asyncio tries again after a second, and would write a traceback for each try.
        """
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in FULL):
            return loop.default_exception_handler(context)
        if loop.time() - self._told_full > 10:
            self._told_full = loop.time()
            log.error("accept: %s (connections=%d)", error.strerror, self.connection_count())


def _end_after(seconds: float, code: int) -> None:
    """End the process then, whatever holds it: a blocked loop, a library's call that cannot be left."""
    watchdog = threading.Timer(seconds, os._exit, [code])
    watchdog.daemon = True
    watchdog.start()
