"""Runs an application on a real socket in this process, so that tests speak HTTP and nothing less."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn.server
import waiting
from fastapi import FastAPI

from serving.drain import Drain
from serving.server.listener import open_listener, url_of
from serving.server.server import Server
from serving.settings import Settings
from serving.telemetry.metrics import Metrics


class _Promptly:
    """asyncio, with shorter sleeps."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


# uvicorn looks ten times a second whether it is to end, and then waits as long again for connections: nobody
# waits for that in production, and here hundreds of gateways end.
uvicorn.server.asyncio = _Promptly()

PATIENCE = Settings(drain_seconds=5)
"""A test of abandoned work fails, and does not hang."""


@contextmanager
def running_server(
    app: FastAPI, settings: Settings = PATIENCE, drain: Drain | None = None
) -> Iterator[tuple[Server, httpx.Client]]:
    """The gateway's own server with `app`, on a free port of this machine, and a client of it."""
    metrics = getattr(app.state, "metrics", None) or Metrics("of an application without its own")
    server = Server(app, settings, drain or getattr(app.state, "drain", None) or Drain(), metrics)
    listener = open_listener("127.0.0.1", 0)
    with listener, httpx.Client(base_url=url_of(listener).rstrip("/"), timeout=waiting.PATIENCE) as client:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            while not server.started:
                thread.join(0.01)
                assert thread.is_alive(), "the gateway did not start"
            yield server, client
        finally:
            client.close()  # a server waits at its end for what connected clients may still ask
            server.should_exit = True
            thread.join()


@contextmanager
def running_gateway(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of `app`, which listens on a free port of this machine until the context ends."""
    with running_server(app) as (_, client):
        yield client


def send(client: httpx.Client, words: list[str]) -> tuple[httpx.Response, str]:
    """What curl would do with these words, sent by `client`; the answer, and the file that it would go to."""
    options = {"-o": "", "-H": "", "-d": ""}
    rest = words[1:]
    addresses = []
    while rest:
        word = rest.pop(0)
        if word in options:
            options[word] = rest.pop(0)
        else:
            assert word.startswith("http://127.0.0.1:8000/"), word
            addresses.append(word.removeprefix("http://127.0.0.1:8000"))
    (address,) = addresses
    if not options["-d"]:
        return client.get(address), options["-o"]
    name, _, value = options["-H"].partition(": ")
    return client.post(address, content=options["-d"], headers={name: value}), options["-o"]
