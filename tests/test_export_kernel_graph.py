"""Packages of models that kernels render: what they hold, and that they give the library's bits."""

import copy
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from grid_nerf_field import grid_nerf_field
from instant_ngp_field import BOUNDS, instant_ngp_field, rays_around
from svraster_scene import random_model, random_rays
from tiny_field import TinyField
from torch import Tensor, nn
from torch._inductor.runtime.cache_dir_utils import cache_dir

from export.formats.registry import get_format
from export.renderer import Renderer
from export.torch_archive import kernel_library as library_module
from export.torch_archive.kernel_graph import KernelGraph, kernel_graph
from export.torch_archive.kernel_library import declaration, kernel_library
from neurocity.cameras import Camera, Rays
from neurocity.errors import ExportError
from neurocity.family import NativeModel
from neurocity.kernels.scene import open_scene, render_rays
from neurocity.light import Light
from neurocity.poses import look_at
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.fixed_budget import NEGLIGIBLE_LIGHT
from neurocity.rendering.marching import FAR
from neurocity.svraster.core import SVRaster, SVRasterConfig

Models = list[nn.Module]


def voxel_models() -> Models:
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
    return [*models, empty, shells]


def hash_models() -> Models:
    """Fields with 1, 2 and 4 features, both hashes, odd widths, and an unbounded one before a sky."""
    changes: list[dict[str, object]] = [
        {"level_dim": 1, "color_layers": 1},
        {"level_dim": 2, "hidden_dim": 21, "geometry_dim": 5},
        {"level_dim": 4, "hash_kind": "xor", "log2_hashmap_size": 8, "color_layers": 3},
        {"hidden_dim": 80, "geometry_dim": 17},
        {"unbounded": True, "sky": True},
    ]
    return [instant_ngp_field(seed, **each) for seed, each in enumerate(changes)]


def plane_models() -> Models:
    """Fields of both branches and both modes, and an unbounded one before a sky."""
    changes: list[dict[str, object]] = [
        {},
        {"render_branch": "grid"},
        {"mode": "objects", "density_components": 5},
        {"unbounded": True, "sky": True},
    ]
    return [grid_nerf_field(seed, **each) for seed, each in enumerate(changes)]


FAMILIES = {"svraster": voxel_models, "instant_ngp": hash_models, "grid_nerf": plane_models}


class _All(nn.Module):
    """The renders of the same rays by several graphs: one package, since compiling takes long."""

    def __init__(self, graphs: Models) -> None:
        super().__init__()
        self.graphs = nn.ModuleList(graphs)

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> tuple[Tensor, ...]:
        renders = [graph(ray_origins, ray_directions) for graph in self.graphs]
        return tuple(torch.cat(values) for values in zip(*renders, strict=True))


def all_rays() -> Rays:
    """Rays through the voxels in every awkward way, and at the fields from everywhere."""
    voxels = (part.t() for part in random_rays(random_model()))
    parts = (torch.cat(each).contiguous().numpy() for each in zip(voxels, rays_around(), strict=True))
    return Rays(*parts)


def all_models() -> dict[str, Models]:
    """The models of each family in float32, and then the same in float16."""
    torch.manual_seed(0)
    return {
        name: [each.eval().requires_grad_(False) for each in _both(make())] for name, make in FAMILIES.items()
    }


def _both(models: Models) -> Models:
    halves = copy.deepcopy(models)
    for half in halves:
        half.halve()  # type: ignore[operator]
    return [*models, *halves]


Compiled = tuple[Models, Rays, Renderer]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Models], Renderer]:
    """All models, and the renderer of one package of all of them."""
    models = all_models()
    graphs = [kernel_graph(model) for family in models.values() for model in family]
    path = tmp_path_factory.mktemp("kernels") / "model.pt2"
    path.write_bytes(get_format("aotinductor").encode(_All(graphs).eval(), "{}"))
    return models, get_format("aotinductor").open(path, "cpu")


@pytest.fixture(params=FAMILIES)
def compiled(request: pytest.FixtureRequest, package: tuple[dict[str, Models], Renderer]) -> Compiled:
    """A family's models, rays for them, and what renders all rays by each of them, one after the other."""
    models, render_all = package
    number = sum(map(len, models.values()))
    first = sum(len(models[name]) for name in list(FAMILIES)[: list(FAMILIES).index(request.param)])
    mine = models[request.param]

    def render(rays: Rays) -> Light:
        parts = (np.split(values, number)[first : first + len(mine)] for values in render_all(rays))
        return Light(*map(np.concatenate, parts))

    return mine, all_rays(), render


def by_model(compiled: Compiled, rays: Rays) -> list[Light]:
    """What the package renders for each model."""
    models, _, renderer = compiled
    parts = (np.split(values, len(models)) for values in renderer(rays))
    return [Light(*each) for each in zip(*parts, strict=True)]


def by_graph(model: nn.Module, rays: Rays) -> Light:
    """What the model's own graph renders."""
    with without_kernels():
        return Light(*(part.numpy() for part in model(*map(torch.from_numpy, rays.arrays()))))


@pytest.mark.slow
def test_packages_give_the_bits_that_the_library_gives(compiled: Compiled) -> None:
    models, rays, _ = compiled
    for model, got in zip(models, by_model(compiled, rays), strict=True):
        assert isinstance(model, NativeModel)
        expected = render_rays(open_scene(model.scene_data()), rays)
        assert expected is not None
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_packages_render_what_the_graphs_render(compiled: Compiled) -> None:
    models, rays, _ = compiled
    lit = 0
    for index, (model, got) in enumerate(zip(models, by_model(compiled, rays), strict=True)):
        if index >= len(models) // 2:
            break  # graphs of halves compute in them as well
        expected = by_graph(model, rays)
        lit += int(expected.rgb.std() > 0.05)
        for name, a, b in zip(expected._fields, got, expected, strict=True):
            # Kernel and rounds leave different shares of light out, both below NEGLIGIBLE_LIGHT.
            tolerance = NEGLIGIBLE_LIGHT * FAR if name == "depth" else 2e-5
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=1e-4, err_msg=f"model {index}, {name}")
    assert lit >= len(models) // 2 - 2, "there is something to see in nearly all"


@pytest.mark.slow
def test_rays_that_are_not_numbers_harm_no_others(compiled: Compiled) -> None:
    models, rays, _ = compiled
    origins, directions = (part.copy() for part in rays.arrays())
    origins[3], directions[5], origins[7, 1], directions[9, 2] = np.nan, np.nan, np.inf, -np.inf
    # One coordinate alone: the others still lead through the scene.
    for ray in range(10, 70):
        origins[ray, ray % 3] = np.nan
    whole = np.ones(len(rays), bool)
    whole[[3, 5, 7, 9, *range(10, 70)]] = False
    spoilt = Rays(origins, directions)
    pairs = zip(models, by_model(compiled, spoilt), by_model(compiled, rays), strict=True)
    for model, got, expected in pairs:
        graph = by_graph(model, spoilt)
        for a, b, c in zip(got, expected, graph, strict=True):
            np.testing.assert_array_equal(a[whole], b[whole])
            assert not isinstance(model, SVRaster) or np.array_equal(np.isnan(a), np.isnan(c))


@pytest.mark.slow
def test_any_number_of_rays_gives_each_the_same(compiled: Compiled) -> None:
    _, rays, _ = compiled
    together = by_model(compiled, rays)
    for part in (slice(0, 1), slice(1, 4), slice(4, 71)):
        alone = by_model(compiled, rays[part])
        for every, some in zip(together, alone, strict=True):
            for a, b in zip(every, some, strict=True):
                np.testing.assert_array_equal(a[part], b)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "last"), [(0, 1200), (17, 1130), (799, 1200), (0, 90)])
def test_a_picture_cut_anywhere_gives_the_same(compiled: Compiled, first: int, last: int) -> None:
    """Kernels are told of rows that the operator finds."""
    models, *_ = compiled
    camera = Camera.from_fov_y(look_at((2.6, 0.4, 1.0), (0, 0, 0.3), (0, 0, 1)), 40, 30, 60.0)
    rays = camera.rays()
    for model, got in zip(models, by_model(compiled, rays[first:last]), strict=True):
        expected = render_rays(open_scene(model.scene_data()), rays)  # type: ignore[operator]
        assert expected is not None
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b[first:last])


@pytest.mark.slow
def test_rays_of_another_type_are_refused(
    package: tuple[dict[str, Models], Renderer], capfd: pytest.CaptureFixture[str]
) -> None:
    rays = all_rays()
    with pytest.raises(RuntimeError):
        package[1](Rays(*(part.astype(np.float64) for part in rays.arrays())))
    assert "neurocity: expected rays [R, 3] in float32" in capfd.readouterr().err


def test_a_graph_keeps_no_addresses() -> None:
    """Equal models give equal graphs, wherever their arrays are."""
    first, second = (kernel_graph(instant_ngp_field()) for _ in range(2))
    assert isinstance(first, KernelGraph)
    buffers, others = dict(first.named_buffers()), dict(second.named_buffers())
    assert buffers.keys() == others.keys() == {"arguments", *(f"array_{i}" for i in range(len(first.places)))}
    assert all(torch.equal(buffer, others[name]) for name, buffer in buffers.items())
    assert len(set(first.places)) == len(first.places)
    for place in first.places:
        assert not first.arguments[place : place + 8].any()


def test_what_no_c_kernel_renders_is_its_own_graph() -> None:
    model = TinyField(BOUNDS)
    assert isinstance(model, NativeModel)
    assert kernel_graph(model) is model


def test_the_source_defines_what_the_operator_declares() -> None:
    graph = kernel_graph(instant_ngp_field())
    assert isinstance(graph, KernelGraph)
    source = library_module._OPERATOR.read_text()
    defined = source.partition('extern "C" ')[2].partition(" {")[0].replace("OPERATOR", "f")
    types = re.sub(r" \w+(?=[,)])", "", " ".join(defined.split()))
    assert types == re.sub(r" \w+\(", " f(", declaration(graph.operator))


def test_nothing_is_left_of_a_kernel_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    program = torch.export.export(nn.Identity(), (torch.zeros(2),))
    monkeypatch.delenv("LIBRARY_PATH", raising=False)
    with kernel_library(program, "x86-64-v3") as options:
        assert options == {"aot_inductor.custom_ops_to_c_shims": {}, "aot_inductor.custom_op_libs": []}
        assert os.environ["LIBRARY_PATH"] == str(Path(cache_dir(), "neurocity"))
    assert "LIBRARY_PATH" not in os.environ


def test_a_compiler_that_fails_is_quoted() -> None:
    graph = kernel_graph(instant_ngp_field())
    rays = torch.zeros(2, 3), torch.ones(2, 3)
    program = torch.export.export(graph, rays)
    message = r"failed for the kernel of hash_field:\n.*no-such-processor"
    with pytest.raises(ExportError, match=message), kernel_library(program, "no-such-processor"):
        pass
