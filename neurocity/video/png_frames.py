"""Films as PNG pictures, which lose nothing: in an archive, or in a folder."""

from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from neurocity.light import Bytes
from neurocity.pictures.png import encode_png

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of an archive's entries, so that equal films are equal bytes."""


class ZipWriter:
    """An archive whose entries 00000.png, 00001.png, ... are stored: PNG is compressed by itself."""

    def __init__(self, path: Path) -> None:
        self._archive = ZipFile(path, "w", ZIP_STORED)
        self._frames = 0

    def write(self, frame: Bytes) -> None:
        """See `FrameWriter`."""
        self._archive.writestr(ZipInfo(_name(self._frames), _EPOCH), encode_png(frame))
        self._frames += 1

    def finish(self) -> None:
        """See `FrameWriter`."""
        self._archive.close()

    def abandon(self) -> None:
        """See `FrameWriter`."""
        if self._archive.fp is not None:
            self._archive.fp.close()
            self._archive.fp = None


class FolderWriter:
    """A folder of 00000.png, 00001.png, ..."""

    def __init__(self, path: Path) -> None:
        self._folder = path
        self._frames = 0

    def write(self, frame: Bytes) -> None:
        """See `FrameWriter`."""
        (self._folder / _name(self._frames)).write_bytes(encode_png(frame))
        self._frames += 1

    def finish(self) -> None:
        """See `FrameWriter`."""

    def abandon(self) -> None:
        """See `FrameWriter`."""


def _name(number: int) -> str:
    return f"{number:05d}.png"
