"""Small SVRaster models with voxels of many sizes, and rays that meet them in every awkward way."""

import torch

from neurocity.svraster.core import SVRaster, SVRasterConfig

BOX = (-1.0, -2.0, 0.5, 1.0, 1.0, 1.5)
"""Its cube has side 3 and its low corner at (-1.5, -2, -0.5)."""


def random_voxels(
    seed: int, depth: int, *, split: float = 0.5, drop: float = 0.3
) -> tuple[torch.Tensor, torch.Tensor]:
    """Level [N] and cell [N, 3] of an octree of random shape; with drop = 0 it fills the cube."""
    generator = torch.Generator().manual_seed(seed)
    octants = torch.cartesian_prod(*[torch.arange(2)] * 3)
    cells, levels, chosen = octants, [], []
    for level in range(1, depth + 1):
        fate = torch.rand(len(cells), generator=generator)
        refined = (fate < split) if level < depth else torch.zeros(len(cells), dtype=torch.bool)
        kept = cells[~refined & (fate < 1.0 - drop)]
        chosen.append(kept)
        levels.append(torch.full((len(kept),), level))
        cells = (cells[refined][:, None] * 2 + octants).view(-1, 3)
    order = torch.randperm(sum(map(len, chosen)), generator=generator)
    return torch.cat(levels)[order], torch.cat(chosen)[order]


def random_model(seed: int = 0, depth: int = 4, drop: float = 0.3, **changes: object) -> SVRaster:
    """Random voxels in `BOX` with random values: some clear, some dense, some colours beyond [0, 1]."""
    options = {"scene_bounds": BOX, "max_octree_levels": 8, "base_resolution": 2, **changes}
    model = SVRaster(SVRasterConfig(**options))
    model.set_voxels(*random_voxels(seed, depth, drop=drop))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.density.copy_(4.0 * torch.randn(len(model.density), generator=generator) - 4.0)
        for values in (model.sh0, model.shs):
            values.copy_(torch.randn(values.shape, generator=generator))
    return model


def random_rays(model: SVRaster, seed: int = 0, count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Origins and unit directions [3, 5 * count] through the octree's cube.

    From outside, from inside, along axes, in planes that voxels touch, and through edges and corners.
    """
    generator = torch.Generator().manual_seed(seed)
    low, side = model.root_low, model.root_side
    inside = low + side * torch.rand(count, 3, generator=generator)
    outside = inside + 2.0 * side * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator))
    lattice = low + side * torch.randint(0, 17, (count, 3), generator=generator) / 16
    signs = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    axis = torch.eye(3)[torch.arange(count) % 3] * signs[:, None]
    flat = torch.where(
        torch.arange(3) == torch.arange(count)[:, None] % 3, 0.0, torch.randn(count, 3, generator=generator)
    )
    diagonal = torch.randint(0, 2, (count, 3), generator=generator) * 2.0 - 1.0
    origins = [outside, inside, inside - 4.0 * side * axis, lattice, lattice - 2.0 * side * diagonal]
    directions = [inside - outside, torch.randn(count, 3, generator=generator), axis, flat, diagonal]
    return (
        torch.cat(origins).t().contiguous(),
        torch.nn.functional.normalize(torch.cat(directions)).t().contiguous(),
    )
