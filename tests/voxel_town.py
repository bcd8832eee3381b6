"""A small town of solid boxes as an SVRaster model, smooth enough to be seen from afar."""

import numpy as np
import torch

from neurocity.svraster.core import SVRaster, SVRasterConfig

SIDE = 16.0
"""Of the town's cube, which begins at zero; z is up."""


def town(resolution: int = 128, seed: int = 0) -> SVRaster:
    """Ground and boxes, of which the surfaces are voxels; each box has a colour that fades upwards."""
    generator = np.random.default_rng(seed)
    heights = np.full((resolution, resolution), resolution // 16)
    colors = np.full((resolution, resolution, 3), 0.45)
    lot = resolution // 8
    for i in range(0, resolution, lot):
        for j in range(0, resolution, lot):
            spot = (slice(i + 1, i + lot - 1), slice(j + 1, j + lot - 1))
            heights[spot] = generator.integers(resolution // 8, resolution // 3)
            colors[spot] = generator.uniform(0.1, 0.9, 3)
    solid = np.arange(resolution) < heights[:, :, None]
    inner = np.zeros_like(solid)
    inner[1:-1, 1:-1, 1:-1] = (
        (solid[2:, 1:-1, 1:-1] & solid[:-2, 1:-1, 1:-1])
        & (solid[1:-1, 2:, 1:-1] & solid[1:-1, :-2, 1:-1])
        & (solid[1:-1, 1:-1, 2:] & solid[1:-1, 1:-1, :-2])
    )
    cells = np.argwhere(solid & ~inner)
    box = (0.0, 0.0, 0.0, SIDE, SIDE, SIDE)
    config = SVRasterConfig(scene_bounds=box, max_octree_levels=10, base_resolution=2, sh_degree=1)
    model = SVRaster(config).requires_grad_(False)
    level = torch.full((len(cells),), resolution.bit_length() - 1)
    model.set_voxels(level, torch.from_numpy(cells))
    model.requires_grad_(False)
    model.density.fill_(2.0)
    shown = colors[cells[:, 0], cells[:, 1]] * (0.5 + 0.5 * cells[:, 2:] / resolution)
    model.sh0.copy_(torch.from_numpy((shown - 0.5) / 0.28209479))
    model.shs.copy_(0.1 * torch.randn(model.shs.shape, generator=torch.Generator().manual_seed(seed)))
    return model
