"""Names of files as other programs, systems and archives write them.

What they may mean: with slashes, in Unicode, without percent signs, without the folders of another machine.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from neurocity.pose_files.text import printable

READ = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Extensions of pictures that are read."""

NOT_READ = (
    *(".heic", ".heif", ".avif", ".jxl", ".exr", ".hdr"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".raw"),
)
"""Extensions of pictures that cameras and renderers write and that have to be converted."""

_ENCODINGS = ("gb18030", "cp949", "shift_jis", "big5", "cp1252")
"""What names that are not UTF-8 are tried in, in this order; one counts when its name is there."""

OF_IMAGES = ("images", "image", "imgs", "img", "rgb", "color", "input", "photos", "masks")
"""Folders that say nothing of which images lie in them."""

_SHOWN = 5


def plain_name(name: str) -> str:
    """A relative name with slashes and without `./`, as which names are compared."""
    return "/".join(path_parts(name.replace("\\", "/")))


def quoted(names: Sequence[str], shown: int = 3) -> str:
    """The first names in quotes, and how many more there are."""
    text = ", ".join(repr(printable(name)) for name in names[:shown])
    return text + (f" and {len(names) - shown} more" if len(names) > shown else "")


def name_key(name: str) -> str:
    """What names have in common that differ in case, or in how accents are composed (macOS)."""
    return unicodedata.normalize("NFC", name).casefold()


def name_stem(name: str) -> str:
    """What is left of a picture's name without its extension, as `name_key`; other names are whole."""
    key = name_key(name)
    stem, dot, extension = key.rpartition(".")
    return stem if dot + extension in READ + NOT_READ else key


def spellings(name: str) -> list[str]:
    """`name` as it may have been meant: with slashes, in another encoding, without percent signs."""
    possible = [name.replace("\\", "/")]
    if printable(name) != name:
        for encoding in _ENCODINGS:
            try:
                raw = name.encode("utf-8", "surrogateescape")
                possible.append(raw.decode(encoding).replace("\\", "/"))
            except UnicodeError:
                continue
    if "%" in name:
        possible.append(unquote(possible[0]))
    if possible[0] != possible[0].strip():
        possible.append(possible[0].strip())
    return possible


def path_parts(spelling: str) -> list[str]:
    """Folders and name of a path with slashes, without the letter of a drive."""
    parts = [part for part in re.sub(r"^[A-Za-z]:", "", spelling).split("/") if part not in ("", ".")]
    return parts or [spelling]


def places(bases: Sequence[Path], spelling: str) -> Iterator[tuple[Path, list[str]]]:
    """Where a file may lie: as the name says, or without its first folders, those of another machine.

    A folder is kept beside the file's name (`test/0.png` is not `0.png`), unless it is that of `base` or of
    any images, or the path is absolute.
    """
    parts = path_parts(spelling)
    absolute = is_absolute(spelling)
    for dropped in range(len(parts)):
        rest = parts[dropped:]
        for base in bases:
            before = name_key(parts[dropped - 1])
            if dropped == 0 or absolute or len(rest) > 1 or before in (name_key(base.name), *OF_IMAGES):
                yield base, rest


def is_absolute(spelling: str) -> bool:
    """Whether a path with slashes begins at a root, of whatever system."""
    return re.match(r"/|[A-Za-z]:", spelling) is not None


def some(names: Collection[str], kind: str) -> str:
    """The first of some names as an error lists them, and how many there are; empty without names."""
    if not names:
        return ""
    shown = ", ".join(map(printable, sorted(names)[:_SHOWN]))
    return shown + (f", ... ({len(names)} {kind})" if len(names) > _SHOWN else "")
