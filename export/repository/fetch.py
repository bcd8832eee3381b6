"""Versions in object storage, brought to this machine one at a time to be looked at."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from neurocity.contract import MANIFEST_FILE, ArtefactFile
from neurocity.errors import ExportError, ManifestError, NeuroCityError, StorageError
from neurocity.model_repository import is_below, open_version
from neurocity.object_store import ObjectStore

Kind = Literal["version", "model", "repository"]
_DEPTHS: dict[int, Kind] = {1: "version", 2: "model", 3: "repository"}
"""How many parts the names of manifests have, seen from each."""


@dataclass(frozen=True)
class StoredVersion:
    """A version in object storage. inside: the parts of its place below the store's URL."""

    store: ObjectStore
    inside: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its place, as messages may have it."""
        return "/".join([self.store.url, *self.inside])

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """A folder with its manifest and the files that this names, as far as they are there.

        What has come is not compared with the manifest yet: `Version.problem` and `Version.require_whole` do
        that, as for any folder. In errors the URL stands for the folder, which is temporary. Raises
        ManifestError as `open_version`, and StorageError, also where the machine has no room.
        """
        with tempfile.TemporaryDirectory(prefix="neurocity-export-") as place:
            folder = Path(place, *self.url.split("/")[-2:])  # the names of its model and of itself
            folder.mkdir(parents=True)
            try:
                self._download(MANIFEST_FILE, folder)
                self._fetch(open_version(folder).files, folder)
                yield folder
            except NeuroCityError as error:
                raise type(error)(str(error).replace(str(folder), self.url)) from error

    def _fetch(self, files: Sequence[ArtefactFile], folder: Path) -> None:
        below = "/".join(self.inside)
        start = len(below) + 1 if below else 0
        there = {name[start:] for name in self.store.objects(below)}
        for file in files:
            if not is_below(file.name):
                raise ManifestError(
                    f"{folder}: the manifest names {file.name!r}, which is not a place in the version "
                    "folder; none of its files is fetched"
                )
        wanted = [file for file in files if file.name in there]  # the others are refused later
        size, free = sum(file.bytes for file in wanted), shutil.disk_usage(folder).free
        if size > free:
            raise StorageError(
                f"{self.url}: takes {size} bytes, {tempfile.gettempdir()} has {free}; TMPDIR names another "
                "folder"
            )
        for file in wanted:
            self._download(file.name, folder)

    def _download(self, name: str, folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        self.store.download("/".join([*self.inside, name]), folder / name)


def stored(url: str) -> tuple[Kind, list[StoredVersion]]:
    """What a URL is, and its versions, by model, the oldest first.

    Raises ExportError when no version is there, or one has a place that is none below the URL, ConfigError,
    MissingDependencyError and StorageError.
    """
    store = ObjectStore(url)
    manifests = []
    for name in store.objects():
        place = PurePosixPath(name)
        if place.name != MANIFEST_FILE:
            continue
        if not is_below(name):
            raise ExportError(
                f"{store.url}: has the object {name!r}, which is not a place below it; remove it"
            )
        manifests.append(place.parts)
    for depth, kind in _DEPTHS.items():
        places = [parts[:-1] for parts in manifests if len(parts) == depth]
        if depth > 1:
            places = [parts for parts in places if parts[-1].isdecimal()]
            places.sort(key=lambda parts: (parts[:-1], int(parts[-1])))
        if places:
            return kind, [StoredVersion(store, parts) for parts in places]
    raise ExportError(
        f"{store.url}: has no version; expected REPOSITORY, REPOSITORY/MODEL or REPOSITORY/MODEL/VERSION, "
        f"where a version has a {MANIFEST_FILE}"
    )
