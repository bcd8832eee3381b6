"""Held-out photographs against a city in blocks and an undivided model, near borders and away from them.

Which ground a pixel shows is known from the depth maps of the procedural city, not from the models.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.city.manifest import City
from neurocity.city.renderer import CityRenderer
from neurocity.data.scene import Frame, Scene
from neurocity.light import Light, over_background, psnr
from neurocity.model_repository import newest_version_folder, open_version
from neurocity.renderers.opening import open_renderer

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

EVERYTHING = 2**40
"""Bytes of memory that hold any city."""


@dataclass(frozen=True)
class Regions:
    """Pixels [H*W] that show ground less than a band away from a border between blocks, and ground further in
    one; what is in no block is in neither.
    """

    border: Mask
    inside: Mask


def border_distance(city: City, points: Array) -> Array:
    """How far points [N, 3] are on the ground from the next border between blocks.

    Infinite where a block has no neighbours, NaN for points in no block.
    """
    ground = city.ground
    number = np.full((ground.count + 2,) * 2, -1)
    for index, block in enumerate(city.blocks):
        for i, j in block.cells:
            number[i + 1, j + 1] = index
    unit = (points[:, list(ground.axes)] - [ground.low[axis] for axis in ground.axes]) / ground.cell_side
    cell = np.clip(np.floor(unit).astype(np.int64), -1, ground.count) + 1
    own = number[cell[:, 0], cell[:, 1]]
    nearest = np.full(len(points), math.inf)
    for axis in (0, 1):
        share = unit[:, axis] - np.floor(unit[:, axis])
        for step, away in ((-1, share), (1, 1.0 - share)):
            beside = np.clip(cell + step * np.eye(2, dtype=np.int64)[axis], 0, ground.count + 1)
            other = number[beside[:, 0], beside[:, 1]]
            between = (other >= 0) & (other != own)
            nearest = np.where(between, np.minimum(nearest, away * ground.cell_side), nearest)
    return np.where(own >= 0, nearest, math.nan)


def regions_of(city: City, scene: Scene, frame: Frame, band: float) -> Regions:
    """Of a photograph of a procedural city. band: width, in scene units."""
    depth = np.load(scene.root / "depths" / f"{Path(frame.name).stem}.npy").reshape(-1)
    away = np.where(depth > 0, border_distance(city, frame.camera.unproject(depth)), math.nan)
    return Regions(border=away < band, inside=away >= band)


def quality(scene: Scene, folder: Path, whole: Path, band: float) -> dict[str, Any]:
    """PSNR in dB of both, over all views that nothing was trained on, those of both splits.

    folder: of the city. whole: the undivided model, of a repository. band: as a share of a cell.
    """
    renderer = CityRenderer(folder, EVERYTHING)
    city = renderer.city
    width = band * city.ground.cell_side
    coarse = city.coarse.model
    assert coarse is not None, "the renderer has opened it"
    pictures: dict[str, Callable[[Camera], Light]] = {
        "city": lambda camera: renderer.picture(camera).light,
        "whole": open_renderer(whole, "cpu").render,
    }
    backgrounds = {
        "city": open_version(folder / coarse.folder).manifest.info.background,
        "whole": open_version(newest_version_folder(whole)).manifest.info.background,
    }
    rows: dict[str, list[dict[str, tuple[float, int]]]] = {name: [] for name in pictures}
    frames = [*scene.splits["val"], *scene.splits["test"]]
    for frame in frames:
        regions = regions_of(city, scene, frame, width)
        rgba = frame.load_image().astype(np.float32) / np.float32(255.0)
        for name, picture in pictures.items():
            light = picture(frame.camera)
            got = over_background(light.rgb, light.opacity, backgrounds[name])
            truth = over_background(rgba[..., :3] * rgba[..., 3:], rgba[..., 3], backgrounds[name])
            error = np.square(got.astype(np.float64) - truth).mean(-1).reshape(-1)
            rows[name].append(
                {
                    "border": (float(error[regions.border].sum()), int(regions.border.sum())),
                    "inside": (float(error[regions.inside].sum()), int(regions.inside.sum())),
                    "view": (psnr(got, truth), 1),
                }
            )
    return {
        "views": len(frames),
        "band": width,
        "border_pixels": sum(row["border"][1] for row in rows["city"]),
        "inside_pixels": sum(row["inside"][1] for row in rows["city"]),
        **{name: _figures(parts) for name, parts in rows.items()},
    }


def _figures(rows: list[Mapping[str, tuple[float, int]]]) -> dict[str, float]:
    """PSNR of all pixels of a region together, and the mean of whole views."""
    figures = {"view": float(np.mean([row["view"][0] for row in rows]))}
    for region in ("border", "inside"):
        total, count = (sum(row[region][part] for row in rows) for part in (0, 1))
        figures[region] = -10.0 * math.log10(max(total / count, 1e-20)) if count else math.nan
    return figures
