"""What stands in a model repository, folder by folder: one that is broken keeps no other away.

Folders are looked at again and again, so a version whose files have not changed is not read again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neurocity.errors import ManifestError, UnreadableError
from neurocity.model_repository import Version, models, open_version, require_size, version_folders
from serving.scenes.cities import UNKNOWN, CityFolder, Stamp, is_city, look_at_city


@dataclass(frozen=True)
class Folder:
    """A version folder at one moment. version: None where it is none; then `problem` says why.

    unread: whether that was not to be read now, and `version` is what it was before.
    """

    stamp: Stamp
    version: Version | None = None
    problem: str = ""
    unread: bool = False


@dataclass(frozen=True)
class Scan:
    """A repository at one moment.

    folders: path of a version folder -> what it is.
    cities: path of a city's folder -> what it is.
    others: path of a model's folder -> why it has no version.
    """

    folders: dict[Path, Folder] = field(default_factory=dict)
    cities: dict[Path, CityFolder] = field(default_factory=dict)
    others: dict[Path, str] = field(default_factory=dict)


def scan(repository: Path, before: Scan) -> Scan:
    """The repository now; what has not changed since `before` is taken from there. Blocks.

    One that is a city itself is that alone.
    Raises ManifestError when the repository is not a folder, or cannot be read.
    """
    found = Scan()
    try:
        entries = models(repository)
    except OSError as error:
        raise ManifestError(f"model repository {repository} cannot be read ({error.strerror})") from None
    for folder in filter(is_city, [repository] if is_city(repository) else entries):
        found.cities[folder] = look_at_city(folder, before.cities.get(folder))
    for model in [] if repository in found.cities else entries:
        if model in found.cities:
            continue
        try:
            folders = version_folders(model)
        except OSError as error:
            found.others[model] = f"cannot be read ({error.strerror})"
            continue
        if not folders:
            found.others[model] = "has no version folders (1, 2, ...)"
        for folder in folders:
            found.folders[folder] = _look(folder, before.folders.get(folder))
    return found


def _look(folder: Path, before: Folder | None) -> Folder:
    try:
        stamp = (str(folder.resolve()), *_stamps(folder))
    except FileNotFoundError as error:  # gone meanwhile
        return Folder(UNKNOWN, problem=f"cannot be read ({error.strerror})")
    except OSError as error:
        return unreadable(f"cannot be read ({error.strerror})", before)
    if before is not None and before.stamp == stamp and not before.unread:
        return before
    try:
        version = open_version(folder)
        require_size(version)
    except UnreadableError as error:
        return unreadable(str(error), before)
    except ManifestError as error:
        return Folder(stamp, problem=str(error))
    return Folder(stamp, version)


def unreadable(problem: str, before: Folder | None) -> Folder:
    """A folder that cannot be read now: what it was before stays. Its files need not change to be read."""
    if before is None or before.version is None:
        return Folder(UNKNOWN, problem=problem, unread=True)
    return Folder(before.stamp, before.version, problem, unread=True)


def _stamps(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    """The files of a folder and of those in it. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _stamps(Path(entry.path))
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:  # a link to nothing
                yield entry.path, 0, 0, 0
                continue
            yield entry.path, status.st_ino, status.st_size, status.st_mtime_ns
