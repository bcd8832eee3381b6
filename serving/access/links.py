"""Signed links: a picture for whoever has the link, until a time, and nothing beside it.

    /v1/scenes/city/render.png?eye=...&width=400&expires=1790000000&key_id=web&signature=...

The signature is HMAC-SHA256 over the path and all of the query but itself, sorted, with the time and the
key's name in it. The size of the picture is a part of the query: a link cannot be made larger.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from neurocity.errors import ConfigError
from serving.access.keys import ADMIN, Grant, read_grants

SIGNATURE, KEY_ID, EXPIRES = "signature", "key_id", "expires"
SHORTEST_SECRET = 32
Query = list[tuple[str, str]]


class SigningKeys:
    """The secrets that links are signed with, by name; several are valid at once, so that one can be changed.

    A line of their file is `NAME SECRET SCENE,SCENE,... [pixels-per-minute=N]`, with * for all scenes.
    """

    def __init__(self, lines: Iterable[str], source: str) -> None:
        """Raises ConfigError that names the line of `source`."""
        self._secrets: dict[str, tuple[bytes, Grant]] = {}
        for place, secret, grant in read_grants(lines, source):
            name = grant.name
            if grant.admin:
                raise ConfigError(f"{place}: got {ADMIN}, which is for API keys; a link opens one picture")
            if len(secret) < SHORTEST_SECRET:
                got = f"got a secret of {len(secret)} characters"
                raise ConfigError(f"{place}: {got}, expected {SHORTEST_SECRET} at least")
            if name in self._secrets:
                raise ConfigError(f"{place}: there is a key {name!r} already")
            self._secrets[name] = secret.encode(), replace(grant, name=f"link {name}")

    def __len__(self) -> int:
        return len(self._secrets)

    def grant(self, path: str, query_string: str) -> Grant | None:
        """What a link gives; None when it is not signed by one of the keys, was changed, or is too old."""
        query = parse_qsl(query_string, keep_blank_values=True)
        signed = [item for item in query if item[0] != SIGNATURE]
        fields = dict(query)
        secret, grant = self._secrets.get(fields.get(KEY_ID, ""), (b"", None))
        expected = _signature(secret, path, signed)
        if grant is None or not hmac.compare_digest(expected.encode(), fields.get(SIGNATURE, "").encode()):
            return None
        expires = fields.get(EXPIRES, "")
        in_time = expires.isdecimal() and len(expires) < 16 and int(expires) >= time.time()
        return grant if in_time else None

    def sign(self, url: str, seconds: float, name: str | None = None) -> str:
        """The URL, signed by the key of that name, or the last one, for that time from now.

        Raises ConfigError when there is no such key or the URL is signed already.
        """
        chosen = name or next(reversed(self._secrets), "")
        if chosen not in self._secrets:
            raise ConfigError(f"signing key: got {chosen!r}, known: {', '.join(self._secrets) or 'none'}")
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        if taken := {SIGNATURE, KEY_ID, EXPIRES} & {field for field, _ in query}:
            raise ConfigError(f"{url}: has a field {min(taken)!r} already")
        query += [(EXPIRES, str(int(time.time() + seconds))), (KEY_ID, chosen)]
        query.append((SIGNATURE, _signature(self._secrets[chosen][0], unquote(parts.path), query)))
        return urlunsplit(parts._replace(query=urlencode(query, safe=",")))


def without_signature(query_string: str) -> str:
    """The query as the picture's own, so that a new signature makes no new picture."""
    query = parse_qsl(query_string, keep_blank_values=True)
    return urlencode([item for item in query if item[0] not in {SIGNATURE, KEY_ID, EXPIRES}])


def _signature(secret: bytes, path: str, query: Query) -> str:
    message = f"{path}?{urlencode(sorted(query))}".encode()
    return base64.urlsafe_b64encode(hmac.digest(secret, message, hashlib.sha256)).rstrip(b"=").decode()
