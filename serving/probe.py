"""`neurocity-serve health` asks a gateway on this machine how it is, for a container's health check."""

import urllib.error
import urllib.request

from neurocity.errors import EngineUnavailableError
from serving.settings import Settings

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""Addresses that a gateway listens on, and where it is found then."""


def health(path: str = "/livez", seconds: float = 4.0) -> None:
    """Ask the gateway of the environment's host and port; exits with 1 and the reason unless it says 200.

    Args:
        path: /livez, or /readyz to ask whether scenes can be rendered.
        seconds: how long to wait for the answer.
    """
    settings = Settings()
    host = WILDCARDS.get(settings.host, settings.host)
    url = f"http://{host}:{settings.port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=seconds):
            return
    except (OSError, urllib.error.HTTPError) as error:
        raise EngineUnavailableError(f"{url}: {error}") from None
