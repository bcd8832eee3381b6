"""A small SVRaster whose values vary slowly, as those of scenes do, and its folder of the format web."""

from pathlib import Path

import torch
from fixtures_export import TINY_BOUNDS, export_tiny, tiny_checkpoint

from export.job.outcome import Outcome
from neurocity.checkpoint import Checkpoint
from neurocity.errors import MissingDependencyError
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.octree import grid_points


def ball_model(base_resolution: int = 16, sh_degree: int = 1) -> SVRaster:
    """A hollow ball that is soft at its rims, with colours that change with the place and the eye."""
    config = SVRasterConfig(
        scene_bounds=TINY_BOUNDS, base_resolution=base_resolution, sh_degree=sh_degree, depth_per_side=100.0
    )
    model = SVRaster(config).eval()
    places = (model.voxel_low + 0.5 / model.voxel_scale).t() - 0.5
    points = grid_points(model.voxel_level, model.voxel_cell)[1].float() / 2**16 - 0.5
    with torch.no_grad():
        model.density.copy_(-1.0 - 20.0 * (points.norm(dim=1) - 0.3).abs())
        model.sh0.copy_(2.0 * places)
        for number in range(model.shs.shape[1]):
            model.shs[:, number] = 0.3 * torch.roll(places, number, dims=1)
    return model


def ball_checkpoint() -> Checkpoint:
    """The ball as `load_checkpoint` would return it."""
    return tiny_checkpoint(family="svraster", model=ball_model())


def no_browser(*_: object, **__: object) -> None:
    """In place of `draw_in_chromium`."""
    raise MissingDependencyError("no browser is installed")


def export_ball(out: Path, format_name: str = "web", **options: object) -> Outcome:
    """The outcome of a job in this process."""
    return export_tiny(out, format_name, checkpoint=ball_checkpoint(), **options)
