"""Scenes that browsers draw themselves: folders of files in a repository, which are handed on as they are."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from neurocity.contract import MANIFEST_FILE, ArtefactFile, SceneManifest, file_sha256
from neurocity.errors import EngineUnavailableError, ManifestError, NeuroCityError
from neurocity.model_repository import Version
from serving.engines.base import WebOffer
from serving.scenes.compressed_files import CompressedFile, CompressedFiles
from serving.scenes.loaded import MAY_PASS
from serving.scenes.whole_files import WholeFiles

log = logging.getLogger("neurocity.serving")

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
}
"""Suffix -> media type of what is handed on; a folder may have more, as Triton wants it."""


class WebFileNotFoundError(NeuroCityError):
    """A scene has no web folder, or that has no such file."""


class WebFileBrokenError(NeuroCityError):
    """A file of a web folder is not what its manifest says, or cannot be had."""


@dataclass(frozen=True, kw_only=True)
class WebFolder:
    """One version of a scene as a folder that browsers draw.

    files: name, with `/` -> file; that is all that anybody can ask for.
    """

    offer: WebOffer
    files: dict[str, ArtefactFile]
    _whole: WholeFiles = field(default_factory=WholeFiles)

    @classmethod
    def of(cls, offer: WebOffer) -> "WebFolder":
        """Raises OSError where the manifest cannot be read. Blocks."""
        place, manifest = offer.version.path / MANIFEST_FILE, offer.version.manifest
        own = ArtefactFile(name=MANIFEST_FILE, sha256=file_sha256(place), bytes=place.stat().st_size)
        files = (manifest.artefact, *manifest.files, own)
        return cls(
            offer=offer, files={file.name: file for file in files if Path(file.name).suffix in MEDIA_TYPES}
        )

    @property
    def manifest(self) -> SceneManifest:
        """Its manifest."""
        return self.offer.version.manifest

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files.values())

    def file(self, name: str) -> ArtefactFile:
        """The file of that name. Raises WebFileNotFoundError that lists those that there are."""
        if name not in self.files:
            known = ", ".join(sorted(self.files))
            raise WebFileNotFoundError(f"got file {name[:128]!r} of the web folder, known: {known}")
        return self.files[name]

    @asynccontextmanager
    async def opened(self, file: ArtefactFile) -> AsyncIterator[tuple[Path, os.stat_result]]:
        """Inside the `async with`, where a file is that was found to be what it should be, and its state.

        Entering raises WebFileBrokenError (it is another one, or gone), EngineUnavailableError (it cannot be
        had now) and EngineError (there is no room for it).
        """
        version = self.offer.version
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.offer.at_hand([file]))
                stat = await asyncio.to_thread(_verified, self._whole, version, file)
            except MAY_PASS as error:
                raise EngineUnavailableError(f"{file.name}: {str(error) or type(error).__name__}") from error
            except ManifestError as error:
                raise WebFileBrokenError(str(error)) from error
            yield version.path / file.name, stat

    async def compressed(self, file: ArtefactFile, files: CompressedFiles) -> CompressedFile | None:
        """The file as gzip, or None while there is no room for it. Raises as entering `opened`."""
        async with self.opened(file) as (path, _):
            try:
                return await files.of(file, path)
            except ManifestError as error:
                raise WebFileBrokenError(str(error)) from error
            except OSError as error:
                raise EngineUnavailableError(f"{file.name}: {error}") from error


def _verified(whole: WholeFiles, version: Version, file: ArtefactFile) -> os.stat_result:
    """As `WholeFiles.verify`; raises WebFileBrokenError where there is no such file any more."""
    try:
        return whole.verify(version, file)
    except FileNotFoundError:
        raise WebFileBrokenError(f"{version.path}: {file.name}: is not there") from None


class WebFolders:
    """The web folders of a source: scene -> number of a version -> folder. Used from one event loop."""

    def __init__(self) -> None:
        self.compressed = CompressedFiles()
        self._folders: dict[str, dict[int, WebFolder]] = {}

    async def take(self, found: Mapping[str, Mapping[int, WebOffer]]) -> dict[str, str]:
        """Have these from now on; place -> why it cannot be handed on, of those that cannot."""
        folders: dict[str, dict[int, WebFolder]] = {}
        refused: dict[str, str] = {}
        for scene, offers in found.items():
            for number, offer in offers.items():
                known = self._folders.get(scene, {}).get(number)
                if known is None or known.offer.identity != offer.identity:
                    try:
                        known = await asyncio.to_thread(WebFolder.of, offer)
                    except OSError as error:
                        path = offer.version.path
                        refused[f"{path.parent.name}/{path.name}"] = f"cannot be read ({error.strerror})"
                        continue
                    log.info("scene %s: version %d for browsers", scene, number)
                folders.setdefault(scene, {})[number] = known
        self._folders = folders
        return refused

    def find(self, scene: str, version: int | None = None) -> WebFolder:
        """The newest web folder of a scene, or that version. Raises WebFileNotFoundError."""
        versions = self._folders.get(scene, {})
        if not versions:
            raise WebFileNotFoundError(
                f"scene {scene!r} has no web folder; "
                f"`neurocity-export CHECKPOINT --name {scene} --formats web` makes one"
            )
        number = max(versions) if version is None else version
        if number not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise WebFileNotFoundError(
                f"got version {version} of the web folder of {scene!r}, known: {known}"
            )
        return versions[number]

    def like(self, manifest: SceneManifest) -> WebFolder | None:
        """The newest web folder of the trained model of that artefact; None without one."""
        versions = self._folders.get(manifest.scene, {})
        same = [
            number
            for number, folder in versions.items()
            if folder.manifest.checkpoint_sha256 == manifest.checkpoint_sha256
        ]
        return versions[max(same)] if same else None
