"""Putting models into a model repository: entirely or not at all.

    <repository>/<model>/config.pbtxt, warmup/
    <repository>/<model>/<version>/<artefact>, manifest.json, report.md

A model is built in a hidden folder beside the repository, on the same file system, and then takes its place
in one rename (or one exchange of two folders, where the model is there already). A reader sees the old model
or the new one, at every moment, whatever happens to the exporter. What a killed exporter leaves is the hidden
folder; the next export into the repository removes it.

Beside and not inside, because Triton takes every folder of a repository for a model and does not start when
one cannot be loaded. It is inside only where the repository is a mount point or its parent cannot be written.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from export.repository.exchange import exchange
from neurocity.errors import ExportError
from neurocity.model_repository import version_folders

CONFIG_FILE = "config.pbtxt"
"""What Triton reads of a model, beside its version folders."""


@contextmanager
def staging(repository: Path) -> Iterator[Path]:
    """A folder on the repository's file system to build a model in; it is gone afterwards.

    Raises ExportError when the repository cannot be written, or when anything done inside meets an error of
    the file system (such as a full disk).
    """
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with _locked(repository):
            place, prefix = staging_place(repository)
            _remove_abandoned(place, prefix)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
            owner = _lock(folder, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
            os.close(owner)
    except OSError as error:
        where = error.filename or repository
        raise ExportError(
            f"cannot write into the model repository {repository}: {error.strerror} ({where}); "
            "nothing was changed"
        ) from error


def staging_place(repository: Path) -> tuple[Path, str]:
    """The folder that staging folders of a repository stand in, and how their names begin."""
    repository = repository.resolve()
    beside = repository.parent
    if beside.stat().st_dev == repository.stat().st_dev and os.access(beside, os.W_OK):
        return beside, f".{repository.name}.staging-"
    return repository, ".staging-"


def refuse_overwrite(repository: Path, model: str, version: int, *, force: bool) -> None:
    """Raises ExportError when that version exists and `force` is not given."""
    if (repository / model / str(version)).exists() and not force:
        raise ExportError(
            f"{repository / model} has a version {version} already; "
            f"--force replaces it, --version {latest_version(repository, model) + 1} adds one"
        )


def latest_version(repository: Path, model: str) -> int:
    """The highest version of a model, 0 when it has none."""
    return max((int(folder.name) for folder in version_folders(repository / model)), default=0)


def publish(staged: Path, repository: Path, *, force: bool) -> None:
    """Puts the staged model folder, which holds one version, in place once the disk has all of it.

    Other versions of the model stay. The staged configuration is dropped in favour of the present one where
    a higher version than the staged one is there, since Triton serves the highest.
    Raises ExportError as `refuse_overwrite` does; OSError is left to `staging`.
    """
    (version,) = (entry for entry in staged.iterdir() if entry.name.isdecimal())
    target = repository / staged.name
    with _locked(repository):
        refuse_overwrite(repository, staged.name, int(version.name), force=force)
        replaces = target.exists()
        if replaces:
            superseded = latest_version(repository, staged.name) > int(version.name)
            if superseded and (target / CONFIG_FILE).exists():
                (staged / CONFIG_FILE).unlink()
            _carry_over(target, staged)
        for path in (*staged.rglob("*"), staged):
            _sync(path)
        if replaces:
            exchange(staged, target)
        else:
            staged.rename(target)
        _sync(repository)


def _carry_over(target: Path, staged: Path) -> None:
    """Links what only the present model has: other versions, files put there by hand."""
    for entry in target.iterdir():
        copy = staged / entry.name
        if entry.is_dir() and not entry.name.isdecimal() and copy.exists():
            _carry_over(entry, copy)  # rays of warm-ups: each version has its own
        elif copy.exists():
            continue
        elif entry.is_dir():
            shutil.copytree(entry, copy, copy_function=_link)
        else:
            _link(entry, copy)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(folder: Path, kind: int) -> int:
    """An advisory lock on a folder, held until the returned handle is closed or its process ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, kind)
    except OSError:
        os.close(handle)
        raise
    return handle


@contextmanager
def _locked(repository: Path) -> Iterator[None]:
    handle = _lock(repository, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def remove_abandoned(repository: Path) -> None:
    """Removes what exporters that were killed have left of their work for a repository. Raises OSError."""
    if repository.is_dir():
        with _locked(repository):
            _remove_abandoned(*staging_place(repository))


def _remove_abandoned(place: Path, prefix: str) -> None:
    """Removes staging folders whose exporter is gone: their lock is free."""
    for folder in place.iterdir():
        if not folder.name.startswith(prefix):
            continue
        with suppress(BlockingIOError):
            os.close(_lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
            shutil.rmtree(folder)
