"""What an SVRaster model loses as Gaussians, by their size and by the size of pictures.

    python -m benchmarks.splat_loss RUN/checkpoints/last.ckpt

PSNR in dB of held-out views over the scene's background, drawn as splat viewers draw, against the model,
which the compiled kernels render. Pictures have the views' own number of pixels, and twice and four times as
many along each side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from export.job.source import open_checkpoint
from export.splat.of_voxels import DEVIATION, gaussians_of
from export.splat.painting import SplatPainter
from neurocity.cameras import Camera
from neurocity.light import Light, over_background, psnr
from neurocity.svraster.core import SVRaster


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint of SVRaster."""
    views: int = 2
    """Held-out views, from the first."""
    enlarged: tuple[int, ...] = (1, 2, 4)
    """How many times as many pixels along each side."""
    deviations: tuple[float, ...] = (0.35, 0.42, 0.45, 0.489)
    """Standard deviations of Gaussians for voxels of side 1."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each deviation."""
    parsed = tyro.cli(Arguments, args=arguments)
    checkpoint = open_checkpoint(parsed.checkpoint, None)
    model, info = checkpoint.model, checkpoint.info
    assert isinstance(model, SVRaster), "got another family"
    model.sky_enabled = False
    gaussians, _ = gaussians_of(model)
    print(f"{len(gaussians):,} Gaussians of {len(model.voxel_level):,} voxels, DEVIATION {DEVIATION}")
    cameras = [Camera.from_view(view) for view in info.views[: parsed.views]]
    views = {
        times: [
            camera.resized(times * camera.width, times * camera.height).to_view("view") for camera in cameras
        ]
        for times in parsed.enlarged
    }
    expected: dict[int, list[Light]] = {}
    with torch.inference_mode():
        for times, of_size in views.items():
            rays = [Camera.from_view(view).rays().arrays() for view in of_size]
            renders = [model(*map(torch.from_numpy, arrays)) for arrays in rays]
            expected[times] = [Light(*(part.numpy() for part in render)) for render in renders]
    print("deviation" + "".join(f"  {times}x" for times in parsed.enlarged) + "  dB")
    for deviation in parsed.deviations:
        size = np.float32(deviation / DEVIATION)
        painter = SplatPainter(replace(gaussians, deviations=gaussians.deviations * size))
        figures = []
        for times, of_size in views.items():
            pairs = zip(map(painter.paint, of_size), expected[times], strict=True)
            figures.append(
                np.mean(
                    [
                        psnr(*(over_background(light.rgb, light.opacity, info.background) for light in pair))
                        for pair in pairs
                    ]
                )
            )
        print(f"{deviation:<9g}" + "".join(f"  {figure:.2f}" for figure in figures))


if __name__ == "__main__":
    main()
