"""Fixtures of exported repositories, one export for the whole test session."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_field import TinyField

from neurocity.cameras import Camera, look_at
from neurocity.checkpoint import FORMAT_VERSION, Checkpoint
from neurocity.contract import SceneInfo, to_dict
from neurocity.instant_ngp.core import InstantNGP, InstantNGPConfig

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
    config = ExportConfig(
        name="tiny", out=repository, formats=format_names(), rays_per_call=2048, profile_seconds=0
    )
    result = export_model(tiny_checkpoint(), config)
    assert not result.errors, result.errors
    return repository


@pytest.fixture(scope="session")
def ngp_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Instant-NGP, random weights in a hollow ball of cells, as `neurocity train` saves it."""
    config = InstantNGPConfig(
        scene_bounds=TINY_BOUNDS,
        num_levels=3,
        log2_hashmap_size=10,
        base_resolution=4,
        finest_resolution=32,
        hidden_dim=16,
        occupancy_resolution=16,
        march_steps=64,
    )
    torch.manual_seed(0)
    model = InstantNGP(config)
    for name, parameter in model.named_parameters():
        if name.startswith("encoding"):
            torch.nn.init.normal_(parameter, std=1.0)
    radius = (torch.cartesian_prod(*[torch.arange(16) + 0.5] * 3) / 8 - 0.8).norm(dim=1)
    model.occupancy.set_occupied((radius > 0.4) & (radius < 0.8))
    content = {
        "state_dict": {f"model.{name}": tensor for name, tensor in model.state_dict().items()},
        "global_step": 7,
        "hyper_parameters": {
            "format_version": FORMAT_VERSION,
            "family": "instant_ngp",
            "model_config": asdict(config),
            "lightning_config": {},
            "scene": to_dict(tiny_info()),
            "metrics": {"val/psnr": 10.0},
        },
    }
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    torch.save(content, path)
    return path


@pytest.fixture(scope="session")
def ngp_repository(ngp_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with `ngp_checkpoint` as the scene `ngp`, in ONNX and TorchScript."""
    from export.cli import main  # noqa: PLC0415

    repository = tmp_path_factory.mktemp("models")
    command = [str(ngp_checkpoint), "--out", str(repository), "--name", "ngp", "--rays-per-call", "2048"]
    command += ["--profile-seconds", "0"]
    assert main(command) == 0
    return repository
