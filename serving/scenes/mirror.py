"""A model repository in object storage: manifests are read at each look, files are fetched to be loaded.

    listing -> manifests that are new -> offers;   a load -> its files -> SHA-256 -> cache folder -> engine

An object appears whole or not at all, but a version is several: one without its manifest, which is written
last, is not there.
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar

from neurocity.city.manifest import CITY_FILE
from neurocity.contract import MANIFEST_FILE, ArtefactFile, file_sha256
from neurocity.errors import EngineError, ManifestError, StorageError
from neurocity.model_repository import Version, open_version
from neurocity.object_store import ObjectStore, StoredObject
from neurocity.publishing import published
from serving.scenes.cache_folder import CacheFolder
from serving.scenes.scan import Folder, Scan, Stamp, unreadable
from serving.scenes.whole_files import WholeFiles

Result = TypeVar("Result")

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MANIFEST_BYTES = 64 * 2**20
"""No manifest is larger."""


class Mirror:
    """`Files` of a repository in object storage."""

    def __init__(self, store: ObjectStore, cache: CacheFolder) -> None:
        """Both are the mirror's own from now on."""
        self.name, self.root = store.url, cache.models
        self._store, self._cache = store, cache
        self._listed: dict[Path, dict[str, StoredObject]] = {}
        self._whole = WholeFiles()

    async def scan(self, before: Scan) -> Scan:
        """See `Files.scan`."""
        return await _on_daemon(lambda: self._scan(before))

    @asynccontextmanager
    async def at_hand(
        self, version: Version, files: Sequence[ArtefactFile] | None = None
    ) -> AsyncIterator[None]:
        """See `Files.at_hand`."""
        wanted = self._read_to_load(version) if files is None else files
        with self._cache.in_use(version.path):
            try:
                await _on_daemon(lambda: self._fetch(version, wanted))
                yield
            except (EngineError, ManifestError) as error:
                raise type(error)(self._told(error)) from error

    async def close(self) -> None:
        """See `Files.close`."""
        await asyncio.to_thread(self._cache.close)

    def _scan(self, before: Scan) -> Scan:
        found = Scan()
        listed: dict[Path, dict[str, StoredObject]] = {}
        for name, item in self._store.objects().items():
            parts = PurePosixPath(name).parts
            if len(parts) <= 2 and parts[-1] == CITY_FILE:
                found.others[self.root / name] = (
                    "cities are served from a folder of this machine: copy or mount the bucket, and name it "
                    "as --repository"
                )
            if len(parts) < 3 or name.startswith(".") or not (parts[1].isascii() and parts[1].isdecimal()):
                continue
            if not _MODEL.fullmatch(parts[0]):
                found.others[self.root / parts[0]] = f"its name is not of the form {_MODEL.pattern}"
                continue
            listed.setdefault(self.root / parts[0] / parts[1], {})["/".join(parts[2:])] = item
        self._listed = {folder: files for folder, files in listed.items() if MANIFEST_FILE in files}
        changed = []
        for folder, files in self._listed.items():
            known = before.folders.get(folder)
            if known is not None and known.stamp == _stamp(files) and not known.unread:
                found.folders[folder] = known
            elif (size := files[MANIFEST_FILE].bytes) > _MANIFEST_BYTES:
                found.folders[folder] = Folder(_stamp(files), problem=f"{MANIFEST_FILE}: has {size} bytes")
            else:
                changed.append(folder)
        manifests = self._store.read(self._name(folder / MANIFEST_FILE) for folder in changed)
        failed = [content for content in manifests.values() if isinstance(content, StorageError)]
        if failed and len(failed) == len(self._listed):
            raise failed[0]  # it is the storage, and no folder of it
        for folder in changed:
            manifest = manifests.get(self._name(folder / MANIFEST_FILE))
            if isinstance(manifest, StorageError):
                problem = str(manifest).removeprefix(f"{self.name}: ")
                found.folders[folder] = unreadable(problem, before.folders.get(folder))
            elif manifest is not None:  # else it has gone since it was listed
                found.folders[folder] = self._look(folder, manifest, before.folders.get(folder))
        self._cache.keep(found.folders.keys())
        self._whole.keep(set(found.folders))
        return found

    def _look(self, folder: Path, manifest: bytes, before: Folder | None) -> Folder:
        """A version by its manifest, which is written into the cache folder, and the listing."""
        files = self._listed[folder]
        stamp = _stamp(files)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with published(folder / MANIFEST_FILE) as partial:
                partial.write_bytes(manifest)
            version = open_version(folder)
            self._check_size(version.path, version.manifest.artefact)
        except OSError as error:
            return unreadable(f"{self._name(folder)}: cannot be kept ({error.strerror})", before)
        except ManifestError as error:
            return Folder(stamp, problem=self._told(error))
        return Folder(stamp, version)

    def _read_to_load(self, version: Version) -> list[ArtefactFile]:
        """The files that loading and proving read."""
        wanted = [version.manifest.artefact]
        golden = version.manifest.golden
        if golden is not None and golden.rays.name in self._listed.get(version.path, {}):
            wanted.append(golden.rays)
        return wanted

    def _fetch(self, version: Version, files: Sequence[ArtefactFile]) -> None:
        """Have these files of a version."""
        for file in files:
            place = version.path / file.name
            if not place.resolve().is_relative_to(version.path):
                raise ManifestError(f"{self._name(version.path)}: {file.name!r} is not a place in the folder")
            try:
                self._whole.verify(version, file)
            except (ManifestError, OSError):  # not there, or not what the manifest says by now
                self._fetch_file(version.path, file)
            self._cache.used(place)

    def _fetch_file(self, folder: Path, file: ArtefactFile) -> None:
        name = self._name(folder / file.name)
        self._check_size(folder, file)
        with self._cache.room(file.bytes) as place:
            fetched = place / "file"
            self._store.download(name, fetched)
            if (size := fetched.stat().st_size) != file.bytes:
                raise StorageError(f"{self.name}/{name}: {size} bytes of {file.bytes} have come")
            if (digest := file_sha256(fetched)) != file.sha256:
                raise ManifestError(
                    f"{self.name}/{name}: has SHA-256 {digest}, its manifest says {file.sha256}; "
                    "upload the version again"
                )
            (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
            fetched.replace(folder / file.name)

    def _check_size(self, folder: Path, file: ArtefactFile) -> None:
        """Raises ManifestError when the listing has not got the file, or has one of another size.

        What is not listed any more may be in the cache folder, or come back.
        """
        files = self._listed.get(folder)
        if files is None:
            return
        name = self._name(folder / file.name)
        if file.name not in files:
            raise ManifestError(f"{self.name}/{name}: is not there; upload the version again")
        if (size := files[file.name].bytes) != file.bytes:
            raise ManifestError(
                f"{self.name}/{name}: has {size} bytes, its manifest says {file.bytes}; "
                "upload the version again"
            )

    def _told(self, error: Exception) -> str:
        """An error's text, in which the repository stands for the cache folder."""
        return str(error).replace(str(self.root), self.name)

    def _name(self, path: Path) -> str:
        """The object's name of a path in the cache folder."""
        return path.relative_to(self.root).as_posix()


def _stamp(files: dict[str, StoredObject]) -> Stamp:
    return tuple((name, item.bytes, item.stamp) for name, item in sorted(files.items()))


async def _on_daemon(call: Callable[[], Result]) -> Result:
    """The result of a call, on a thread that the process does not wait for when it ends.

    A server that takes a connection and says nothing would else keep it from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def tell(result: Result | None, error: BaseException | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:  # it is raised where it is awaited
            failure = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, daemon=True, name="repository").start()
    return await future
