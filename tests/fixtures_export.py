"""Fixtures of exported repositories, one export for the whole test session."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_field import TinyField

from neurocity.cameras import Camera, look_at
from neurocity.checkpoint import Checkpoint
from neurocity.contract import SceneInfo

TINY_BOUNDS = (-1.0, -1.2, -0.8, 1.0, 0.9, 1.1)


def tiny_info(**changes: Any) -> SceneInfo:
    """A scene of `TINY_BOUNDS` with three held-out views of 16 x 14 pixels."""
    eyes = ((2.6, 0.4, 1.0), (-1.0, 2.4, 0.3), (0.3, -0.2, 2.9))
    views = tuple(
        Camera.from_fov_y(look_at(eye, (0, 0, 0), (0, 0, 1)), 16, 14, 45.0).to_view(f"r_{index}")
        for index, eye in enumerate(eyes)
    )
    info = SceneInfo(
        bounds=TINY_BOUNDS,
        up=(0.0, 0.0, 1.0),
        background=(1.0, 1.0, 1.0),
        views=views,
        dataset_fingerprint="0" * 64,
    )
    return replace(info, **changes)


def tiny_checkpoint(**changes: Any) -> Checkpoint:
    """A checkpoint of the tiny field, as `load_checkpoint` would return it."""
    checkpoint = Checkpoint(
        family="tiny",
        model=TinyField(TINY_BOUNDS),
        model_config=None,
        info=tiny_info(),
        metrics={},
        step=0,
        sha256="1" * 64,
    )
    return replace(checkpoint, **changes)


@pytest.fixture(scope="session")
def tiny_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the tiny scene in every format."""
    from export.config import ExportConfig  # noqa: PLC0415
    from export.pipeline import export_model  # noqa: PLC0415
    from export.registry import format_names  # noqa: PLC0415

    repository = tmp_path_factory.mktemp("repository")
    config = ExportConfig(name="tiny", out=repository, formats=format_names(), rays_per_call=2048)
    result = export_model(tiny_checkpoint(), config)
    assert not result.errors, result.errors
    return repository
