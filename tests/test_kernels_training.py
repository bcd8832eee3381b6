"""The kernels of training on points and rays that are not numbers, or far from every scene.

`make check-kernels` runs them with checks of every address.
"""

import copy

import pytest
import torch
from torch import nn

from neurocity.grid_nerf.planes import PlaneLineFeatures
from neurocity.rendering.field_config import MarchedFieldConfig
from neurocity.rendering.hash_grid import HashGrid
from neurocity.rendering.marching import RayMarcher
from neurocity.rendering.occupancy import jump_field

NOT_NUMBERS = (torch.nan, torch.inf, -torch.inf)
FAR = (3e38, -3e38, 1e10, -1e10, 17.0, -17.0)


def encodings() -> list[nn.Module]:
    """Both encodings that have kernels; the hash grids have dense levels, whose rows nothing wraps."""
    sizes = {"levels": 4, "log2_rows": 10, "coarsest": 4, "finest": 24}
    planes = PlaneLineFeatures(
        initial=(8, 8, 8), final=(8, 8, 8), modes=[(0, 1, 2)], divisors=[1, 2], components=3
    )
    return [
        HashGrid(features=1, **sizes),
        HashGrid(features=4, hash_kind="xor", **sizes),
        planes,
    ]


@pytest.mark.parametrize("number", range(3))
def test_points_that_are_nowhere_read_and_write_inside_of_the_tables(number: int) -> None:
    encoding = encodings()[number]
    bad = torch.tensor([*NOT_NUMBERS, *FAR])
    inside = torch.rand(3, 20)
    points = torch.cat(
        [inside, *(inside.scatter(0, torch.full((1, 9), axis), bad[None]) for axis in range(3))], 1
    )
    alone, together = copy.deepcopy(encoding), encoding
    expected, got = alone(inside), together(points)
    assert torch.equal(got[:20], expected)
    expected.sum().backward()
    got[:20].sum().backward()
    for one, other in zip(alone.parameters(), together.parameters(), strict=True):
        assert torch.equal(torch.where(other.grad.isnan(), one.grad, other.grad), one.grad)
    assert bool(got[20].isnan().any()), "what is no number stays none"


@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rays_that_lead_nowhere_read_inside_of_the_grid(unbounded: bool, share: float) -> None:
    marcher = RayMarcher(MarchedFieldConfig(unbounded=unbounded, march_steps=64, occupancy_resolution=8))
    generator = torch.Generator().manual_seed(0)
    jump = jump_field(torch.rand(8**3, generator=generator) < share, 8)
    good = torch.randn(2, 3, 30, generator=generator)
    planes = [good]
    for value in (*NOT_NUMBERS, *FAR, 0.0):
        for plane, axis in ((plane, axis) for plane in range(2) for axis in range(3)):
            bad = good[:, :, :1].clone()
            bad[plane, axis] = value
            planes.append(bad)
    origins, directions = torch.cat(planes, 2)
    jitter = torch.rand(origins.shape[1], generator=generator)
    alone = marcher(*good, jump, jitter[:30])
    together = marcher(origins, directions, jump, jitter)
    assert torch.equal(together.offsets[:31], alone.offsets)
    count = int(alone.offsets[-1])
    assert (count > 0) == (share > 0.0)
    for name in ("points", "t", "delta", "ray_index"):
        assert torch.equal(getattr(together, name)[..., :count], getattr(alone, name)), name
    assert bool(together.points.isfinite().all()), "only places are samples"


def test_equal_inputs_give_equal_bits_on_any_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(3, 20_000, generator=generator)
    threads = torch.get_num_threads()
    try:
        for encoding in encodings():
            results = []
            for number in (1, 2, 3):
                torch.set_num_threads(number)
                encoding.zero_grad()
                values = encoding(points)
                values.square().sum().backward()
                results.append([values.detach(), *(table.grad for table in encoding.parameters())])
            for one, *others in zip(*results, strict=True):
                assert all(torch.equal(one, other) for other in others)
    finally:
        torch.set_num_threads(threads)
