"""A whole dataset from a CityConfig."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.city.build import build_city
from neurocity.data.city.camera_path import Shot, plan_shots, split_shots
from neurocity.data.city.chance import chance
from neurocity.data.city.config import CityConfig
from neurocity.data.city.layout import plan_city
from neurocity.data.city.materials import Materials
from neurocity.data.city.render import CityRenderer, Photograph
from neurocity.data.city.sky import Sky
from neurocity.data.city.writer import dataset_folder, write_photograph, write_points, write_transforms

THREADS_MAX = 8

ColoredPoints = tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]


def generate_city(
    out_dir: Path,
    config: CityConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Photograph a procedural city into `out_dir`, a nerfstudio dataset (see `writer.write_transforms`).

    progress: called with (views done, views in all), from 0 on. overwrite: replace a city that stands there.
    Raises DataError when `out_dir` holds anything else, and ConfigError as `camera_path.plan_shots`.
    """
    with dataset_folder(out_dir, overwrite=overwrite) as folder:
        layout = plan_city(config.seed, config.blocks)
        sky = Sky.from_degrees(config.sun_azimuth_degrees, config.sun_elevation_degrees, salt=config.seed)
        materials = Materials(layout, sky)
        mesh, styles = build_city(layout, materials.ground.terrain_radius, config.seed)
        shots = plan_shots(config, layout, mesh.top)
        splits = split_shots(config, shots)
        if progress is not None:
            progress(0, len(shots))
        paved = layout.bounds
        aabb = ([paved.x0, paved.y0, -0.5], [paved.x1, paved.y1, mesh.top + 0.5])
        renderer = CityRenderer(mesh, styles, materials, sky=sky, cutout=aabb if config.cutout else None)
        train = {shot.name for shot in splits["train"]}
        share = -(-config.point_count // len(train))

        def take(index: int, shot: Shot) -> ColoredPoints:
            photograph = renderer.photograph(shot.camera, config.samples_per_axis)
            write_photograph(folder, shot, photograph)
            rng = chance(config.seed, "points", index)
            return _surface_points(rng, shot.camera, photograph, count=share if shot.name in train else 0)

        clouds: list[ColoredPoints] = []
        with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), THREADS_MAX)) as pool:
            for cloud in pool.map(take, range(len(shots)), shots):
                clouds.append(cloud)
                if progress is not None:
                    progress(len(clouds), len(shots))
        points, colors = (np.concatenate(parts)[: config.point_count] for parts in zip(*clouds, strict=True))
        write_points(folder, points, colors)
        write_transforms(folder, splits, aabb=aabb, seed=config.seed)


def _surface_points(
    rng: np.random.Generator, camera: Camera, photograph: Photograph, *, count: int
) -> ColoredPoints:
    """Up to `count` random pixels that show a surface, as world points [N, 3] with colours [N, 3]."""
    depth = photograph.depth.reshape(-1)
    visible = np.flatnonzero(depth)
    chosen = rng.choice(visible, size=min(count, len(visible)), replace=False)
    return camera.unproject(depth[chosen], chosen), photograph.image.reshape(len(depth), -1)[chosen, :3]
