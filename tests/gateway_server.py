"""Runs an application on a real socket in this process, so that tests speak HTTP and nothing less."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI


@contextmanager
def running_gateway(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of `app`, which listens on a free port of this machine until the context ends."""
    # The limit lets a test of abandoned work fail instead of hang.
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive(), "the gateway did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


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
