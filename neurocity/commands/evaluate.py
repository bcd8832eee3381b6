"""`neurocity evaluate`."""

import json
import time
from typing import Any

import torch

from neurocity.checkpoint import load_checkpoint
from neurocity.cli import Evaluate
from neurocity.commands.remarks import print_remarks
from neurocity.data.datasets import Views
from neurocity.data.load import load_scene
from neurocity.device import check_device
from neurocity.errors import DataError
from neurocity.training.metrics import image_metrics
from neurocity.training.views import on_device, render_view


def run(arguments: Evaluate) -> None:
    """Print the report as JSON. Raises CheckpointError, DataError and MissingDependencyError."""
    check_device(arguments.device)
    checkpoint = load_checkpoint(arguments.checkpoint, arguments.device)
    scene = load_scene(arguments.data, downscale=arguments.downscale, missing=arguments.missing)
    print_remarks(scene)
    model, views = checkpoint.model, Views(scene.held_out)
    if not len(views):
        raise DataError(f"{arguments.data}: has no val or test frames to evaluate on")
    rows: list[dict[str, Any]] = []
    for index in range(len(views)):
        view = on_device(views[index], arguments.device)
        began = time.perf_counter()
        image, truth = (picture.cpu() for picture in render_view(model, view, checkpoint.info.background))
        seconds = time.perf_counter() - began
        rows.append({"view": view["name"], **image_metrics(image, truth), "seconds": seconds})
    # LPIPS is left out of views that are too small for it.
    names = [name for name in rows[0] if name != "view" and all(name in row for row in rows)]
    mean = {name: sum(row[name] for row in rows) / len(rows) for name in names}
    seconds_per_frame = mean.pop("seconds")
    report = {
        "checkpoint_sha256": checkpoint.sha256,
        "family": checkpoint.family,
        "step": checkpoint.step,
        "device": arguments.device,
        "threads": torch.get_num_threads(),
        **mean,
        "seconds_per_frame": seconds_per_frame,
        "views": rows,
    }
    print(json.dumps(report, indent=2))
