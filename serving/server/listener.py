"""The socket that the gateway listens on."""

import contextlib
import ipaddress
import socket


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket for an address of this machine; `::` takes IPv4 as well.

    Raises OSError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")
    # asyncio does without Nagle's algorithm where a socket names its protocol, as create_server's does not.
    # Each answer but the first of a connection would wait 40 ms for the client's delayed acknowledgement.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=bound.detach())


def url_of(listener: socket.socket) -> str:
    """The address of a listener as a browser takes it."""
    host, port, *_ = listener.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def as_seen_by_both(addresses: str) -> str:
    """Addresses and networks, with commas, and those of IPv4 as a listener on `::` sees them as well."""
    names = [name.strip() for name in addresses.split(",")]
    mapped = []
    for name in names:
        with contextlib.suppress(ValueError):  # none of IPv4
            network = ipaddress.IPv4Network(name)
            mapped.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return ",".join(names + mapped)
