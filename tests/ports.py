"""Ports for servers that are told theirs before they start."""

import contextlib
import secrets
import socket

LOWEST, NUMBER = 20_000, 12_000
"""Below those that the system itself gives to servers on port 0 and to clients: what is free stays so."""


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    for _ in range(1000):
        # Not from `random`, which has the same seed in every test and process.
        port = LOWEST + secrets.randbelow(NUMBER)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"no port from {LOWEST} to {LOWEST + NUMBER} is free")
