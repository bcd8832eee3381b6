"""The state of a training run in its checkpoints, and where two of them differ."""

from pathlib import Path
from typing import Any

import torch


def differences(one: Any, two: Any, where: str = "") -> list[str]:
    """Places at which two checkpoints differ."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, two) else [where]
    if isinstance(one, dict):
        if one.keys() != two.keys():
            return [f"{where}: {sorted(map(str, one.keys() ^ two.keys()))}"]
        return [place for key in one for place in differences(one[key], two[key], f"{where}.{key}")]
    if isinstance(one, list | tuple):
        return [
            place
            for index, pair in enumerate(zip(one, two, strict=True))
            for place in differences(*pair, f"{where}[{index}]")
        ]
    return [] if one == two else [f"{where}: {one} and {two}"]


def state(path: Path) -> dict[str, Any]:
    """What decides on how training goes on, and what it has learned."""
    content = torch.load(path, weights_only=True)
    keys = (
        "state_dict",
        "current_model_state",
        "averaging_state",
        "optimizer_states",
        "lr_schedulers",
        "global_step",
        "rays_per_batch",
        "seen_weights",
    )
    return {key: content[key] for key in keys if key in content}


def checkpoint_of(run: Path, step: int) -> Path:
    (path,) = (run / "checkpoints").glob(f"step-{step:06d}-*.ckpt")
    return path
