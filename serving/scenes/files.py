"""Where the files of a model repository are: in a folder of this machine, or elsewhere."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from neurocity.contract import ArtefactFile
from neurocity.model_repository import Version
from serving.scenes.scan import Scan, scan


class Files(Protocol):
    """The files of a repository. Methods are called from one event loop.

    name: of the repository, for people. root: the folder that paths of a `Scan` are in.
    """

    name: str
    root: Path

    async def scan(self, before: Scan) -> Scan:
        """The repository now; what has not changed since `before` is taken from there.

        Raises ManifestError when it is not a folder, or cannot be read, and StorageError.
        """

    def at_hand(
        self, version: Version, files: Sequence[ArtefactFile] | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Inside the `async with` these files of a version are in `root`.

        By default those that it is loaded from.

        Entering raises ManifestError (a file is not what its manifest says), StorageError (it cannot be had
        now), EngineError (there is no room for it) and OSError.
        """

    async def close(self) -> None:
        """Release what is held; the files that are in use stay."""


class FolderFiles:
    """`Files` of a folder: they are there."""

    def __init__(self, root: Path) -> None:
        self.name, self.root = str(root), root

    async def scan(self, before: Scan) -> Scan:
        """See `Files.scan`."""
        return await asyncio.to_thread(scan, self.root, before)

    def at_hand(
        self,
        version: Version,  # noqa: ARG002
        files: Sequence[ArtefactFile] | None = None,  # noqa: ARG002
    ) -> AbstractAsyncContextManager[None]:
        """See `Files.at_hand`."""
        return nullcontext()

    async def close(self) -> None:
        """See `Files.close`."""
