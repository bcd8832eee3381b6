"""Where versions go: into a model repository on this machine, or by a temporary one into object storage."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from export.job.job import Job
from export.job.outcome import Outcome
from export.repository.publish import refuse_overwrite
from export.repository.upload import download, refuse_stored, stored_versions, upload
from neurocity.errors import ConfigError, NeuroCityError, StorageError
from neurocity.object_store import ObjectStore, is_url


class Destination(Protocol):
    """folder: the model repository that jobs write into."""

    folder: Path

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Refuses what could not be published, before any work. Raises ExportError and StorageError."""

    def put(self, outcome: Outcome) -> Outcome:
        """Brings what a job has shipped to its place; says what became of it."""


@contextmanager
def open_destination(out: str, *, force: bool) -> Iterator[Destination]:
    """The destination of that folder or URL.

    Raises ConfigError (no such storage, or `force` with it), MissingDependencyError and StorageError.
    """
    if not is_url(out):
        yield Folder(Path(out))
        return
    store = ObjectStore(out)
    if force:
        raise ConfigError(
            f"force: got it with {store.url}, but versions in object storage are not replaced; "
            "--version adds one"
        )
    with tempfile.TemporaryDirectory(prefix="neurocity-export-") as folder:
        yield Storage(store, Path(folder) / "models")


class Folder:
    """A model repository on this machine, where jobs publish themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self, jobs: Sequence[Job]) -> None:
        """See `Destination.prepare`."""
        for job in jobs:
            if not job.resume:
                refuse_overwrite(job.out, job.model_name, job.version, force=job.force)

    def put(self, outcome: Outcome) -> Outcome:
        """See `Destination.put`."""
        return outcome


class Storage:
    """A model repository in object storage. folder: a temporary one."""

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        self.folder, self._store = folder, store

    def prepare(self, jobs: Sequence[Job]) -> None:
        """See `Destination.prepare`; versions that may stay, with `resume`, are fetched to be looked at."""
        for job in jobs:
            if not job.resume:
                refuse_stored(self._store, job.model_name, job.version)
            elif job.version in stored_versions(self._store, job.model_name):
                download(self._store, job.model_name, job.version, self.folder)

    def put(self, outcome: Outcome) -> Outcome:
        """See `Destination.put`."""
        job = outcome.job
        if outcome.status == "shipped":
            try:
                upload(job.folder.parent, job.version, self._store)
            except NeuroCityError as error:
                failed = Outcome.failed(job, error, everywhere=isinstance(error, StorageError))
                return replace(failed, seconds=outcome.seconds)
        place = f"{self._store.url}/{job.model_name}/{job.version}"
        told = outcome.error.replace(str(job.folder), place).replace(str(self.folder), self._store.url)
        return replace(outcome, error=told, place=place)
