"""Reads a model repository: `<scene>_<format>/<version>/manifest.json` beside the artefact it describes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neurocity.contract import MANIFEST_FILE, SceneManifest, file_sha256, manifest_from_json
from neurocity.errors import EngineError, ManifestError


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """One exported file and its manifest."""

    manifest: SceneManifest
    path: Path


def find_artefacts(repository: Path, format_name: str, precision: str) -> dict[str, Artefact]:
    """Scene name -> its newest artefact of that format and precision, size and SHA-256 verified.

    Raises EngineError when the folder or any scene in it lacks such an artefact, and ManifestError when a
    manifest is missing, malformed, or not true of its place or its artefact.
    """
    newest = _newest_artefacts(repository)
    wanted = (format_name, precision)
    for scene, artefacts in newest.items():
        if wanted not in artefacts:
            found = ", ".join(" ".join(kind) for kind in sorted(artefacts))
            raise EngineError(
                f"scene {scene!r} has {found} in {repository}, this engine opens {format_name} {precision}: "
                f"export it with `neurocity-export CHECKPOINT --out {repository} --name {scene} "
                f"--formats {format_name} --precision {precision}`, or choose another --engine or --precision"
            )
    chosen = {scene: artefacts[wanted] for scene, artefacts in sorted(newest.items())}
    for artefact in chosen.values():
        _verify(artefact)
    return chosen


def _newest_artefacts(repository: Path) -> dict[str, dict[tuple[str, str], Artefact]]:
    """Scene name -> format and precision -> the artefact with the highest version number."""
    if not repository.is_dir():
        raise EngineError(f"model repository {repository} is not a folder; give another one by --repository")
    newest: dict[str, dict[tuple[str, str], Artefact]] = {}
    for folder in sorted(repository.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            *_, last = _versions(folder)
            artefact = _read(last)
            kind = (artefact.manifest.format, artefact.manifest.precision)
            newest.setdefault(artefact.manifest.scene, {})[kind] = artefact
    if not newest:
        raise EngineError(
            f"model repository {repository} holds no scene; export one with "
            f"`neurocity-export CHECKPOINT --out {repository} --name NAME`"
        )
    return newest


def _versions(folder: Path) -> Iterator[Path]:
    """The version folders of a model, oldest first; raises ManifestError when there is none."""
    versions = [path for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()]
    if not versions:
        raise ManifestError(f"{folder} has no version folder (1, 2, ...); export it again or move it away")
    yield from sorted(versions, key=lambda path: int(path.name))


def _read(version: Path) -> Artefact:
    """The artefact of a version folder, its manifest compared with where it stands."""
    file = version / MANIFEST_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: cannot be read ({error}); export the scene again") from None
    manifest = manifest_from_json(text, str(file))
    if (manifest.model_name, str(manifest.version)) != (version.parent.name, version.name):
        raise ManifestError(
            f"{file}: describes {manifest.model_name}/{manifest.version}, which is not where it stands; "
            "export the scene again instead of renaming folders"
        )
    name = manifest.artefact.name
    if name != Path(name).name:
        raise ManifestError(f"{file}: artefact.name is {name!r}, expected a file name")
    return Artefact(manifest=manifest, path=version / name)


def _verify(artefact: Artefact) -> None:
    """Raise ManifestError unless the file has the size and SHA-256 that its manifest says."""
    expected = artefact.manifest.artefact
    try:
        size = artefact.path.stat().st_size
        if size == expected.bytes:
            digest = file_sha256(artefact.path)
    except OSError as error:
        raise ManifestError(f"{artefact.path}: cannot be read ({error}); export the scene again") from None
    if size != expected.bytes:
        raise ManifestError(f"{artefact.path}: has {size} bytes, its manifest says {expected.bytes}")
    if digest != expected.sha256:
        raise ManifestError(f"{artefact.path}: has SHA-256 {digest}, its manifest says {expected.sha256}")
