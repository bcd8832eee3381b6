"""A picture of what models make of held-out photographs: photograph, render and error, a row a checkpoint.

python -m benchmarks.side_by_side CHECKPOINT ... --data DIR --out FILE.png
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from PIL import Image, ImageDraw, ImageFont

from benchmarks.machine import facts
from neurocity.checkpoint import Checkpoint, load_checkpoint
from neurocity.data.datasets import Views
from neurocity.data.load import load_scene
from neurocity.light import to_bytes
from neurocity.training.metrics import image_metrics
from neurocity.training.views import render_view

GAP, HEADING = 8, 24
BRIGHTER = 4.0
"""Absolute errors are shown so many times as large; white is a quarter of full scale then."""


@dataclass(frozen=True)
class Arguments:
    """Draw photograph, render and error of held-out views."""

    checkpoints: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Checkpoints of `neurocity train`, a row each."""
    data: Path
    """Folder of the dataset."""
    out: Path
    """Picture to write."""
    views: tuple[int, ...] = (0,)
    """Numbers of the held-out views, side by side."""


def main() -> None:
    """Write the picture, and print PSNR and SSIM of its views and of all."""
    arguments = tyro.cli(Arguments, description=__doc__)
    checkpoints = [load_checkpoint(path) for path in arguments.checkpoints]
    print(f"{facts()}; {arguments.data.name}\n")
    print("| family | steps | PSNR of held-out views, dB | SSIM | of those shown |\n|---|---|---|---|---|")
    rows = [draw_row(checkpoint, arguments) for checkpoint in checkpoints]
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(arguments.out)


def draw_row(checkpoint: Checkpoint, arguments: Arguments) -> Image.Image:
    """The row of a checkpoint; prints its line of the table."""
    views = Views(load_scene(arguments.data, origin=checkpoint.info.origin).held_out)
    background = checkpoint.info.background
    figures, pictures = [], []
    for index in range(len(views)):
        image, truth = render_view(checkpoint.model, views[index], background)
        figures.append(image_metrics(image, truth))
        if index in arguments.views:
            error = BRIGHTER * (image - truth).abs().mean(-1, keepdim=True).expand_as(image)
            pictures += [picture.clamp(0.0, 1.0) for picture in (truth, image, error)]
    mean = {name: float(np.mean([each[name] for each in figures])) for name in ("psnr", "ssim")}
    shown = " ".join(f"{figures[index]['psnr']:.2f}" for index in arguments.views)
    print(
        f"| {checkpoint.family} | {checkpoint.step:,} | {mean['psnr']:.2f} | {mean['ssim']:.3f} | {shown} |",
        flush=True,
    )
    return _labelled(pictures, f"{checkpoint.family}   {mean['psnr']:.2f} dB, SSIM {mean['ssim']:.3f}")


def _labelled(pictures: list[torch.Tensor], label: str) -> Image.Image:
    """Pictures [H, W, 3] in a row, under a label."""
    arrays = [to_bytes(picture.numpy()) for picture in pictures]
    width = sum(array.shape[1] + GAP for array in arrays) - GAP
    row = Image.new("RGB", (width, HEADING + max(len(array) for array in arrays) + GAP), "white")
    ImageDraw.Draw(row).text((0, 2), label, "black", ImageFont.load_default(15))
    left = 0
    for array in arrays:
        row.paste(Image.fromarray(array), (left, HEADING))
        left += array.shape[1] + GAP
    return row


if __name__ == "__main__":
    main()
