"""Ports for servers that are told theirs before they start."""

import contextlib
import secrets
import socket

LOWEST, NUMBER = 20_000, 12_000
"""Below those that the system itself gives to servers on port 0 and to clients. What is free stays so, and a
client that asks before the server listens cannot be given the same port, and reach itself."""


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """So many that differ."""
    found: set[int] = set()
    for _ in range(1000):
        # Not from `random`, which tests seed alike in every process.
        port = LOWEST + secrets.randbelow(NUMBER)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
        if len(found) == number:
            return list(found)
    raise OSError(f"no {number} ports from {LOWEST} to {LOWEST + NUMBER} are free")
