"""Putting a model into object storage: a version is there when its manifest is, which is written last.

Objects have no folders to exchange, so a version that is there stays as it is: another one gets another
number. What an upload that was broken off has left is no version, and the next one writes over it.
"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from export.repository.publish import CONFIG_FILE
from neurocity.contract import MANIFEST_FILE
from neurocity.errors import ExportError, StorageError
from neurocity.object_store import ObjectStore


def stored_versions(store: ObjectStore, model: str) -> set[int]:
    """The versions of a model that are there. Raises StorageError."""
    return _versions(store.objects(model))


def refuse_stored(store: ObjectStore, model: str, version: int) -> None:
    """Raises ExportError when that version is there, and StorageError."""
    versions = stored_versions(store, model)
    if version in versions:
        raise ExportError(
            f"{store.url}/{model} has a version {version} already, and versions in object storage are not "
            f"replaced; --version {max(versions) + 1} adds one"
        )


def upload(model: Path, version: int, store: ObjectStore) -> None:
    """Puts the model folder, which holds that version, into object storage.

    Its configuration stays out where a higher version is there, since Triton serves the highest. Raises
    ExportError as `refuse_stored`, and StorageError when a file cannot be written or did not arrive whole;
    the version is not there then.
    """
    refuse_stored(store, model.name, version)
    repository, manifest = model.parent, model / str(version) / MANIFEST_FILE
    superseded = max(stored_versions(store, model.name), default=0) > version
    left_out = {manifest, model / CONFIG_FILE} if superseded else {manifest}
    files = sorted(file for file in model.rglob("*") if file.is_file() and file not in left_out)
    sizes = {file.relative_to(repository).as_posix(): file.stat().st_size for file in files}
    for name in sizes:
        store.upload(repository / name, name)
    arrived = store.objects(model.name)
    for name, size in sizes.items():
        got = arrived[name].bytes if name in arrived else 0
        if got != size:
            raise StorageError(f"{store.url}/{name}: {got} bytes of {size} have arrived; export again")
    store.upload(manifest, manifest.relative_to(repository).as_posix())


def download(store: ObjectStore, model: str, version: int, repository: Path) -> None:
    """Writes a version with all its files into a folder on this machine. Raises StorageError."""
    for name in store.objects(f"{model}/{version}"):
        file = repository / name
        if ".." in PurePosixPath(name).parts:
            raise StorageError(f"{store.url}/{name}: is no name of a file")
        file.parent.mkdir(parents=True, exist_ok=True)
        store.download(name, file)


def _versions(names: Collection[str]) -> set[int]:
    """The numbers that have a manifest, of names of a model's objects."""
    parts = (PurePosixPath(name).parts for name in names)
    return {int(part[1]) for part in parts if part[2:] == (MANIFEST_FILE,) and part[1].isdecimal()}
