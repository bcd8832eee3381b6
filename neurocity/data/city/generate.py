"""A whole dataset from a CityConfig."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.city.build import build_city
from neurocity.data.city.camera_path import Shot, plan_shots, split_shots
from neurocity.data.city.config import CityConfig
from neurocity.data.city.layout import plan_city
from neurocity.data.city.materials import Materials
from neurocity.data.city.render import CityRenderer, Photograph
from neurocity.data.city.sky import Sky
from neurocity.data.city.writer import dataset_folder, write_photograph, write_points, write_transforms

THREADS_MAX = 8


def generate_city(
    out_dir: Path,
    config: CityConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Photograph a procedural city into `out_dir`, a nerfstudio dataset (see `write_transforms`).

    progress: called with (views done, views in all), from 0 on. overwrite: replace a city that stands there.
    Raises DataError when `out_dir` holds anything else.
    """
    with dataset_folder(out_dir, overwrite=overwrite) as folder:
        layout = plan_city(config.seed, config.blocks)
        sky = Sky.from_degrees(config.sun_azimuth_degrees, config.sun_elevation_degrees, salt=config.seed)
        materials = Materials(layout, sky)
        mesh, styles = build_city(layout, materials.ground.terrain_radius, config.seed)
        top = float((mesh.corner + np.maximum(mesh.edge_u, 0) + np.maximum(mesh.edge_v, 0))[:, 2].max())
        splits = split_shots(plan_shots(config, layout, top), config.held_out_every)
        shots = [shot for part in splits.values() for shot in part]
        if progress is not None:
            progress(0, len(shots))
        renderer = CityRenderer(mesh, styles, materials, sky)
        train = {shot.name for shot in splits["train"]}
        points_per_view = -(-config.sparse_points // len(train))
        points, colors = [], []
        for done, (shot, photograph) in enumerate(_photographs(renderer, shots, config), start=1):
            write_photograph(folder, shot, photograph)
            if shot.name in train:
                rng = np.random.default_rng((config.seed, done))
                seen, seen_colors = _surface_points(rng, shot.camera, photograph, points_per_view)
                points.append(seen)
                colors.append(seen_colors)
            if progress is not None:
                progress(done, len(shots))
        bounds = layout.bounds
        write_points(
            folder,
            np.concatenate(points)[: config.sparse_points],
            np.concatenate(colors)[: config.sparse_points],
        )
        aabb = ([bounds.x0, bounds.y0, -0.5], [bounds.x1, bounds.y1, top + 0.5])
        write_transforms(folder, splits, aabb=aabb, seed=config.seed)


def _photographs(
    renderer: CityRenderer, shots: list[Shot], config: CityConfig
) -> Iterator[tuple[Shot, Photograph]]:
    """The views in order, rendered by as many threads as there are processors."""
    threads = min(len(os.sched_getaffinity(0)), THREADS_MAX)
    with ThreadPoolExecutor(threads) as pool:
        yield from zip(
            shots,
            pool.map(lambda shot: renderer.photograph(shot.camera, config.samples_per_axis), shots),
            strict=True,
        )


def _surface_points(
    rng: np.random.Generator, camera: Camera, photograph: Photograph, count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """Up to `count` random pixels of a view that show a surface, as world points with their colours."""
    depth = photograph.depth.reshape(-1)
    visible = np.flatnonzero(depth)
    chosen = rng.choice(visible, size=min(count, len(visible)), replace=False)
    directions = camera.camera_directions()[chosen]
    in_camera = directions * (depth[chosen] / -directions[:, 2])[:, None]
    points = camera.position + in_camera @ camera.camera_to_world[:3, :3].T
    return points, photograph.image.reshape(-1, 3)[chosen]
