"""Files of a dataset, found by names as other programs, systems and archives wrote them.

A name is tried as it is spelt, as it may have been meant (`neurocity.data.names`), in another case, with
another extension, and in `images_N/`. Each folder is listed once.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neurocity.data.names import (
    NOT_READ,
    OF_IMAGES,
    READ,
    name_key,
    name_stem,
    path_parts,
    places,
    some,
    spellings,
)
from neurocity.errors import DataError

_NO_IMAGES = re.compile(r"mask|depth|normal|seman|segm|label|alpha|thumb|sparse|^images?_\d+$")
"""What folders are called that have files named like the images."""


@dataclass(frozen=True)
class Found:
    """A file that stands for a name.

    name: the name as it is understood: with slashes, in Unicode.
    reduction: N when the file is from `images_N/` instead of `images/`, and so N times smaller.
    """

    path: Path
    name: str
    reduction: int = 1


@dataclass(eq=False)
class _Folder:
    """What lies in a folder; names by what is left of them without case, and without extension."""

    exists: bool = True
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    files_by_stem: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    folders_by_key: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class Files:
    """Finds files by name; remembers what lies in each folder it has looked into."""

    def __init__(self) -> None:
        self._listed: dict[Path, _Folder] = {}

    def find(self, bases: Sequence[Path], name: str, *, downscale: int = 1) -> Found | None:
        """The file that `name`, relative to one of `bases`, stands for; None when there is none.

        A file of `images_N/` counts when `downscale` is a multiple of N; the smallest file is taken.
        Raises DataError when several files answer to the name equally well.
        """
        for base in bases:
            if _is_file(base / name):
                return Found(base / name, name)
        for spelling in spellings(name):
            for base, parts in places(bases, spelling):
                if path := self._lookup(base, parts):
                    return Found(path, spelling)
        fitting = {n: found for n, found in self.reduced(bases, name).items() if downscale % n == 0}
        return fitting[max(fitting)] if fitting else None

    def reduced(self, bases: Sequence[Path], name: str) -> dict[int, Found]:
        """The files of `images_N/` that stand for `name` in `images/`, by N."""
        found: dict[int, Found] = {}
        for spelling in spellings(name):
            for base, parts in places(bases, spelling):
                for factor, folder, rest in self._reduced_folders(base, parts):
                    if factor not in found and (path := self._lookup(folder, rest)):
                        found[factor] = Found(path, spelling, factor)
        return found

    def find_elsewhere(self, bases: Sequence[Path], name: str) -> Found | None:
        """The picture in a folder below `bases` that `name` does not tell of; None when there is none.

        For a name without folder, or in a folder that is only called `images` or the like. Folders of masks,
        depth and the like do not count. Raises DataError when several folders have such a file.
        """
        for spelling in spellings(name):
            *folders, last = path_parts(spelling)
            if len(folders) > 1 or not all(name_key(folder) in OF_IMAGES for folder in folders):
                continue
            paths = {
                path: None
                for base in bases
                for folder in self.folders(base)
                if not _NO_IMAGES.search(name_key(folder)) and (path := self._lookup(base / folder, [last]))
            }
            if len(paths) > 1:
                raise DataError(
                    f"{bases[0] / spelling} is not there, and could be {' or '.join(map(str, paths))}; "
                    "write the one that is meant"
                )
            if paths:
                return Found(next(iter(paths)), spelling)
        return None

    def neighbours(self, bases: Sequence[Path], name: str) -> str:
        """What lies where `name` should, as the end of an error's sentence."""
        parts = path_parts(spellings(name)[0])
        for base in bases:
            folder = self._folder_at(base, parts[:-1])
            if folder is None:
                continue
            if parts[-1] in self._listing(folder).broken:
                return f"{parts[-1]} is a link to nothing"
            return self._contents(folder)
        return next((self._contents(base) for base in bases if self._listing(base).exists), "")

    def _contents(self, folder: Path) -> str:
        listing = self._listing(folder)
        held = [some(listing.files, "files"), some({f"{name}/" for name in listing.folders}, "folders")]
        return f"{folder} holds {' and '.join(filter(None, held)) or 'nothing'}"

    def find_in(self, folder: Path, name: str) -> Path | None:
        """The file `name` in `folder`, in whatever case and with whatever extension; None when there is none.

        Raises DataError when several answer to the name equally well.
        """
        return self._lookup(folder, [name])

    def pictures(self, folder: Path) -> list[Path]:
        """The files in `folder` that are named like pictures, sorted."""
        names = sorted(self._listing(folder).files)
        return [folder / name for name in names if name_key(Path(name).suffix) in READ]

    def folders(self, folder: Path) -> list[str]:
        """Names of the folders in `folder`, sorted."""
        return sorted(self._listing(folder).folders)

    def _lookup(self, base: Path, parts: Sequence[str]) -> Path | None:
        """The file at `parts` under `base`, exactly or as the one with that stem."""
        folder = self._folder_at(base, parts[:-1])
        if folder is None:
            return None
        listing, wanted = self._listing(folder), parts[-1]
        if wanted in listing.files:
            return folder / wanted
        same = set(listing.files_by_stem.get(name_stem(wanted), ()))
        same |= set(listing.files_by_stem.get(name_key(wanted), ()))
        for chosen in (
            {other for other in same if name_key(other) == name_key(wanted)},
            {other for other in same if name_key(Path(other).suffix) not in NOT_READ},
            same,
        ):
            if len(chosen) == 1:
                return folder / chosen.pop()
            if chosen:
                raise DataError(
                    f"{folder / wanted} is not there, and could be {' or '.join(sorted(chosen))}; "
                    "keep one of them, or write the one that is meant"
                )
        return None

    def _folder_at(self, base: Path, parts: Sequence[str]) -> Path | None:
        """The folder at `parts` under `base`, in another case if need be; None unless there is just one."""
        folder = base
        for part in parts:
            if part == "..":
                folder = folder.parent
                continue
            listing = self._listing(folder)
            names = [part] if part in listing.folders else listing.folders_by_key.get(name_key(part), [])
            if len(names) != 1:
                return None
            folder = folder / names[0]
        return folder if self._listing(folder).exists else None

    def _reduced_folders(self, base: Path, parts: Sequence[str]) -> Iterator[tuple[int, Path, Sequence[str]]]:
        """N, folder and what is below it, of each folder NAME_N that lies beside a folder NAME of `parts`."""
        # `base` itself may be `images`; another dataset beside this one is none of its folders.
        for index in range(-1 if name_key(base.name) in OF_IMAGES else 0, len(parts) - 1):
            parent = base.parent if index < 0 else self._folder_at(base, parts[:index])
            name = base.name if index < 0 else parts[index]
            if parent is None or not name:
                continue
            for folder in self.folders(parent):
                match = re.fullmatch(re.escape(name_key(name)) + r"_(\d+)", name_key(folder))
                if match and int(match[1]) > 1:
                    yield int(match[1]), parent / folder, parts[index + 1 :]

    def _listing(self, folder: Path) -> _Folder:
        if folder not in self._listed:
            self._listed[folder] = _list(folder)
        return self._listed[folder]


def _list(folder: Path) -> _Folder:
    listing = _Folder()
    try:
        entries = list(os.scandir(folder))
    except OSError:
        listing.exists = False
        return listing
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_dir():
            listing.folders.add(entry.name)
            listing.folders_by_key[name_key(entry.name)].append(entry.name)
        elif entry.is_file():
            listing.files.add(entry.name)
            listing.files_by_stem[name_stem(entry.name)].append(entry.name)
        else:
            listing.broken.add(entry.name)
    return listing


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False
