"""A trained city against its held-out photographs, near borders between blocks and inside of them.

Beside the composed city stand its coarse model alone, and checkpoints that are given, such as one undivided
model of the same photographs. A pixel's zone is that of the place which the composed city shows there, so
that all are measured on the same pixels.

python -m benchmarks.city_borders district --checkpoints undivided/checkpoints/last.ckpt
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.machine import facts
from export.city.proof import SquaredErrors, zones
from neurocity.cameras import Rays
from neurocity.checkpoint import load_checkpoint
from neurocity.city.manifest import read_city
from neurocity.city.renderer import CityRenderer
from neurocity.city_training.job import run_folder
from neurocity.city_training.options import COARSE
from neurocity.city_training.record import read_record
from neurocity.data.load import load_scene
from neurocity.light import Light, over_background
from neurocity.rendering.views import render_rays

ZONES = ("everything", "borders", "inside")
MEMORY_BYTES = 2**31


@dataclass(frozen=True)
class Arguments:
    """Compare a city with photographs."""

    city: Annotated[Path, tyro.conf.Positional]
    """Folder of a city that was exported."""
    checkpoints: tuple[Path, ...] = ()
    """Models of the same photographs, to stand beside it."""
    data: Path | None = None
    """Folder of the photographs, where it is another one than was planned on."""


def main(arguments: Arguments) -> None:
    """Print the table."""
    city = read_city(arguments.city)
    scene = load_scene(arguments.data or city.data, unbounded=city.unbounded, origin=city.origin)
    record = read_record(run_folder(arguments.city, COARSE))
    assert record is not None, "a city that was exported has it"
    composed = CityRenderer(arguments.city, MEMORY_BYTES)

    def of_city(rays: Rays) -> Light:
        found = composed.render(rays)
        assert found is not None, "nothing stops it"
        return found.light

    models: dict[str, Callable[[Rays], Light]] = {"composed": of_city}
    models["coarse alone"] = _of_checkpoint(arguments.city / record.checkpoint)
    models |= {str(path): _of_checkpoint(path) for path in arguments.checkpoints}
    background = load_checkpoint(arguments.city / record.checkpoint).info.background
    errors = {name: (SquaredErrors(), SquaredErrors(), SquaredErrors()) for name in models}
    for frame in scene.held_out:
        rays = frame.camera.rays()
        pixels = frame.load_image().reshape(-1, 4).astype(np.float32) / 255
        truth = over_background(pixels[:, :3] * pixels[:, 3:], pixels[:, 3], background)
        masks: list[np.ndarray] = []
        for name, render in models.items():
            light = render(rays)
            if not masks:
                places = rays.origins + rays.directions * light.depth[:, None]
                shown = (light.opacity > 0.5) & (pixels[:, 3] > 0.5)
                inside, border = zones(city, places)
                masks = [np.ones(len(rays), bool), border & shown, inside & shown]
            squares = np.square(over_background(light.rgb, light.opacity, background) - truth).mean(1)
            for zone, mask in zip(errors[name], masks, strict=True):
                zone.add(squares[mask])
    table = Table(title=f"{city.name}: PSNR of {len(scene.held_out)} held-out photographs, dB; {facts()}")
    for heading in ("model", *ZONES, "borders - inside"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name, of_zones in errors.items():
        figures = [zone.decibels for zone in of_zones]
        difference = figures[1] - figures[2]
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), f"{difference:+.2f}")
    Console(width=140).print(table)


def _of_checkpoint(path: Path) -> Callable[[Rays], Light]:
    model = load_checkpoint(path).model

    def render(rays: Rays) -> Light:
        planes = render_rays(model, *map(torch.from_numpy, rays.arrays()))
        return Light(*(plane.numpy() for plane in planes))

    return render


if __name__ == "__main__":
    main(tyro.cli(Arguments, config=(tyro.conf.FlagCreatePairsOff,)))
