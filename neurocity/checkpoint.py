"""Training checkpoints as files, without Lightning: written whole, and opened for rendering and export.

A checkpoint is a Lightning `.ckpt` whose hyper-parameters are plain data:
`{format_version, family, model_config, lightning_config, scene, metrics}`. Its weights are the averaged (EMA)
ones where training kept an average.
"""

import io
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from neurocity.contract import SceneInfo, file_sha256, scene_info_from_dict, to_dict
from neurocity.errors import CheckpointError, ConfigError, ManifestError, TrainingError
from neurocity.families import find_family
from neurocity.family import RenderModel

FORMAT_VERSION = 1
_REQUIRED = ("format_version", "family", "model_config", "scene", "metrics")
_PREFIX = "model."


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """An opened checkpoint.

    model: the family's module in eval mode, float32.
    step: optimiser steps taken. sha256: of the file.
    """

    family: str
    model: RenderModel
    model_config: Any
    info: SceneInfo
    step: int
    sha256: str


def load_checkpoint(path: str | Path, device: str = "cpu") -> Checkpoint:
    """Open a checkpoint that `neurocity train` wrote.

    Raises CheckpointError when the file is missing, truncated, not a NeuroCity checkpoint, from a future
    version, of an unknown family, or when its weights do not fit its configuration.
    """
    path = Path(path)
    content = read_content(path)
    record = content["hyper_parameters"]
    try:
        family = find_family(record["family"])
        config = family.config_class()(**record["model_config"])
        info = scene_info_from_dict(record["scene"])
        model = family.model_class()(config)
    except (ConfigError, ManifestError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its configuration cannot be used: {error}") from error
    weights = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in content["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights do not fit its configuration: {error}") from None
    return Checkpoint(
        family=family.name,
        model=model.float().eval().requires_grad_(False).to(device),
        model_config=config,
        info=info,
        step=int(content.get("global_step", 0)),
        sha256=file_sha256(path),
    )


def read_content(path: Path) -> dict[str, Any]:
    """The checkpoint's dictionary, checked to be one of ours. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on foreign bytes the unpickler raises whatever its steps run into
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint ({path.stat().st_size} bytes; truncated, or not written "
            f"by neurocity train): {reason}"
        ) from None
    record = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(record, dict) or not isinstance(content.get("state_dict"), dict):
        raise CheckpointError(
            f"{path}: is not a NeuroCity checkpoint (it has no hyper-parameters and weights)"
        )
    version = record.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: checkpoint format {version} is newer than this release reads ({FORMAT_VERSION}); "
            "update neurocity"
        )
    if missing := [key for key in _REQUIRED if key not in record]:
        raise CheckpointError(f"{path}: is not a NeuroCity checkpoint (it lacks {', '.join(missing)})")
    if not isinstance(version, int) or not isinstance(record["metrics"], dict):
        raise CheckpointError(
            f"{path}: is not a NeuroCity checkpoint (format_version is {version!r}, metrics are "
            f"{record['metrics']!r}; expected a whole number, and figures by name)"
        )
    return content


def hyper_parameters(
    family: str, model_config: Any, lightning_config: Any, scene: SceneInfo | None
) -> dict[str, Any]:
    """What a checkpoint says of its model and training beside the weights; metrics come with validation."""
    return {
        "format_version": FORMAT_VERSION,
        "family": family,
        "model_config": asdict(model_config),
        "lightning_config": asdict(replace(lightning_config, model_config=None)),
        "scene": None if scene is None else to_dict(scene),
        "metrics": {},
    }


def write_content(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint's dictionary: `path` is the former file or the new one, never a part.

    Raises TrainingError when the file cannot be written, for want of space or of permission.
    """
    # In memory first: torch ends the process when a file that it writes itself cannot take more.
    stream = io.BytesIO()
    torch.save(content, stream)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(stream.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        megabytes = stream.getbuffer().nbytes / 1e6
        raise TrainingError(
            f"{path}: a checkpoint of {megabytes:.1f} MB cannot be written ({error.strerror}); what was "
            "saved before is intact. Make room, and resume from it"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
