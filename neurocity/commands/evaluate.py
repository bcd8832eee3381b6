"""`neurocity evaluate`."""

import json
import time
from typing import Any

import torch

from neurocity.checkpoint import load_checkpoint
from neurocity.cli import Evaluate
from neurocity.commands.device import check_device
from neurocity.data.datasets import Views
from neurocity.data.load import load_scene
from neurocity.errors import DataError
from neurocity.rendering.views import over_background, render_rays
from neurocity.training.metrics import psnr, ssim


def run(arguments: Evaluate) -> None:
    """Print the report as JSON. Raises CheckpointError, DataError and MissingDependencyError."""
    check_device(arguments.device)
    checkpoint = load_checkpoint(arguments.checkpoint, arguments.device)
    scene = load_scene(arguments.data, downscale=arguments.downscale)
    views = Views(scene.held_out)
    if not len(views):
        raise DataError(f"{arguments.data}: has no val or test frames to evaluate on")
    background = checkpoint.info.background
    rows: list[dict[str, Any]] = []
    for index in range(len(views)):
        view = views[index]
        began = time.perf_counter()
        render = render_rays(
            checkpoint.model,
            view["ray_origins"].to(arguments.device),
            view["ray_directions"].to(arguments.device),
        )
        shape = (view["height"], view["width"], 3)
        image = over_background(render.rgb, render.opacity, background).view(shape).cpu()
        seconds = time.perf_counter() - began
        rgba = view["rgba"]
        truth = over_background(rgba[:, :3] * rgba[:, 3:], rgba[:, 3], background).view(shape)
        rows.append(
            {"view": view["name"], "psnr": psnr(image, truth), "ssim": ssim(image, truth), "seconds": seconds}
        )
    mean = {key: sum(row[key] for row in rows) / len(rows) for key in ("psnr", "ssim", "seconds")}
    report = {
        "checkpoint_sha256": checkpoint.sha256,
        "family": checkpoint.family,
        "step": checkpoint.step,
        "device": arguments.device,
        "threads": torch.get_num_threads(),
        "psnr": mean["psnr"],
        "ssim": mean["ssim"],
        "seconds_per_frame": mean["seconds"],
        "views": rows,
    }
    print(json.dumps(report, indent=2))
