"""The C++ kernels of compiled packages give what the PyTorch graphs give, for every configuration."""

import copy
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from instant_ngp_field import BOUNDS, instant_ngp_field, rays_around
from svraster_scene import random_model, random_rays
from torch import Tensor, nn

from export.formats.registry import get_format
from export.renderer import Renderer
from export.torch_archive.native_library import native_library
from neurocity.cameras import Rays
from neurocity.instant_ngp.native import render_hash_field
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.fixed_budget import NEGLIGIBLE_LIGHT
from neurocity.rendering.marching import FAR
from neurocity.rendering.mlp import MLP
from neurocity.rendering.native_kernel import NATIVE_KERNELS
from neurocity.rendering.render import RayRender
from neurocity.svraster.config import MAX_LEVELS
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.native import render_voxels

pytestmark = pytest.mark.slow

Models = list[nn.Module]


def voxel_models() -> tuple[Models, tuple[Tensor, Tensor]]:
    """Voxels with colours of all degrees and densities of all rules, none at all, and shells before a sky."""
    models: Models = [
        random_model(sh_degree=degree, samples_per_voxel=1 + degree % 3, seed=degree) for degree in range(4)
    ]
    empty = SVRaster(SVRasterConfig(scene_bounds=BOUNDS))
    empty.set_voxels(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.int64))
    shells = SVRaster(
        SVRasterConfig(max_octree_levels=4, base_resolution=4).for_scene(BOUNDS, unbounded=True)
    )
    shells.density.data = torch.randn(shells.density.shape) - 5.0
    shells.sh0.data = torch.randn(shells.sh0.shape)
    assert isinstance(models[0], SVRaster)
    origins, directions = random_rays(models[0])
    return [*models, empty, shells], (origins.t().contiguous(), directions.t().contiguous())


def hash_models() -> tuple[Models, tuple[Tensor, Tensor]]:
    """Fields with 1, 2 and 4 features, both hashes, odd widths, and an unbounded one before a sky."""
    changes: list[dict[str, object]] = [
        {"level_dim": 1, "color_layers": 1},
        {"level_dim": 2, "hidden_dim": 21, "geometry_dim": 5},
        {"level_dim": 4, "hash_kind": "xor", "log2_hashmap_size": 8, "color_layers": 3},
        {"hidden_dim": 80, "geometry_dim": 17},
        {"unbounded": True, "sky": True},
    ]
    return [instant_ngp_field(seed, **each) for seed, each in enumerate(changes)], rays_around()


FAMILIES = {"svraster": (voxel_models, render_voxels), "instant_ngp": (hash_models, render_hash_field)}


class _All(nn.Module):
    """All models' renders of the same rays, one after the other: one package, since compiling takes long."""

    def __init__(self, models: Models) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        renders = [model(ray_origins, ray_directions) for model in self.models]
        return RayRender(*(torch.cat(values) for values in zip(*renders, strict=True)))


@pytest.fixture(scope="module", params=FAMILIES)
def compiled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Models, tuple[Tensor, Tensor], Renderer]:
    """Models, float32 and then the same in float16, rays for them, and their package."""
    make, _ = FAMILIES[request.param]
    models, rays = make()
    halves = copy.deepcopy(models)
    for half in halves:
        half.halve()  # type: ignore[operator]
    models = [model.eval().requires_grad_(False) for model in (*models, *halves)]
    path = tmp_path_factory.mktemp(request.param) / "model.pt2"
    path.write_bytes(get_format("aotinductor").encode(_All(models).eval(), "{}"))
    return models, rays, get_format("aotinductor").open(path, "cpu")


def in_float32(model: nn.Module) -> nn.Module:
    """What the kernels compute of a model in float16: with its parameters, in float32."""
    model = copy.deepcopy(model).float()
    for part in model.modules():
        if isinstance(part, MLP):
            part.halved = False
    return model


def by_model(renderer: Renderer, rays: tuple[Tensor, Tensor], models: int) -> list[list[Tensor]]:
    """What the package renders: for each model rgb, depth and opacity."""
    values = [torch.from_numpy(each) for each in renderer(Rays(*(part.numpy() for part in rays)))]
    return [list(parts) for parts in zip(*(each.chunk(models) for each in values), strict=True)]


def test_packages_render_what_the_graphs_render(
    compiled: tuple[Models, tuple[Tensor, Tensor], Renderer],
) -> None:
    models, rays, renderer = compiled
    lit = 0
    for index, (model, got) in enumerate(zip(models, by_model(renderer, rays, len(models)), strict=True)):
        with without_kernels():
            expected = in_float32(model)(*rays)
        lit += int(float(expected.rgb.std()) > 0.05)
        for name, a, b in zip(expected._fields, got, expected, strict=True):
            # Kernel and rounds leave different shares of light out, both below NEGLIGIBLE_LIGHT.
            tolerance = NEGLIGIBLE_LIGHT * FAR if name == "depth" else 2e-5
            if index >= len(models) // 2 and model.sky_enabled:
                tolerance = 5e-3  # the sky is no part of the kernel, and computes in float16
            torch.testing.assert_close(
                a, b, atol=tolerance, rtol=1e-4, msg=lambda text, at=f"model {index}, {name}": f"{at}: {text}"
            )
    assert lit >= len(models) - 4, "there is something to see in nearly all"


def test_rays_that_are_not_numbers_harm_no_others(
    compiled: tuple[Models, tuple[Tensor, Tensor], Renderer],
) -> None:
    models, rays, renderer = compiled
    spoilt = [part.clone() for part in rays]
    spoilt[0][3], spoilt[1][5], spoilt[0][7, 1], spoilt[1][9, 2] = torch.nan, torch.nan, torch.inf, -torch.inf
    # One coordinate alone: the others still lead through the scene.
    for ray in range(10, 70):
        spoilt[0][ray, ray % 3] = torch.nan
    whole = torch.ones(len(rays[0]), dtype=torch.bool)
    whole[[3, 5, 7, 9, *range(10, 70)]] = False
    got_of_all = by_model(renderer, (spoilt[0], spoilt[1]), len(models))
    for model, got, expected in zip(models, got_of_all, by_model(renderer, rays, len(models)), strict=True):
        with without_kernels():
            graph = model(spoilt[0], spoilt[1])
        for a, b, c in zip(got, expected, graph, strict=True):
            assert torch.equal(a[whole], b[whole])
            assert not isinstance(model, SVRaster) or torch.equal(a.isnan(), c.isnan())


def test_any_number_of_rays_gives_each_the_same(
    compiled: tuple[Models, tuple[Tensor, Tensor], Renderer],
) -> None:
    models, rays, renderer = compiled
    together = by_model(renderer, rays, len(models))
    for part in (slice(0, 1), slice(1, 4), slice(4, 71)):
        alone = by_model(renderer, (rays[0][part], rays[1][part]), len(models))
        for all_rays, some in zip(together, alone, strict=True):
            for a, b in zip(all_rays, some, strict=True):
                assert torch.equal(a[part], b)


def test_the_stack_has_room_for_the_deepest_octree() -> None:
    size = re.search(r"constexpr int STACK = (\d+);", NATIVE_KERNELS[render_voxels].source.read_text())
    assert size
    # A node gives its place to four pieces at most, and one of them is looked into.
    assert int(size[1]) >= 3 * MAX_LEVELS + 4


@pytest.mark.parametrize("operator", [operator for _, operator in FAMILIES.values()])
def test_the_source_defines_what_the_operator_declares(operator: Callable[..., Tensor]) -> None:
    kernel = NATIVE_KERNELS[operator]  # type: ignore[index]
    defined = kernel.source.read_text().partition('extern "C" ')[2].partition("{")[0]
    assert "".join(defined.split()) == "".join(kernel.declaration.split())


def test_nothing_is_left_of_a_kernel_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    program = torch.export.export(nn.Identity(), (torch.zeros(2),))
    monkeypatch.delenv("LIBRARY_PATH", raising=False)
    with native_library(program, Path("objects")) as options:
        assert options == {"aot_inductor.custom_ops_to_c_shims": {}, "aot_inductor.custom_op_libs": []}
        assert os.environ["LIBRARY_PATH"] == "objects"
    assert "LIBRARY_PATH" not in os.environ
