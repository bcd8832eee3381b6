"""What a place is that has to do with exports: a checkpoint, an artefact, a version, a model or a repository.

Descriptions are plain JSON data. Modules that need torch are imported for checkpoints and for artefacts
that are torch's own, not for ONNX or folders.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.format import Format
from export.formats.registry import format_names, get_format
from export.job.published import inspect_published
from export.repository.fetch import StoredVersion, stored
from export.repository.host import Host, is_host
from neurocity.contract import (
    MANIFEST_FILE,
    SceneInfo,
    SceneManifest,
    file_sha256,
    manifest_from_json,
    scene_info_from_dict,
    to_dict,
)
from neurocity.errors import (
    CheckpointError,
    ExportError,
    ManifestError,
    MissingDependencyError,
    NeuroCityError,
    StorageError,
)
from neurocity.model_repository import open_version, version_folders
from neurocity.object_store import is_url, shown

_OF_FILE = ("scene", "version", "family", "format", "precision", "created", "artefact", "checkpoint_sha256")
_OF_GRAPH = ("inputs", "outputs", "sample_budget", "rays_per_call", "tools")


def inspect_place(place: str) -> dict[str, Any]:
    """The description of a path or URL; `kind` says what it is, `problem` what is wrong, if anything is.

    Raises ExportError when there is nothing that can be described, CheckpointError, ManifestError and
    MissingDependencyError as the readers of files do, and of URLs ConfigError and StorageError.
    """
    if is_host(place) and (found := inspect_published(Host(place), describe_artefact)) is not None:
        return found
    if is_url(place):
        return _stored(place)
    path = Path(place)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise ExportError(
            f"{path}: no such file or folder; expected a checkpoint, an artefact, a version folder or a "
            "model repository"
        )
    if path.name == MANIFEST_FILE:
        return _version(path.parent)
    if (target := _format_of(path)) is not None:
        return describe_artefact(path, target)
    if (path.parent / MANIFEST_FILE).is_file():
        return _version(path.parent)  # an engine, a report, a picture: nothing without the rest
    return _checkpoint(path)


def _stored(url: str) -> dict[str, Any]:
    """The description of a version, a model or a repository in object storage. Raises as `stored`."""
    kind, versions = stored(url)
    if kind == "version":
        return _stored_version(versions[0])
    descriptions = list(map(_stored_version_or_problem, versions))
    return {"kind": kind, "path": shown(url), "versions": descriptions}


def _stored_version(version: StoredVersion) -> dict[str, Any]:
    with version.fetched() as folder:
        return _version(folder) | {"path": version.url}


def _stored_version_or_problem(version: StoredVersion) -> dict[str, Any]:
    try:
        return _stored_version(version)
    except StorageError:
        raise  # what is wrong with the storage is wrong with all
    except NeuroCityError as error:
        return _problem(version.url, error)


def _folder(path: Path) -> dict[str, Any]:
    """The description of a version, a model or a repository.

    Raises ExportError when the folder is none of them, and ManifestError as `open_version` does.
    """
    if (path / MANIFEST_FILE).is_file():
        return _version(path)
    kind, versions = "model", version_folders(path)
    if not versions:
        kind, models = "repository", sorted(path.iterdir())
        versions = [version for model in models for version in version_folders(model)]
    if not versions:
        raise ExportError(
            f"{path}: is neither a version folder (with a {MANIFEST_FILE}), nor a model folder (with "
            "versions 1, 2, ...), nor a repository of such"
        )
    return {"kind": kind, "path": str(path), "versions": list(map(_version_or_problem, versions))}


def _version(folder: Path) -> dict[str, Any]:
    """The description of a version; `problem` says which of its files are not what was shipped.

    Raises ManifestError as `open_version` does.
    """
    version = open_version(folder)
    problems = "; ".join(filter(None, map(version.problem, version.files)))
    return {
        "kind": "version",
        "path": str(folder),
        "bytes": version.manifest.bytes,
        **_describe_manifest(version.manifest),
        "problem": problems,
    }


def _version_or_problem(folder: Path) -> dict[str, Any]:
    try:
        return _version(folder)
    except NeuroCityError as error:
        return _problem(str(folder), error)


def _problem(place: str, error: NeuroCityError) -> dict[str, Any]:
    return {"kind": "version", "path": place, "problem": str(error)}


def describe_artefact(path: Path, target: Format) -> dict[str, Any]:
    """The description of an artefact's file. Raises ExportError when it is not one of that format."""
    try:
        signature = target.signature(path)
    except Exception as error:  # runtimes raise what they like on a file that is not theirs
        raise ExportError(f"{path}: cannot be read as {target.name}: {error}") from error
    found: dict[str, Any] = {"kind": "artefact", **_file(path), "format": target.name}
    try:
        inside = manifest_from_json(target.read_manifest(path), f"the manifest inside {path}")
        found |= _describe_manifest(inside)
        del found["artefact"]
    except ManifestError as error:
        found["problem"] = f"is not of neurocity-export: {error}"
    tensors = {"inputs": signature.inputs, "outputs": signature.outputs}
    return found | {name: [to_dict(spec) for spec in specs] for name, specs in tensors.items()}


def _checkpoint(path: Path) -> dict[str, Any]:
    from neurocity.checkpoint import read_content  # noqa: PLC0415, brings torch
    from neurocity.svraster.nvlabs_model_file import is_model_file, read_model_file  # noqa: PLC0415

    if is_model_file(path):
        model = read_model_file(path)
        half = model.inside / 2
        levels, counts = model.level.unique(return_counts=True)
        return {
            "kind": "SVRaster model of another program",
            **_file(path),
            "family": "svraster",
            "bounds": [c - half for c in model.center] + [c + half for c in model.center],
            "root_side": model.extent,
            "voxels": len(model.level),
            "voxels_by_level": dict(zip(levels.tolist(), counts.tolist(), strict=True)),
            "grid_points": len(model.density),
        }
    content = read_content(path)
    record, weights = content["hyper_parameters"], content["state_dict"]
    try:
        info = scene_info_from_dict(record["scene"])
    except ManifestError as error:
        raise CheckpointError(f"{path}: its scene cannot be used: {error}") from error
    return {
        "kind": "checkpoint",
        **_file(path),
        "family": record["family"],
        "step": int(content.get("global_step", 0)),
        "metrics": record["metrics"],
        **_describe_scene(info),
        "tensors": len(weights),
        "values": sum(tensor.numel() for tensor in weights.values()),
        "model_config": record["model_config"],
    }


def _format_of(path: Path) -> Format | None:
    """The format whose artefact the file is by its ending, None for what is a checkpoint.

    Raises MissingDependencyError when it may be one whose package is not installed.
    """
    missing: MissingDependencyError | None = None
    ending = path.suffix.removeprefix(".")
    # A format that is called like the ending goes first, so that ONNX imports no other's package.
    for name in sorted(format_names(), key=lambda name: (name != ending, name)):
        try:
            target = get_format(name)
        except MissingDependencyError as error:
            missing = error
            continue
        if target.is_artefact(path):
            return target
    if missing is not None and path.suffix != ".ckpt":
        raise missing
    return None


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _describe_manifest(manifest: SceneManifest) -> dict[str, Any]:
    """What a manifest says of an artefact, its scene and its proof."""
    data = to_dict(manifest)
    described = {name: data[name] for name in _OF_FILE} | _describe_scene(manifest.info)
    described |= {name: data[name] for name in _OF_GRAPH}
    if manifest.parity:
        described["parity"] = worst_figures(manifest) | {"checks_passed": manifest.parity["checks_passed"]}
    return described


def _describe_scene(info: SceneInfo) -> dict[str, Any]:
    return asdict(info) | {"views": len(info.views)}


def worst_figures(manifest: SceneManifest) -> dict[str, float]:
    """The figures of a verified artefact in its worst held-out view of any size, and its rays per second."""
    views = [*manifest.parity["views"], *manifest.parity.get("scales", ())]
    return {
        "psnr_db": min(view["psnr_db"] for view in views),
        "ssim": min(view["ssim"] for view in views),
        "rgb_error": max(view["rgb"] for view in views),
        "opacity_error": max(view["opacity"] for view in views),
        "rays_per_second": manifest.parity["rays_per_second"],
    }
