"""Files of a published folder, as a host of files gives them over HTTP."""

import base64
import http.client
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from neurocity.errors import ConfigError, StorageError
from neurocity.model_repository import is_below
from neurocity.object_store import shown

_TIMEOUT_SECONDS: Final = 30.0
_AS_THEY_ARE: Final = "/%:@!$&'()*+,;=~"
"""Characters of a path that are sent so, beside letters and digits."""


def is_host(url: str) -> bool:
    """Whether a place is an address of HTTP."""
    return url.lower().startswith(("http://", "https://"))


class Host:
    """A folder at an address: `https://host/path/`, or that of its page. `user:password@` may stand in it."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError on an address without a host."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ConfigError(f"{shown(url)}: {error}, expected https://HOST/PATH/") from None
        if not parts.hostname:
            raise ConfigError(f"{shown(url)}: names no host, expected https://HOST/PATH/")
        user, _, place = parts.netloc.rpartition("@")
        self._user = unquote(user)
        path = quote(parts.path.removesuffix("index.html").rstrip("/") + "/", safe=_AS_THEY_ARE)
        self._folder = urlunsplit((parts.scheme, place, path, "", ""))
        self.url = shown(self._folder)
        """Without user and password."""

    def read(self, address: str, most: int | None = None) -> bytes | None:
        """The content of a file by its address below the folder's, None where the host has none.

        most: bytes that are of use; what is longer is cut off behind one more. Raises StorageError when the
        host does not answer.
        """
        place = f"{self.url}/{address}"
        # As it is: what a browser gets compressed is the same.
        request = Request(self._folder + address, headers={"Accept-Encoding": "identity"})
        if self._user:  # which another host that this one names is not told
            basic = base64.b64encode(self._user.encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {basic}")
        try:
            with urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                content: bytes = answer.read() if most is None else answer.read(most + 1)
                return content
        except HTTPError as error:
            error.close()
            if error.code in (404, 410):
                return None
            raise StorageError(f"{place}: the host answers {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: of a name's form
            raise StorageError(f"{place}: cannot be read ({getattr(error, 'reason', error)})") from None

    def fetch(self, names: dict[str, str], folder: Path, sizes: dict[str, int]) -> list[str]:
        """Write files, name -> address, into a folder; the names of those that the host lacks.

        sizes: bytes of a file, by its name. Raises StorageError as `read`, and on a name outside the folder.
        """
        missing = []
        for name, address in names.items():
            if not is_below(name):
                raise StorageError(f"{self.url}: names the file {name!r}, which is not a place below it")
            content = self.read(address, sizes.get(name))
            if content is None:
                missing.append(name)
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return missing
