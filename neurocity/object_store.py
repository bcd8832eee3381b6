"""Folders in object storage, by their URL: `s3://bucket/prefix`, and any other that fsspec can open.

Credentials, endpoint and region are the storage library's own matter: of S3 `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, a profile, or the role of the machine, and fsspec's own
configuration (`FSSPEC_S3_...`). None of them is ever part of a message.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurocity.errors import ConfigError, MissingDependencyError, StorageError

_URL_AS_PATH = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:/")
"""How a URL begins that was read as a path, which has one slash."""

_SECRETS = re.compile(r"(?<=//)[^/@]*@|[?#].*$")
"""What an address may have beside its place: user and password, and a query."""

_OPTIONS: dict[str, dict[str, Any]] = {
    # s3fs itself tries what is worth it five times; a server that is dead or hangs is to be told in a minute.
    "s3": {
        "config_kwargs": {"connect_timeout": 5, "read_timeout": 10, "retries": {"total_max_attempts": 1}},
        "use_listings_cache": False,
    },
    "file": {"auto_mkdir": True},
}
"""Options of fsspec's file systems by scheme; the user's configuration of fsspec wins."""

_STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created", "updated")
"""Under which names file systems say what changes with an object."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing has it. stamp: what changes when the object does."""

    bytes: int
    stamp: tuple[str, ...]


def is_url(place: str) -> bool:
    """Whether a place is a URL, and not the path of a folder on this machine."""
    return "://" in place


def require_folder(place: Path, what: str) -> None:
    """Raises ConfigError when a path was meant as a URL; `what` names who wants the folder."""
    if _URL_AS_PATH.match(str(place)) and not place.exists():
        raise ConfigError(
            f"{what}: got the URL {place.parts[0]}//..., expected a folder on this machine; copy it "
            "first, as with `aws s3 sync` or `rclone copy`"
        )


def shown(url: str) -> str:
    """A URL as messages may have it: without user, password and query. The path of a folder is what it is."""
    return re.sub(r"(?<=[^:/])/+$", "", _SECRETS.sub("", url)) if is_url(url) else url


class ObjectStore:
    """The objects below a URL, by their names behind it. All methods block, and raise StorageError.

    url: without secrets, for messages.
    """

    def __init__(self, url: str) -> None:
        """Raises MissingDependencyError without the URL's file system, and ConfigError on what is none."""
        self.url = shown(url)
        scheme = url.partition("://")[0].lower()
        try:
            import fsspec  # noqa: PLC0415, brought by extras

            given = fsspec.config.conf.get(scheme, {})
            options = {name: value for name, value in _OPTIONS.get(scheme, {}).items() if name not in given}
            self._files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, **options)
        except ImportError as error:
            extra = "'neurocity[s3]'" if scheme in ("s3", "s3a") else "what fsspec names"
            raise MissingDependencyError(
                f"{self.url}: needs a package that is not installed ({error}); install {extra}"
            ) from None
        except ValueError as error:
            raise ConfigError(f"{self.url}: is no URL of object storage ({error})") from None
        self._root = root.rstrip("/")
        if not self._root.strip("/") and scheme != "memory":
            raise ConfigError(f"{self.url}: names no bucket; expected {scheme}://bucket/prefix")

    def objects(self, below: str = "") -> dict[str, StoredObject]:
        """Name -> object, of all that are there now. below: their names begin with this and a slash."""
        with self._told("cannot be listed"):
            self._files.invalidate_cache()
            found = self._files.find(self._path(below), detail=True)
        start = len(self._root) + 1
        return {
            path[start:]: StoredObject(
                bytes=int(facts["size"]), stamp=tuple(str(facts[key]) for key in _STAMPS if key in facts)
            )
            for path, facts in found.items()
            if path[start:]
        }

    def read(self, names: Iterable[str]) -> dict[str, bytes | StorageError]:
        """The content of objects, of those that are still there, or what keeps one from being read."""
        paths = {self._path(name): name for name in names}
        contents: dict[str, bytes | StorageError] = {}
        with self._told("objects cannot be read"):
            found = self._files.cat(list(paths), on_error="return") if paths else {}
        for path, content in found.items():
            if isinstance(content, FileNotFoundError):
                continue
            try:
                with self._told(f"{paths[path]} cannot be read"):
                    if isinstance(content, BaseException):
                        raise content
                contents[paths[path]] = content
            except StorageError as error:
                contents[paths[path]] = error
        return contents

    def download(self, name: str, file: Path) -> None:
        """Write an object into a file; what is there after an error is not whole."""
        with self._told(f"{name} cannot be read"):
            self._files.get_file(self._path(name), str(file))

    def upload(self, file: Path, name: str) -> None:
        """Write a file into an object."""
        with self._told(f"{name} cannot be written"):
            self._files.put_file(str(file), self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Has every error of the storage's library told as one of ours, in one line."""
        try:
            yield
        except PermissionError as error:
            raise StorageError(
                f"{self.url}: {what}: access is denied ({_line(error)}); look at the credentials, and at "
                "what they may do"
            ) from None
        except FileNotFoundError as error:
            raise StorageError(f"{self.url}: {what}: is not there ({_line(error)})") from None
        except Exception as error:  # libraries raise what they like
            raise StorageError(f"{self.url}: {what} ({type(error).__name__}: {_line(error)})") from None


def _line(error: Exception) -> str:
    """The first line of an error's text, without the queries of URLs, which may be signed."""
    text = str(error).strip().partition("\n")[0]
    return re.sub(r"\?[^\s\"')]*", "", text)
