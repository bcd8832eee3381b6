"""Reads a model repository: what stands in it, and whether it is what was shipped.

    <repository>/<scene>_<format>/<version>/manifest.json, and beside it the artefact that it describes

Export, gateway and every command that looks into a repository read it here. Standard library only.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from neurocity.contract import MANIFEST_FILE, ArtefactFile, SceneManifest, file_sha256, manifest_from_json
from neurocity.errors import ManifestError, UnreadableError


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version folder and its manifest."""

    path: Path
    manifest: SceneManifest

    @property
    def artefact(self) -> Path:
        """The artefact's file."""
        return self.path / self.manifest.artefact.name

    @property
    def engine(self) -> ArtefactFile | None:
        """The file that was built from the artefact for one library and its devices, where there is one."""
        engine = self.manifest.engine
        if not engine:
            return None
        return ArtefactFile(name=engine["file"], sha256=engine["sha256"], bytes=engine["bytes"])

    @property
    def files(self) -> tuple[ArtefactFile, ...]:
        """Every file that the manifest names: the artefact's, its engine, and the golden files."""
        files = [self.manifest.artefact, *self.manifest.files, self.engine]
        if golden := self.manifest.golden:
            files.append(golden.rays)
            files += [file for view in golden.views for file in (view.image, view.arrays)]
        return tuple(file for file in files if file is not None)

    def problem(self, file: ArtefactFile) -> str:
        """What is wrong with a file that the manifest names: its size or SHA-256; empty when it is whole."""
        try:
            return self._difference(file)
        except UnreadableError as error:
            return str(error)

    def _difference(self, file: ArtefactFile) -> str:
        """As `problem`; raises UnreadableError where the file cannot be read."""
        path = self.path / file.name
        if not is_below(file.name):
            return f"{file.name}: is not a place in the version folder"
        try:
            size = path.stat().st_size
            if size != file.bytes:
                return f"{file.name}: has {size} bytes, its manifest says {file.bytes}"
            digest = file_sha256(path)
        except OSError as error:
            raise UnreadableError(f"{file.name}: cannot be read ({error.strerror})") from None
        if digest == file.sha256:
            return ""
        return f"{file.name}: has SHA-256 {digest}, its manifest says {file.sha256}"

    def verify(self, file: ArtefactFile) -> Path:
        """The path of a file that the manifest names. Raises ManifestError unless it is as it was shipped;
        that is an UnreadableError where it cannot be read.
        """
        try:
            problem = self._difference(file)
        except UnreadableError as error:
            raise UnreadableError(f"{self.path}: {error}") from None
        if problem:
            raise ManifestError(f"{self.path}: {problem}; export the scene again")
        return self.path / file.name

    def require_whole(self) -> None:
        """Raises ManifestError that lists every file that is absent or not the one that was shipped."""
        if broken := [f"  {problem}" for problem in map(self.problem, self.files) if problem]:
            count = f"{len(broken)} of {len(self.files)} files are broken"
            raise ManifestError("\n".join([f"{self.path}: {count}", *broken]))


def models(repository: Path) -> list[Path]:
    """The folders of the models of a repository, by name; hidden ones are work in progress.

    Raises ManifestError when the repository is not a folder.
    """
    if not repository.is_dir():
        raise ManifestError(f"model repository {repository} is not a folder")
    return sorted(
        entry for entry in repository.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def version_folders(model: Path) -> list[Path]:
    """The version folders (1, 2, ...) of a model, oldest first; none where there is no such folder."""
    entries = model.iterdir() if model.is_dir() else iter(())
    numbered = [entry for entry in entries if entry.name.isdecimal() and entry.is_dir()]
    return sorted(numbered, key=lambda entry: int(entry.name))


def newest_version_folder(folder: Path) -> Path:
    """The newest version of a model's folder; the folder itself when it is a version.

    Raises ManifestError when it is neither.
    """
    if (folder / MANIFEST_FILE).is_file():
        return folder
    if versions := version_folders(folder):
        return versions[-1]
    raise ManifestError(
        f"{folder}: has neither a {MANIFEST_FILE} nor version folders (1, 2, ...); expected "
        "<repository>/<model> or <repository>/<model>/<version>"
    )


def is_below(name: str) -> bool:
    """Whether a name, with slashes between its parts, is a place below the folder that it belongs to."""
    parts = PurePosixPath(name)
    return not parts.is_absolute() and ".." not in parts.parts


def open_version(folder: Path) -> Version:
    """A version folder whose manifest describes it.

    Raises ManifestError when the manifest is missing, malformed, or of another place; that is an
    UnreadableError where it cannot be read.
    """
    file = folder / MANIFEST_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"{file}: cannot be read ({error}); export the scene again") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}: cannot be read ({error}); export the scene again") from None
    manifest = manifest_from_json(text, str(file))
    described = (manifest.model_name, str(manifest.version))
    # Repositories are also made of links, whose own names or those of what they lead to are the model's.
    places = folder.absolute(), folder.resolve()
    if described not in [(place.parent.name, place.name) for place in places]:
        raise ManifestError(
            f"{file}: describes {'/'.join(described)}, which is not where it stands; a folder keeps the "
            "names of its model and version"
        )
    version = Version(path=folder, manifest=manifest)
    for named in filter(None, (manifest.artefact, version.engine)):
        if named.name != Path(named.name).name:
            raise ManifestError(f"{file}: names the file {named.name!r}, expected one of its own folder")
    return version


def require_size(version: Version) -> None:
    """Refuse what is still being written, or was cut off. Its SHA-256 is looked at when it is opened.

    Raises UnreadableError when the artefact cannot be read, and ManifestError when it has another size.
    """
    expected = version.manifest.artefact
    try:
        size = version.artefact.stat().st_size
    except OSError as error:
        raise UnreadableError(f"{version.artefact}: cannot be read ({error.strerror})") from None
    if size != expected.bytes:
        raise ManifestError(f"{version.artefact}: has {size} bytes, its manifest says {expected.bytes}")
