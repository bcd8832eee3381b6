"""Kernels for CUDA devices against the oracles and the PyTorch definitions; interpreted where no GPU is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cuda_rays import HERE, here
from reference import hash_grid as hash_grid_oracle
from reference import svraster as svraster_oracle
from svraster_scene import BOX, random_model, random_rays
from test_rendering_hash_grid import grid_of, oracle_levels, some_points
from test_rendering_marching import Setting, check_against_walk, setting
from test_rendering_marching import rays as march_rays
from torch import Tensor

from neurocity.cuda_kernels import block
from neurocity.cuda_kernels.hash_grid import encode_hash_grid
from neurocity.cuda_kernels.march import march
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.hash_grid import HashGrid
from neurocity.rendering.marching import PackedSamples
from neurocity.rendering.render import RayRender
from neurocity.svraster.config import MAX_LEVELS
from neurocity.svraster.core import SVRaster, SVRasterConfig


def walked(model: SVRaster, rays: tuple[Tensor, Tensor]) -> RayRender:
    """The light of rays [3, R], [3, R] by the kernel."""
    placed = model.to(HERE)
    with torch.no_grad():
        render = placed.render_on_cuda(*(part.t() for part in here(*rays)))
        if model.sky_enabled:
            render = placed.composite_over_sky(render, here(rays[1])[0])
    model.to("cpu")
    return RayRender(*(part.cpu() for part in render))


def by_graph(model: SVRaster, rays: tuple[Tensor, Tensor]) -> RayRender:
    with without_kernels(), torch.no_grad():
        light: RayRender = model(*(part.t() for part in rays))
    return light


def assert_equal_light(got: RayRender, expected: RayRender) -> None:
    """To the last digits of float32."""
    scale = max(1.0, float(expected.depth.max()))
    for part, wanted, least in zip(got, expected, (2e-6, 2e-6 * scale, 2e-6), strict=True):
        assert part.shape == wanted.shape
        torch.testing.assert_close(part, wanted, atol=least, rtol=0)


def shells() -> SVRaster:
    """Voxels of an unbounded scene before a sky."""
    options = {"max_octree_levels": 3, "base_resolution": 4, "sh_degree": 1, "outside_levels": 2}
    model = SVRaster(SVRasterConfig(**options).for_scene(BOX, unbounded=True))
    model.density.data = torch.randn(model.density.shape) - 2.0
    model.sh0.data = torch.randn(model.sh0.shape)
    return model


MODELS: dict[str, Callable[[], SVRaster]] = {
    **{
        f"degree {degree}": lambda degree=degree: random_model(  # type: ignore[misc]
            degree,
            2 + degree % 2,
            sh_degree=degree,
            samples_per_voxel=1 + degree % 3,
            near=0.25 * (degree % 2),
        )
        for degree in range(4)
    },
    "bright": lambda: random_model(1, 2, sh_degree=1, brightest=2.0),
    "shells": shells,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_walk_gives_the_light_of_the_graph(name: str) -> None:
    """On rays from outside and inside, along axes, in planes, through corners."""
    torch.manual_seed(0)
    model = MODELS[name]().requires_grad_(False)
    rays = random_rays(model, 3, count=8)
    expected = by_graph(model, rays)
    assert float(expected.rgb.std()) > 0.05, "there is something to see"
    assert_equal_light(walked(model, rays), expected)


def test_a_walk_gives_the_light_of_the_oracle() -> None:
    model = random_model(2, 2, sh_degree=2, samples_per_voxel=2).requires_grad_(False)
    origins, directions = random_rays(model, 3, count=4)
    got = walked(model, (origins, directions))
    for ray in range(origins.shape[1]):
        expected = svraster_oracle.render_ray(
            model, origins[:, ray].double().numpy(), directions[:, ray].double().numpy()
        )
        for part, wanted in zip(got, expected, strict=True):
            np.testing.assert_allclose(part[ray].numpy(), wanted, atol=2e-5, err_msg=f"ray {ray}")


def test_a_walk_goes_down_to_the_smallest_voxels() -> None:
    """Eight voxels of the last level around the middle of the cube, by rays along axes and across."""
    config = SVRasterConfig(
        scene_bounds=(0.0, 0.0, 0.0, 4.0, 4.0, 4.0),
        base_resolution=2,
        max_octree_levels=MAX_LEVELS,
        depth_per_side=1e6,
        sh_degree=1,
    )
    model = SVRaster(config)
    middle = 2 ** (MAX_LEVELS - 1)
    model.set_voxels(
        torch.full((8,), MAX_LEVELS), torch.cartesian_prod(*[torch.arange(middle - 1, middle + 1)] * 3)
    )
    model.requires_grad_(False).density.fill_(1.0)
    size = 4.0 / 2**MAX_LEVELS
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    across = torch.nn.functional.normalize(torch.tensor([[1.0, 2.0, 3.0], [-3.0, 1.0, -2.0]]), dim=1)
    directions = torch.cat([axes, axes, across])
    beside = torch.cat(
        [torch.zeros(6, 3), 0.5 * size * (axes.roll(1, 1) + axes.roll(2, 1)), torch.zeros(2, 3)]
    )
    origins = 2.0 + beside - 10.0 * size * directions
    rays = origins.t().contiguous(), directions.t().contiguous()
    expected = by_graph(model, rays)
    assert (expected.opacity > 0.5).all(), "all rays meet the voxels"
    assert_equal_light(walked(model, rays), expected)


def test_colours_in_float16_are_those_of_the_graph() -> None:
    model = random_model(1, 2, sh_degree=1).requires_grad_(False)
    model.halve()
    rays = random_rays(model, 3, count=4)
    assert_equal_light(walked(model, rays), by_graph(model, rays))


def test_nothing_to_look_at_and_nobody_who_looks() -> None:
    model = random_model(1, 2, sh_degree=0).requires_grad_(False)
    rays = random_rays(model, 3, count=2)
    none = tuple(part[:, :0] for part in rays)
    assert [part.shape[0] for part in walked(model, none)] == [0, 0, 0]
    away = (10.0 + rays[0].abs(), rays[1].abs())
    assert not any(part.any() for part in walked(model, away))
    model.set_voxels(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.int64))
    assert not any(part.any() for part in walked(model.requires_grad_(False), rays))


@np.errstate(all="ignore")  # NumPy interprets; a GPU does not ask
def test_a_ray_depends_on_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a program of any size, beside rays that are not numbers, and with voxels that are none elsewhere."""
    model = random_model(1, 2, sh_degree=1).requires_grad_(False)
    origins, directions = random_rays(model, 3, count=4)
    whole = walked(model, (origins, directions))
    monkeypatch.setattr(block, "INTERPRETED", 8)  # 20 rays are two and a half programs
    for part, wanted in zip(walked(model, (origins, directions)), whole, strict=True):
        assert torch.equal(part, wanted)
    monkeypatch.undo()
    spoilt = origins.clone(), directions.clone()
    for ray, value in enumerate((float("nan"), float("inf"), -float("inf"))):
        spoilt[0][ray, 2 * ray] = value
        spoilt[1][ray, 2 * ray + 1] = value
    got = walked(model, spoilt)
    for part, wanted in zip(got, whole, strict=True):
        assert torch.equal(part[6:], wanted[6:])
        assert torch.isfinite(part).all()
    model.density[model.voxel_points[0].long()] = float("nan")
    got = walked(model, (origins, directions))
    shows = got.rgb.isnan().any(1)
    assert 0 < int(shows.sum()) < len(shows)
    for part, wanted in zip(got, whole, strict=True):
        assert part[shows].isnan().all()
        assert torch.equal(part[~shows], wanted[~shows])


def encoded(grid: HashGrid, points: Tensor) -> Tensor:
    """The features of points [3, N] by the kernel."""
    tensors = here(points, grid.table.detach(), grid.scales, grid.axis_factors[:, :, 0])
    return encode_hash_grid(*tensors, grid.dense_levels, grid.xor).cpu()


@pytest.mark.parametrize(("kind", "features"), [("base_convert", 1), ("base_convert", 4), ("xor", 2)])
def test_features_are_those_of_the_oracle_and_the_definition(kind: str, features: int) -> None:
    grid = grid_of(levels=3, features=features, kind=kind, finest=64).requires_grad_(False)
    assert 0 < grid.dense_levels < 3, "the test wants dense and hashed levels"
    points = some_points(9)
    got = encoded(grid, points)
    torch.testing.assert_close(got, grid.encode(points), atol=2e-6, rtol=0)
    expected = hash_grid_oracle.encode(points.numpy(), grid.table.numpy(), *oracle_levels(grid, 4, 64), kind)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)
    grid.table.data = grid.table.half()
    torch.testing.assert_close(encoded(grid, points), grid.encode(points), atol=2e-6, rtol=0)


def test_large_tables_of_fine_levels_keep_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are numbers of 64 bits in the definition, of 32 in the kernel; there are three programs."""
    monkeypatch.setattr(block, "INTERPRETED", 16)
    grid = grid_of(levels=2, features=1, log2_rows=19, coarsest=2048, finest=2**16).requires_grad_(False)
    assert grid.index_type == torch.int64
    points = some_points(28)
    torch.testing.assert_close(encoded(grid, points), grid.encode(points), atol=2e-6, rtol=0)


@np.errstate(all="ignore")
def test_points_that_are_no_places_read_inside_of_the_table() -> None:
    grid = grid_of(levels=2, features=2)
    points = torch.tensor([[9.0, -9.0, 0.5], [1e9, -1e9, 0.5], [0.0, 1.0, 0.5]])
    assert torch.isfinite(encoded(grid, points)[:2]).all()
    assert encoded(grid, points[:, :0]).shape == (0, 4)


def marched(scene: Setting) -> Callable[..., PackedSamples]:
    """What marches rays [3, R] through the scene by the kernel."""

    def samples(origins: Tensor, directions: Tensor, jump: Tensor, jitter: Tensor) -> PackedSamples:
        own = scene.marcher
        rays = here(origins.t(), directions.t(), jitter)
        space = here(jump, own.edges, own.low, own.high, own.center)
        sizes = [own.grid, own.points, int(own.unbounded)]
        found = march(rays, space, sizes, [own.step, own.side, own.near, own.growth])
        return PackedSamples(*(part.cpu() for part in found))

    return samples


@pytest.mark.parametrize(("unbounded", "share"), [(False, 0.4), (True, 0.05)])
def test_a_march_finds_what_a_walk_and_the_definition_find(unbounded: bool, share: float) -> None:
    scene = setting(unbounded=unbounded, share=share, steps=24, growth=0.3, near=0.1)
    assert check_against_walk(scene, 0, marched(scene)) > 0
    origins, directions = march_rays(0, 3)
    jitter = torch.rand(origins.shape[1], generator=torch.Generator().manual_seed(1))
    expected = scene.marcher.march(origins, directions, scene.jump, jitter)
    got = marched(scene)(origins, directions, scene.jump, jitter)
    for part, wanted in zip(got, expected, strict=True):
        torch.testing.assert_close(part, wanted, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("unbounded", [False, True])
@np.errstate(all="ignore")
def test_a_march_of_rays_that_find_nothing(unbounded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Because nothing is there, they are not numbers, or there is no ray; others are not disturbed."""
    scene = setting(unbounded=unbounded, share=0.3, steps=20, growth=0.2)
    origins, directions = march_rays(0, 2)
    jitter = torch.full_like(origins[0], 0.5)
    whole = marched(scene)(origins, directions, scene.jump, jitter)
    spoilt: list[Any] = [origins.clone(), directions.clone()]
    for ray, value in enumerate((float("nan"), float("inf"))):
        spoilt[ray][1, ray] = value
    monkeypatch.setattr(block, "INTERPRETED", 8)
    got = marched(scene)(*spoilt, scene.jump, jitter)
    first = int(whole.offsets[2])
    assert got.offsets[2] == 0
    assert torch.equal(got.offsets[2:], whole.offsets[2:] - first)
    assert torch.equal(got.points, whole.points[:, first:])
    empty = torch.ones_like(scene.jump)
    assert not len(marched(scene)(origins, directions, empty, jitter).t)
    none = marched(scene)(origins[:, :0], directions[:, :0], scene.jump, jitter[:0])
    assert none.offsets.tolist() == [0]
    assert none.points.shape == (3, 0)
