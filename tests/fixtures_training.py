"""Fixtures of a small scene and of an Instant-NGP trained on it, once for the whole test run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sphere_photographs import write_photographs

from neurocity.data.load import load_scene

TINY_MODEL: dict[str, Any] = {
    "scene_bounds": (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5),
    "num_levels": 4,
    "log2_hashmap_size": 12,
    "base_resolution": 8,
    "finest_resolution": 48,
    "hidden_dim": 32,
    "occupancy_resolution": 32,
    "march_steps": 96,
}
TINY_TRAINING: dict[str, Any] = {
    "samples_per_batch": 8192,
    "steps_per_epoch": 60,
    "occupancy_interval": 8,
    "occupancy_warmup": 24,
    "ema_decay": 0.9,
}


def train_instant_ngp(
    data: Path,
    out: Path,
    *,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    threads: int = 1,
    callbacks: Sequence[Any] = (),
    **options: Any,
) -> Path:
    """Train on `data` with the tiny configurations, some fields changed; returns the last checkpoint.

    Steps are too small to gain from several threads, which wait for each other where the machine is busy.
    """
    import torch  # noqa: PLC0415, torch and Lightning only where a test trains

    from neurocity.families import find_family  # noqa: PLC0415
    from neurocity.training.options import RunOptions  # noqa: PLC0415
    from neurocity.training.run import train  # noqa: PLC0415

    family = find_family("instant_ngp")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return train(
            family,
            load_scene(data),
            family.config_class()(**{**TINY_MODEL, **(model or {})}),
            config=family.lightning_config_class()(**{**TINY_TRAINING, **(training or {})}),
            options=RunOptions(**{"out": out, "device": "cpu", "progress": "none", **options}),
            callbacks=callbacks,
        )
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sphere(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Folder of the photographs of a sphere."""
    return made_once("sphere", write_photographs)


@pytest.fixture(scope="session")
def trained_run(sphere: Path, made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Folder of a run of 240 steps on the sphere, with a validation every 60."""
    return made_once("trained_run", lambda out: train_instant_ngp(sphere, out, max_steps=240))
