"""What stands where a job would put its version, and whether it may stay."""

from export.formats.registry import get_format
from export.job.job import Job
from export.job.manifest import tool_versions
from export.repository.publish import refuse_overwrite
from neurocity.contract import MANIFEST_FILE, SceneManifest, file_sha256, manifest_from_json
from neurocity.errors import ExportError, ManifestError


def present_version(job: Job) -> SceneManifest | None:
    """The manifest of the version that is there, if the job need not make it again; None to make it.

    It need not, with `resume`, when it comes from the same bytes of the checkpoint, with the same options and
    versions of tools, and its artefact has the SHA-256 that was written down. With `force` another version in
    its place is replaced; without, raises ExportError that says what differs. Raises MissingDependencyError
    as `get_format` does. Without `resume`, raises ExportError as `refuse_overwrite` does: publishing would
    refuse it too, after all the work.
    """
    if not job.resume:
        refuse_overwrite(job.out, job.model_name, job.version, force=job.force)
        return None
    if not job.folder.exists():
        return None
    tools = tool_versions(get_format(job.format))
    file = job.folder / MANIFEST_FILE
    try:
        manifest = manifest_from_json(file.read_text(), str(file))
        difference = _difference(manifest, job, tools)
    except (ManifestError, OSError) as error:
        manifest, difference = None, str(error)
    if not difference:
        return manifest
    if job.force:
        return None
    raise ExportError(
        f"{job.folder} is there already and is not what this export would make: {difference}; "
        "--force replaces it, --version adds another"
    )


def _difference(manifest: SceneManifest, job: Job, tools: dict[str, str]) -> str:
    """What of a version is not as it would be made now, in words; empty when nothing is."""
    expected = {"checkpoint_sha256": file_sha256(job.checkpoint), "tools": tools, "options": job.recorded()}
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
    for file in (manifest.artefact, *manifest.files):
        path = job.folder / file.name
        if not path.is_file():
            return f"its {file.name} is missing"
        if file_sha256(path) != file.sha256:
            return f"its {file.name} is damaged (SHA-256 differs from the manifest's)"
    return ""
