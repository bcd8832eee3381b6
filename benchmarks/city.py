"""Cost of a frame against the size of a city: a town of boxes in blocks, undivided and composed from files.

Blocks are added behind those that there are, so that the same view has more and more city in it. All towns
have the same root and voxels of the same size. Times are of processors, all threads together, which busy
neighbours change little.

python -m benchmarks.city
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.machine import facts
from benchmarks.native_models import write_native
from neurocity.cameras import Camera
from neurocity.city.renderer import CityRenderer
from neurocity.cli import main as neurocity
from neurocity.contract import SceneInfo
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.light import psnr
from neurocity.poses import look_at
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.native import scene_data

BLOCK = 64.0
"""Edge of a block, metres; a root has room for eight by eight."""
ROOT_BLOCKS = 8
TALLEST = 40.0
VIEWS = {
    # Up to the horizon: all blocks are in the picture.
    "far": ((-30.0, -30.0, 55.0), (70.0, 70.0, 0.0)),
    # Two by two blocks fill it.
    "near": ((55.0, 25.0, 75.0), (70.0, 70.0, 0.0)),
}
"""Eye and target of each."""


@dataclass(frozen=True)
class Arguments:
    """Measure frames of towns of several sizes."""

    sides: tuple[int, ...] = (2, 3, 6)
    """Blocks along a side of the town, 8 at most."""
    level: int = 10
    """Of voxels: the root, 512 m wide, is halved so many times."""
    width: int = 800
    height: int = 600
    repeats: int = 7
    """Frames that a figure is the median of, after one that does not count."""
    memory_bytes: int = 2**30
    """Of blocks."""


def town(side: int, level: int) -> SVRaster:
    """Ground and boxes over side x side blocks, of which the surfaces are voxels."""
    resolution = 2**level
    size = ROOT_BLOCKS * BLOCK / resolution
    across = round(side * BLOCK / size)
    generator = np.random.default_rng(0)
    heights = np.full((across, across), 2)
    colors = np.full((across, across, 3), 0.45)
    lot = round(16.0 / size)
    # In an order in which a larger town has the boxes of a smaller one.
    for i, j in sorted(np.ndindex(across // lot, across // lot), key=lambda place: (max(place), place)):
        spot = (slice(i * lot + lot // 5, (i + 1) * lot), slice(j * lot + lot // 5, (j + 1) * lot))
        heights[spot] = generator.integers(round(8.0 / size), round(TALLEST / size))
        colors[spot] = generator.uniform(0.1, 0.9, 3)
    around = np.pad(heights, 1, mode="edge")
    lowest = np.minimum.reduce([around[2:, 1:-1], around[:-2, 1:-1], around[1:-1, 2:], around[1:-1, :-2]])
    # Of each column the top, and what stands out over a neighbour.
    walls = np.arange(heights.max())
    cells = np.argwhere(
        (walls < heights[:, :, None]) & (walls >= np.minimum(lowest, heights - 1)[:, :, None])
    )
    box = (0.0, 0.0, 0.0) + (ROOT_BLOCKS * BLOCK,) * 3
    model = SVRaster(
        SVRasterConfig(scene_bounds=box, max_octree_levels=level, base_resolution=2, sh_degree=2)
    )
    model.set_voxels(torch.full((len(cells),), level), torch.from_numpy(cells))
    model.requires_grad_(False)
    model.density.fill_(2.0)
    shade = generator.uniform(0.8, 1.0, (len(cells), 1)) * (0.5 + 0.5 * size * cells[:, 2:] / TALLEST)
    shown = colors[cells[:, 0], cells[:, 1]] * shade
    model.sh0.copy_(torch.from_numpy((shown - 0.5) / 0.28209479))
    return model


def write_town(folder: Path, data: SceneData, side: int) -> Path:
    """The model as a native artefact, and as a city of blocks; the folder of the city."""
    edge = side * BLOCK
    info = SceneInfo(
        # As high as the root, so that it is taken for the whole of the model, which has no shells.
        bounds=(0.0, 0.0, 0.0, edge, edge, ROOT_BLOCKS * BLOCK),
        up=(0.0, 0.0, 1.0),
        background=(0.7, 0.8, 0.9),
        views=(),
        dataset_fingerprint="",
    )
    model = write_native(folder, "town", data, info)
    status = neurocity(["city", "cut", str(model), "--out", str(folder / "city"), "--block-size", str(BLOCK)])
    assert status == 0, "the town is cut"
    return folder / "city"


def measured(arguments: Arguments, side: int, table: Table) -> list[tuple[float, float]]:
    """Add a row for each view of a town; the processor seconds of its frames with level of detail, and the
    share of their rays that show the town.
    """
    data = scene_data(town(side, arguments.level), np.float16)
    whole = open_scene(data)
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        city = write_town(Path(folder), data, side)
        for view, (eye, target) in VIEWS.items():
            pose = look_at(eye, target, (0.0, 0.0, 1.0))
            camera = Camera.from_fov_y(pose, arguments.width, arguments.height, 60.0)
            rays = camera.rays()
            renderer = CityRenderer(city, arguments.memory_bytes)
            begin = time.process_time()
            detail = renderer.picture(camera).light.rgb.reshape(-1, 3)
            cold = time.process_time() - begin
            loaded, bytes_loaded = renderer.residency.counts.loads, renderer.residency.bytes
            exact, expected = renderer.render(rays), render_rays(whole, rays)
            assert exact is not None, "nothing stops it"
            assert expected is not None, "nothing stops it"
            tasks: list[Callable[[], object]] = [
                partial(render_rays, whole, rays),
                partial(renderer.render, rays),
                partial(renderer.picture, camera),
            ]
            seconds = [median(arguments.repeats, task) for task in tasks]
            shown = float((expected.opacity > 0.5).mean())
            table.add_row(
                view,
                str(side**2),
                f"{len(data.tensors['records']):,}",
                f"{shown:.0%}",
                *(f"{1e3 * each:.0f}" for each in seconds),
                f"{1e3 * cold:.0f}",
                f"{loaded}, {bytes_loaded / 2**20:.1f}",
                f"{psnr(exact.light.rgb, expected.rgb):.1f}",
                f"{psnr(detail, expected.rgb):.1f}",
            )
            costs.append((seconds[-1], shown))
    return costs


def median(repeats: int, task: Callable[[], object]) -> float:
    """Seconds of all processors in a call, after one that does not count."""
    task()
    taken = []
    for _ in range(repeats):
        begin = time.process_time()
        task()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


def main(arguments: Arguments) -> None:
    """Print a table, and how much a frame of the largest town costs against one of the smallest."""
    console = Console(width=150)
    table = Table(title=f"{arguments.width}x{arguments.height}, processor milliseconds of a frame; {facts()}")
    for column in (
        "view",
        "blocks",
        "voxels",
        "of the rays show it",
        "undivided",
        "composed",
        "with level of detail",
        "its first frame",
        "models loaded, MiB",
        "composed, dB",
        "level of detail, dB",
    ):
        table.add_column(column, justify="right")
    costs = [measured(arguments, side, table) for side in arguments.sides]
    console.print(table)
    for view, (least, few), (most, many) in zip(VIEWS, costs[0], costs[-1], strict=True):
        console.print(
            f"{view}, largest against smallest: {most / least:.2f} times; {many / few:.2f} times as many "
            "rays show the town"
        )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
