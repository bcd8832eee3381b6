"""Fixtures of exported repositories, one export for the whole test run."""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_field import TinyField

from export.formats.registry import format_names
from neurocity.cameras import Camera
from neurocity.checkpoint import FORMAT_VERSION, Checkpoint
from neurocity.contract import SceneInfo, to_dict
from neurocity.instant_ngp.core import InstantNGP, InstantNGPConfig
from neurocity.poses import look_at

if TYPE_CHECKING:
    from export.job.outcome import Outcome

TINY_BOUNDS = (-1.0, -1.2, -0.8, 1.0, 0.9, 1.1)

OF_VOXELS = ("splat", "web")
"""Formats that take the voxels of SVRaster alone, and have tests of their own."""
FORMATS = tuple(name for name in format_names() if name not in OF_VOXELS)
"""Formats that take any model."""

MadeOnce = Callable[[str, Callable[[Path], object]], Path]
"""See the fixture `made_once`."""


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


def export_tiny(
    out: Path, format_name: str, *, checkpoint: Checkpoint | None = None, **options: Any
) -> "Outcome":
    """The outcome of a job in this process: the tiny checkpoint in a format, not profiled."""
    from export.job.job import Job  # noqa: PLC0415
    from export.job.run import run_job  # noqa: PLC0415

    job = Job(
        checkpoint=Path("tiny.ckpt"),
        out=out,
        format=format_name,
        **{"name": "tiny", "rays_per_call": 512, "profile_seconds": 0} | options,
    )
    return run_job(job, checkpoint=checkpoint or tiny_checkpoint())


@pytest.fixture(scope="session")
def tiny_repository(made_once: MadeOnce) -> Path:
    """A model repository with the tiny scene in every format."""

    def export(repository: Path, name: str) -> None:
        outcome = export_tiny(repository, name, rays_per_call=2048)
        assert not outcome.error, outcome.error

    # Two processes that need it at the same time begin at both ends, and wait for one format at most.
    backwards = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[-1] in "13579"
    parts = [
        made_once(f"tiny_{name}", partial(export, name=name)) for name in FORMATS[:: -1 if backwards else 1]
    ]

    def gather(repository: Path) -> None:
        for part in parts:
            shutil.copytree(part, repository, dirs_exist_ok=True)

    return made_once("tiny_repository", gather)


@pytest.fixture(scope="session")
def ngp_checkpoint(made_once: MadeOnce) -> Path:
    """A small Instant-NGP, random weights in a hollow ball of cells, as `neurocity train` saves it."""
    config = InstantNGPConfig(
        scene_bounds=TINY_BOUNDS,
        num_levels=2,
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
    return made_once("ngp_checkpoint", lambda folder: torch.save(content, folder / "last.ckpt")) / "last.ckpt"


@pytest.fixture(scope="session")
def ngp_repository(ngp_checkpoint: Path, made_once: MadeOnce) -> Path:
    """A model repository with `ngp_checkpoint` as the scene `ngp`, in ONNX and TorchScript."""

    def export(repository: Path) -> None:
        from export.cli import main  # noqa: PLC0415

        command = [str(ngp_checkpoint), "--out", str(repository), "--name", "ngp", "--rays-per-call", "2048"]
        assert main([*command, "--profile-seconds", "0"]) == 0

    return made_once("ngp_repository", export)
