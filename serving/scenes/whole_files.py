"""Files that were found to be what their manifest says: read once, and again when they have changed."""

import os
from pathlib import Path

from neurocity.contract import ArtefactFile
from neurocity.model_repository import Version


class WholeFiles:
    """Remembers which files were whole, and by what one sees that they are others now. For any thread."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, int, int]] = {}

    def verify(self, version: Version, file: ArtefactFile) -> os.stat_result:
        """What the system says of a whole file. Raises as `Version.verify`, and OSError. Blocks."""
        path = version.path / file.name
        stat = path.stat()  # before it is read: what changes meanwhile is seen the next time
        seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if self._seen.get(path) != seen:
            self._seen.pop(path, None)
            version.verify(file)
            self._seen[path] = seen
        return stat

    def keep(self, versions: set[Path]) -> None:
        """Forget the files of all versions but those in these folders."""
        for path in [*self._seen]:
            if not versions.intersection(path.parents):
                self._seen.pop(path, None)
