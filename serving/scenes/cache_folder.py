"""A bounded folder of files that can be fetched again: those that were used last stay.

DIR/lock                                 held by the process that uses the folder
DIR/models/<model>/<version>/            what was fetched of a version, its manifest first
DIR/models/.fetch-*                      what is being fetched
"""

import logging
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from neurocity.contract import MANIFEST_FILE
from neurocity.errors import ConfigError, EngineError, EngineUnavailableError
from neurocity.model_repository import version_folders
from serving.own_folder import take_folder

log = logging.getLogger("neurocity.serving")

_PARTIAL = ".fetch-"


class CacheFolder:
    """See the module's text. Its methods block, and may be called from several threads.

    models: the folder that is a model repository, as far as it was fetched. limit: bytes of all files but
    manifests. A file that is mapped is gone from the disk when its version is unloaded.
    """

    def __init__(self, folder: Path | None, limit: int) -> None:
        """folder: None for one that is gone after `close`.

        Raises as `take_folder`.
        """
        self.limit = limit
        self._own = tempfile.TemporaryDirectory(prefix="neurocity-") if folder is None else None
        folder = folder or Path(self._own.name)  # type: ignore[union-attr]
        self.models = folder.resolve() / "models"
        self._guard = threading.Lock()
        self._used: Counter[Path] = Counter()
        self._reserved = 0
        self._lock = take_folder(folder, "repository cache")
        try:
            self.models.mkdir(exist_ok=True)
        except OSError as error:
            self._lock.close()
            raise ConfigError(f"repository cache: {self.models} cannot be made ({error.strerror})") from None
        for left in self.models.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left, ignore_errors=True)

    def close(self) -> None:
        """Let another process have the folder, or remove it."""
        self._lock.close()
        if self._own is not None:
            self._own.cleanup()

    @contextmanager
    def in_use(self, version: Path) -> Iterator[None]:
        """Inside, the files of a version folder stay."""
        with self._guard:
            self._used[version] += 1
        try:
            yield
        finally:
            with self._guard:
                self._used[version] -= 1

    @contextmanager
    def room(self, size: int) -> Iterator[Path]:
        """A folder for a file of so many bytes, which is to be moved to its place; it is gone afterwards.

        Files of versions that were not used for longest make room. Raises EngineError when the file is larger
        than the limit, EngineUnavailableError when all else is in use, and OSError.
        """
        if size > self.limit:
            raise EngineError(f"takes {size} bytes, --repository-cache-bytes allows {self.limit}")
        with self._guard:
            self._make_room(size)
            self._reserved += size
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.models))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            with self._guard:
                self._reserved -= size

    def used(self, file: Path) -> None:
        """Note that a file was used now."""
        os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))  # what it says is as old as before

    def keep(self, versions: Collection[Path]) -> None:
        """Remove all version folders but these, and those that are in use."""
        with self._guard:
            for folder in self._versions():
                if folder not in versions and not self._used[folder]:
                    shutil.rmtree(folder, ignore_errors=True)

    def _make_room(self, size: int) -> None:
        sizes = {folder: _files(folder) for folder in self._versions()}
        taken = self._reserved + sum(item.st_size for files in sizes.values() for item in files.values())
        idle = [folder for folder, files in sizes.items() if files and not self._used[folder]]
        for folder in sorted(idle, key=lambda folder: max(item.st_atime for item in sizes[folder].values())):
            if taken + size <= self.limit:
                return
            log.info("repository cache: %s/%s makes room", folder.parent.name, folder.name)
            for file, status in sizes[folder].items():
                file.unlink()
                taken -= status.st_size
        if taken + size > self.limit:
            raise EngineUnavailableError(
                f"there is no room for {size} bytes beside versions that are being loaded: "
                f"--repository-cache-bytes is {self.limit}"
            )

    def _versions(self) -> list[Path]:
        return [folder for model in self.models.iterdir() for folder in version_folders(model)]


def _files(version: Path) -> dict[Path, os.stat_result]:
    """The files of a version folder that can be fetched again when they are needed.

    Not its manifest, nor what is being written in its place.
    """
    return {
        file: file.stat()
        for file in version.rglob("*")
        if file.name != MANIFEST_FILE and not file.name.startswith(".") and file.is_file()
    }
