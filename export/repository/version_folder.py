"""A version folder as it stands on a disk: its manifest, its files, and whether they are what was shipped."""

from pathlib import Path, PurePosixPath
from typing import Any

from export.parity.tolerances import Tolerance
from export.repository.publish import latest_version
from neurocity.contract import (
    MANIFEST_FILE,
    ArtefactFile,
    Golden,
    SceneManifest,
    file_sha256,
    manifest_from_json,
)
from neurocity.errors import ManifestError


class VersionFolder:
    """An exported version, opened from its folder or, for the newest, from its model's folder.

    Raises ManifestError when there is none, when its manifest is malformed or of another place, and when it
    was exported before golden files were kept.
    """

    def __init__(self, folder: Path) -> None:
        self.path = _find(folder)
        file = self.path / MANIFEST_FILE
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{file}: cannot be read ({error}); export the scene again") from None
        self.manifest: SceneManifest = manifest_from_json(text, str(file))
        described = (self.manifest.model_name, str(self.manifest.version))
        place = self.path.resolve()
        if described != (place.parent.name, place.name):
            raise ManifestError(
                f"{file}: describes {'/'.join(described)}, which is not where it stands; a folder keeps the "
                "names of its model and version"
            )
        if self.manifest.golden is None:
            raise ManifestError(f"{file}: names no golden files to repeat the proof from; export again")
        self.golden: Golden = self.manifest.golden
        try:
            self.tolerance = Tolerance(**self.manifest.parity["tolerance"])
        except (KeyError, TypeError) as error:
            raise ManifestError(
                f"{file}: parity.tolerance is not that of this release ({error}); export again"
            ) from None

    @property
    def artefact(self) -> Path:
        """The artefact's file."""
        return self.path / self.manifest.artefact.name

    @property
    def files(self) -> tuple[ArtefactFile, ...]:
        """The artefact, its engine where one was built, and the golden files, as the manifest has them."""
        engine = self.manifest.engine
        engines = [ArtefactFile(name=engine["file"], **_part(engine))] if engine else []
        images = (view.image for view in self.golden.views)
        arrays = (view.arrays for view in self.golden.views if view.arrays is not None)
        return (self.manifest.artefact, *engines, self.golden.rays, *images, *arrays)

    def require_whole(self) -> None:
        """Raises ManifestError that lists every file that is absent or not the one that was shipped."""
        found = (self._what_is_wrong(file) for file in self.files)
        if broken := [f"  {line}" for line in found if line]:
            raise ManifestError(
                "\n".join([f"{self.path}: {len(broken)} of {len(self.files)} files are broken", *broken])
            )

    def read(self, file: ArtefactFile) -> bytes:
        """The contents of a file of this version."""
        return (self.path / file.name).read_bytes()

    def _what_is_wrong(self, file: ArtefactFile) -> str:
        parts = PurePosixPath(file.name)
        if parts.is_absolute() or ".." in parts.parts:
            return f"{file.name}: is not a place in the version folder"
        path = self.path / file.name
        try:
            size = path.stat().st_size
            if size != file.bytes:
                return f"{file.name}: has {size} bytes, expected {file.bytes}"
            digest = file_sha256(path)
        except OSError as error:
            return f"{file.name}: cannot be read ({error.strerror})"
        return "" if digest == file.sha256 else f"{file.name}: has SHA-256 {digest}, expected {file.sha256}"


def _part(engine: dict[str, Any]) -> dict[str, Any]:
    return {name: engine[name] for name in ("sha256", "bytes")}


def _find(folder: Path) -> Path:
    if (folder / MANIFEST_FILE).is_file():
        return folder
    if newest := latest_version(folder.parent, folder.name) if folder.is_dir() else 0:
        return folder / str(newest)
    raise ManifestError(
        f"{folder}: is neither a version folder (with a {MANIFEST_FILE}) nor a model folder (with versions "
        "1, 2, ...); neurocity-export writes <repository>/<model>/<version>"
    )
