"""`--resume`: whether a version in the repository is what an export would make again."""

from pathlib import Path

from export.formats.registry import get_format
from export.job.config import ExportConfig
from export.repository.manifest import tool_versions
from neurocity.contract import MANIFEST_FILE, SceneManifest, file_sha256, manifest_from_json, model_name
from neurocity.errors import ExportError, ManifestError


def present_version(config: ExportConfig, checkpoint: Path) -> SceneManifest | None:
    """The manifest of the version of a one-format export if it need not be made again, None to make it.

    It need not when it comes from the same bytes of the checkpoint, with the same options and versions of
    tools, and its artefact has the SHA-256 that was written down. Another version in its place is replaced
    with `force`; without, raises ExportError that says what differs. Raises MissingDependencyError as
    `get_format` does.
    """
    (name,) = config.formats
    folder = config.out / model_name(config.name, name, config.precision) / str(config.version)
    if not folder.exists():
        return None
    target = get_format(name)
    try:
        manifest = manifest_from_json((folder / MANIFEST_FILE).read_text(), str(folder / MANIFEST_FILE))
        difference = _difference(manifest, config, checkpoint, tool_versions(target), folder)
    except (ManifestError, OSError) as error:
        manifest, difference = None, str(error)
    if not difference:
        return manifest
    if config.force:
        return None
    raise ExportError(
        f"{folder} is there already and is not what this export would make: {difference}; "
        "--force replaces it, --version adds another"
    )


def _difference(
    manifest: SceneManifest, config: ExportConfig, checkpoint: Path, tools: dict[str, str], folder: Path
) -> str:
    """What of a version is not as it would be made now, in words; empty when nothing is."""
    expected = {"checkpoint_sha256": file_sha256(checkpoint), "tools": tools, "options": config.recorded()}
    for field, wanted in expected.items():
        found = getattr(manifest, field)
        if found == wanted:
            continue
        if not isinstance(wanted, dict):
            return f"its {field} is {found}, this checkpoint's {wanted}"
        names = [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]
        return f"its {field} have " + ", ".join(
            f"{name} {found.get(name)!r} instead of {wanted.get(name)!r}" for name in names
        )
    artefact = folder / manifest.artefact.name
    if not artefact.is_file():
        return f"its {artefact.name} is missing"
    if file_sha256(artefact) != manifest.artefact.sha256:
        return f"its {artefact.name} is damaged (SHA-256 differs from the manifest's)"
    return ""
