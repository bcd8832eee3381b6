"""What a path is that has to do with exports: a checkpoint, an artefact, a version, a model or a repository.

Each function returns plain JSON data. Modules that need torch are imported for checkpoints and for artefacts
that are torch's own, not for ONNX or folders.
"""

import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.console import worst_figures
from export.format import Format
from export.registry import format_names, get_format
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
)


def inspect_path(path: Path) -> dict[str, Any]:
    """The description of a path; `kind` says what it is, `problem` what is wrong with it, if anything is.

    Raises ExportError when there is nothing that can be described, and CheckpointError, ManifestError and
    MissingDependencyError as the readers of files do.
    """
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
        return _artefact(path, target)
    if (path.parent / MANIFEST_FILE).is_file():
        return _version(path.parent)  # an engine, a report, a picture: nothing without the rest
    return _checkpoint(path)


def _folder(path: Path) -> dict[str, Any]:
    if (path / MANIFEST_FILE).is_file():
        return _version(path)
    if versions := _versions(path):
        return {"kind": "model", "path": str(path), "versions": [_version_or_problem(v) for v in versions]}
    models = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and _versions(entry)]
    if not models:
        raise ExportError(
            f"{path}: is neither a version folder (with a {MANIFEST_FILE}), nor a model folder (with "
            "versions 1, 2, ...), nor a repository of such"
        )
    found = [_version_or_problem(version) for model in models for version in _versions(model)]
    return {"kind": "repository", "path": str(path), "versions": found}


def _versions(model: Path) -> list[Path]:
    numbers = [entry for entry in model.iterdir() if entry.name.isdigit() and entry.is_dir()]
    return sorted(numbers, key=lambda entry: int(entry.name))


def _version_or_problem(folder: Path) -> dict[str, Any]:
    try:
        return _version(folder)
    except NeuroCityError as error:
        return {"kind": "version", "path": str(folder), "problem": str(error)}


def _version(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST_FILE
    try:
        manifest = manifest_from_json(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{file}: cannot be read ({error}); it is no version of neurocity-export"
        ) from None
    hashes = {manifest.artefact.name: manifest.artefact.sha256}
    if manifest.engine:
        hashes[manifest.engine["file"]] = manifest.engine["sha256"]
    problems = []
    for name, sha256 in hashes.items():
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif file_sha256(folder / name) != sha256:
            problems.append(f"{name} is damaged: its SHA-256 is not the manifest's")
    return {"kind": "version", "path": str(folder), **_manifest(manifest), "problem": "; ".join(problems)}


def _artefact(path: Path, target: Format) -> dict[str, Any]:
    try:
        signature = target.signature(path)
    except Exception as error:  # runtimes raise what they like on a file that is not theirs
        raise ExportError(f"{path}: cannot be read as {target.name}: {error}") from error
    found: dict[str, Any] = {"kind": "artefact", **_file(path), "format": target.name}
    try:
        found |= _manifest(manifest_from_json(target.read_manifest(path), f"the manifest inside {path}"))
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
        **_scene(info),
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
        if Path(target.file_name).suffix == path.suffix:
            return target if path.suffix != ".pt" or _is_program(path) else None
    if missing is not None and path.suffix != ".ckpt":
        raise missing
    return None


def _is_program(path: Path) -> bool:
    """Whether a zip archive of torch holds code, as TorchScript does; weights have the same ending."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _manifest(manifest: SceneManifest) -> dict[str, Any]:
    described: dict[str, Any] = {
        "scene": manifest.scene,
        "version": manifest.version,
        "family": manifest.family,
        "format": manifest.format,
        "precision": manifest.precision,
        "created": manifest.created,
        "artefact": asdict(manifest.artefact),
        "checkpoint_sha256": manifest.checkpoint_sha256,
        **_scene(manifest.info),
        "inputs": [to_dict(spec) for spec in manifest.inputs],
        "outputs": [to_dict(spec) for spec in manifest.outputs],
        "sample_budget": manifest.sample_budget,
        "rays_per_call": manifest.rays_per_call,
        "tools": manifest.tools,
    }
    if manifest.parity:
        described["parity"] = worst_figures(manifest) | {"checks_passed": manifest.parity["checks_passed"]}
    return described


def _scene(info: SceneInfo) -> dict[str, Any]:
    return {
        "bounds": list(info.bounds),
        "up": list(info.up),
        "background": None if info.background is None else list(info.background),
        "views": len(info.views),
        "dataset_fingerprint": info.dataset_fingerprint,
    }


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": file_sha256(path)}
