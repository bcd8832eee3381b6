"""Files as gzip, within a bound of bytes that holds for those that are being sent, too."""

import asyncio
import hashlib
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from neurocity.contract import ArtefactFile
from neurocity.errors import ManifestError

_LIMIT_BYTES = 128 * 2**20
_READ_BYTES = 2**16
"""Of a file at once; what these become is handed to the server at once."""
_GZIP = 31
"""What zlib calls a window of 32 KiB in the form of gzip."""


@dataclass(frozen=True, eq=False, weakref_slot=True, slots=True)
class CompressedFile:
    """The gzip bytes of a file, in pieces. Whoever sends it holds it until the last of them is sent."""

    pieces: tuple[bytes, ...]
    size: int


class CompressedFiles:
    """Compresses each file once, and keeps it while there is room. Used from one event loop.

    limit: bytes of all that are kept, are being sent, or are being made.
    """

    def __init__(self, limit: int = _LIMIT_BYTES) -> None:
        self._limit = limit
        self._kept = OrderedDict[str, CompressedFile]()
        self._there = WeakValueDictionary[str, CompressedFile]()  # kept, or held by who sends it
        self._under_way: dict[str, tuple[ArtefactFile, asyncio.Task[CompressedFile]]] = {}

    async def of(self, file: ArtefactFile, path: Path) -> CompressedFile | None:
        """A file as gzip, or None while there is no room for it; who asks meanwhile waits for the same work.

        Raises OSError where it cannot be read, and ManifestError where it is another one by now.
        """
        found = self._there.get(file.sha256)
        if found is None:
            if file.sha256 not in self._under_way:
                if not self._make_room(file.bytes):
                    return None
                task = asyncio.create_task(asyncio.to_thread(_compress, file, path))
                self._under_way[file.sha256] = file, task
                task.add_done_callback(lambda task: self._ended(file, task))
            found = await asyncio.shield(self._under_way[file.sha256][1])
        self._kept[file.sha256] = found  # again, where it was given up and is still being sent
        self._kept.move_to_end(file.sha256)
        return found

    def bytes(self) -> int:
        """Of all that are there, and at most of those that are being made."""
        made = sum(file.bytes for file, _ in self._under_way.values())
        return made + sum(file.size for file in self._there.values())

    def _make_room(self, size: int) -> bool:
        """Give up what was not asked for for longest; whether there is room then."""
        while self._kept and self.bytes() + size > self._limit:
            self._kept.popitem(last=False)
        return self.bytes() + size <= self._limit

    def _ended(self, file: ArtefactFile, task: "asyncio.Task[CompressedFile]") -> None:
        del self._under_way[file.sha256]
        if not task.cancelled() and task.exception() is None:
            self._there[file.sha256] = self._kept[file.sha256] = task.result()


def _compress(file: ArtefactFile, path: Path) -> CompressedFile:
    """Groups are gzip in base64: nothing repeats, and six of eight bits are the least that can be had.

    Huffman codes alone reach that, in a quarter of the time.
    """
    strategy = zlib.Z_HUFFMAN_ONLY if file.name.startswith("groups/") else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(wbits=_GZIP, memLevel=9, strategy=strategy)
    packed, digest = [], hashlib.sha256()
    with path.open("rb") as source:
        while read := source.read(_READ_BYTES):
            digest.update(read)
            packed.append(packer.compress(read))
    if digest.hexdigest() != file.sha256:
        raise ManifestError(f"{path}: has changed since it was found to be whole")
    pieces = tuple(filter(None, [*packed, packer.flush()]))
    return CompressedFile(pieces, sum(map(len, pieces)))
