"""What the integrated encoding is worth: Mip-NeRF against an ablation that encodes frustums' means alone.

Both are trained for the same steps on the same rays of the images at full, 1/2, 1/4 and 1/8 resolution, with
pixels weighed by their areas (the multiscale setting of Barron et al. 2021, section 4.1), and judged on
held-out views at each of these resolutions. The first is also judged with cones as thin as those of the full
resolution, as whoever ignores the camera would render it.

python -m benchmarks.antialiasing --data DIR --steps 3000
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.machine import facts
from neurocity.data.datasets import TrainingRays, Views
from neurocity.data.load import load_scene
from neurocity.data.scene import Scene
from neurocity.mip_nerf.core import MipNeRF, MipNeRFConfig
from neurocity.mip_nerf.lightning_trainer import MipNeRFLightningConfig, train_mip_nerf_lightning
from neurocity.training.metrics import psnr
from neurocity.training.views import render_view

ENCODINGS = {"integrated": True, "of means": False}
THIN = "integrated, cones of 1/1"


@dataclass(frozen=True)
class Arguments:
    """Train with and without integration of the encoding, for equal steps."""

    data: Path
    """Folder of the dataset."""
    steps: int = 3000
    """Optimiser steps of each training."""
    scales: tuple[int, ...] = (1, 2, 4, 8)
    """Whole numbers by which image sizes are divided, for training and for judging."""
    views: int = 10
    """Held-out views to judge by, evenly chosen."""
    preset: str = "cpu"
    """Size of model and batches."""
    seed: int = 0
    """Seed of both trainings."""


def main() -> None:
    """Print the table."""
    arguments = tyro.cli(Arguments, description=__doc__)
    print(f"{facts()}; {arguments.data.name}, preset {arguments.preset}, {arguments.steps} steps\n")
    print(f"| encoding | {' | '.join(f'PSNR at 1/{scale}, dB' for scale in arguments.scales)} |")
    print("|---" * (1 + len(arguments.scales)) + "|", flush=True)
    for encoding, values in compare(arguments).items():
        print(f"| {encoding} | {' | '.join(f'{value:.2f}' for value in values)} |", flush=True)


def compare(arguments: Arguments) -> dict[str, list[float]]:
    """PSNR in dB at each scale, by encoding."""
    scenes = [load_scene(arguments.data, downscale=scale) for scale in arguments.scales]
    rays = TrainingRays(
        [frame for scene in scenes for frame in scene.splits["train"]],
        scene=scenes[0],
        seed=arguments.seed,
        batches=arguments.steps,
    )
    results = {}
    for encoding, integrated in ENCODINGS.items():
        model = _trained(arguments, rays, integrated)
        results[encoding] = [_quality(model, scene, arguments.views) for scene in scenes]
        if integrated:
            scaled = zip(scenes, arguments.scales, strict=True)
            results[THIN] = [_quality(model, scene, arguments.views, scale) for scene, scale in scaled]
    return results


def _trained(arguments: Arguments, rays: TrainingRays, integrated: bool) -> MipNeRF:
    scene = rays.scene
    assert scene is not None
    config = MipNeRFConfig.preset(arguments.preset, integrated=integrated)  # type: ignore[arg-type]
    training = MipNeRFLightningConfig.preset(
        arguments.preset,  # type: ignore[arg-type]
        seed=arguments.seed,
        weigh_by_area=True,
    )
    module = train_mip_nerf_lightning(
        model_config=config.for_scene(scene.bounds, scene.unbounded),
        lightning_config=training,
        train_dataset=rays,
        val_dataset=None,
        max_epochs=1,
        gpus=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    model: MipNeRF = module.model
    return model


def _quality(model: MipNeRF, scene: Scene, number: int, thinner: int = 1) -> float:
    """Mean PSNR over held-out views, on white where the images are cut out.

    thinner: what the cones' radii are divided by.
    """
    views = Views(scene.held_out[:: max(1, len(scene.held_out) // number)])
    background = None if scene.unbounded else (1.0, 1.0, 1.0)
    values = []
    for index in range(len(views)):
        view = views[index]
        view["ray_radii"] = view["ray_radii"] / thinner
        values.append(psnr(*render_view(model, view, background)))
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
