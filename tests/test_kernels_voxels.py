"""Pictures of voxels by packets of rays: those of the graph, each ray for itself, on every processor."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from svraster_scene import BOX, random_model, random_rays
from waiting import PATIENCE

from neurocity.cameras import Camera, Rays
from neurocity.errors import EngineError, ManifestError
from neurocity.kernels import build
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.kernels.voxels import VoxelScene
from neurocity.kernels.work import Work
from neurocity.light import Light, psnr
from neurocity.poses import look_at
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.svraster.config import MAX_LEVELS
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.native import scene_data

EYES = {
    "outside": (4.0, 3.0, 2.5),
    "inside": (0.3, -0.4, 0.9),
    "where planes meet": (0.0, -0.5, 1.0),
    "on a side of the cube": (-1.5, -0.2, 0.7),
}


def picture(eye: tuple[float, float, float] = EYES["outside"], width: int = 23, height: int = 18) -> Rays:
    """The rays of an image whose sides are no multiples of a packet's."""
    towards = (-0.1, -0.6, 0.8)
    pose = look_at(eye, towards, (0.0, 0.0, 1.0))
    return Camera.from_fov_y(pose, width, height, 60.0).rays()


def awkward_rays(model: SVRaster) -> Rays:
    """Rays of many origins, along axes, in planes, through edges."""
    return Rays(*(part.t().contiguous().numpy() for part in random_rays(model, 3, count=20)))


def rendered(data: SceneData, rays: Rays, threads: int = 1) -> Light:
    light = Light.empty(len(rays))
    assert open_scene(data).render(rays, light, threads=threads)
    return light


def by_graph(model: SVRaster, rays: Rays) -> Light:
    with without_kernels(), torch.no_grad():
        return Light(*(part.numpy() for part in model(*map(torch.from_numpy, rays.arrays()))))


def shells() -> SVRaster:
    """Voxels of an unbounded scene before a sky."""
    options = {"max_octree_levels": 4, "base_resolution": 4}
    model = SVRaster(SVRasterConfig(**options).for_scene(BOX, unbounded=True)).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    model.density.data = torch.randn(model.density.shape, generator=generator) - 5.0
    model.sh0.data = torch.randn(model.sh0.shape, generator=generator)
    return model


MODELS: dict[str, Callable[[], SVRaster]] = {
    **{
        f"degree {degree}": lambda degree=degree: random_model(  # type: ignore[misc]
            degree, sh_degree=degree, samples_per_voxel=1 + degree % 3, near=0.25 * (degree % 2)
        )
        for degree in range(4)
    },
    "bright": lambda: random_model(1, brightest=2.0),
    "shells": shells,
}


@pytest.mark.parametrize("name", MODELS)
def test_pictures_are_those_of_the_graph(name: str) -> None:
    model = MODELS[name]().requires_grad_(False)
    single, half = scene_data(model, np.float32), scene_data(model, np.float16)
    for rays in (*map(picture, EYES.values()), awkward_rays(model)):
        expected = by_graph(model, rays)
        assert float(expected.rgb.std()) > 0.05, "there is something to see"
        for data, least in ((single, 90.0), (half, 60.0)):
            got = rendered(data, rays)
            scale = float(expected.depth.max())
            assert psnr(got.rgb, expected.rgb) > least
            assert psnr(got.opacity, expected.opacity) > least
            assert psnr(got.depth / scale, expected.depth / scale) > least
        with torch.no_grad():
            eager = model(*map(torch.from_numpy, rays.arrays()))
        for own, record in zip(eager, rendered(single, rays), strict=True):
            assert np.array_equal(own.numpy(), record), "a model's tensors hold what its records hold"


@pytest.mark.parametrize("name", ["degree 2", "shells"])
def test_a_ray_s_light_does_not_depend_on_its_packet(name: str) -> None:
    data = scene_data(MODELS[name]().requires_grad_(False), np.float16)
    rays = picture()
    number = len(rays)
    expected = rendered(data, rays)
    order = np.random.default_rng(0).permutation(number)
    back = np.argsort(order)
    # Between rays of other origins, each is a packet of its own.
    others = picture(EYES["inside"])
    mixed = Rays.joined([rays, others])[np.arange(2 * number).reshape(2, number).T.flatten()]
    few = [rendered(data, rays[first : first + 5]) for first in range(0, number, 5)]
    ways = {
        "a row": rendered(data, replace(rays, width=0)),
        "threads": rendered(data, rays, threads=3),
        "another width": rendered(data, replace(rays, width=9)),
        "a width that does not divide": rendered(data, replace(rays, width=7)),
        "shuffled": Light(*(part[back] for part in rendered(data, rays[order]))),
        "a few": Light(*map(np.concatenate, zip(*few, strict=True))),
        "other origins": Light(*(part[::2] for part in rendered(data, mixed))),
    }
    for way, got in ways.items():
        for a, b in zip(got, expected, strict=True):
            assert np.array_equal(a, b), way


def test_rays_that_are_not_numbers_harm_no_others() -> None:
    for name in ("degree 2", "shells"):
        model = MODELS[name]().requires_grad_(False)
        data, rays = scene_data(model, np.float32), picture()
        expected = rendered(data, rays)
        spoilt = Rays(rays.origins.copy(), rays.directions.copy(), width=rays.width)
        values = (np.nan, np.inf, -np.inf)
        for ray, value in enumerate(values * 3):
            spoilt.directions[17 * ray, ray // 3] = value
            spoilt.origins[17 * ray + 200, ray // 3] = value
        spoilt.directions[399] = 0.0
        whole = np.ones(len(rays), bool)
        whole[[*(17 * np.arange(9)), *(17 * np.arange(9) + 200), 399]] = False
        got = rendered(data, spoilt)
        for a, b, graph in zip(got, expected, by_graph(model, spoilt), strict=True):
            assert np.array_equal(a[whole], b[whole])
            assert np.array_equal(np.isnan(a), np.isnan(graph))


@pytest.mark.parametrize("name", ["degree 1", "shells"])
@pytest.mark.parametrize("number", [0, -8], ids=["colour", "density"])
def test_voxels_that_are_not_numbers_show_and_harm_no_others(name: str, number: int) -> None:
    data, rays = scene_data(MODELS[name]().requires_grad_(False), np.float32), picture(EYES["inside"])
    whole = rendered(data, rays)
    corners = 3 * (int(data.settings["sh_degree"]) + 1) ** 2
    records = data.tensors["records"].copy()
    records[:: len(records) // 60, number + (corners + 8 if number else 0)] = np.nan
    spoilt = rendered(replace(data, tensors={**data.tensors, "records": records}), rays)
    shows = np.isnan(spoilt.rgb).any(1)
    assert 3 < shows.sum() < 0.9 * len(rays)
    for got, expected in zip(spoilt, whole, strict=True):
        assert np.array_equal(got[~shows], expected[~shows])


@pytest.mark.parametrize("name", ["degree 2", "shells"])
def test_light_goes_on_where_another_scene_left_it(name: str) -> None:
    """Sums of rays, and what is left of them, go in and out: first a scene, then nothing and its sky."""
    data, rays = scene_data(MODELS[name]().requires_grad_(False), np.float32), picture(EYES["inside"])
    expected = rendered(data, rays)
    light = Light(*(np.zeros_like(part) for part in expected))
    left = np.ones(len(rays), np.float32)
    assert VoxelScene(data).add(rays, light, left, ends=False, threads=2)
    through = left > data.settings["least_light"]
    assert 0.02 < through.mean() < 0.98
    sums = Light(*(part.copy() for part in light))
    # What lies behind adds to rays that have light left, and to no others.
    assert VoxelScene(data).add(rays, light, left.copy(), ends=False, threads=1)
    changed = light.opacity != sums.opacity
    assert changed.any()
    assert not changed[~through].any()
    nothing = {**data.tensors, "children": np.full((1, 8), -1, np.int32)}
    assert VoxelScene(replace(data, tensors=nothing)).add(rays, sums, left, ends=True, threads=1)
    for got, whole in zip(sums, expected, strict=True):
        np.testing.assert_array_equal(got, whole)


def test_what_is_left_of_light_is_a_number_a_ray() -> None:
    scene, rays = VoxelScene(scene_data(MODELS["degree 2"](), np.float32)), picture()
    light = Light(*(np.zeros_like(part) for part in Light.empty(len(rays))))
    for left in (np.ones(len(rays)), np.ones(3, np.float32)):
        with pytest.raises(EngineError, match=r"got left float.*, expected float32 \[414\]"):
            scene.add(rays, light, left, ends=True, threads=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"directions": np.ones((3, 3), np.float32)},
            r"got directions .*, expected float32 \[414, 3\]",
        ),
        ({"origins": np.ones((414, 2), np.float32)}, r"got origins float32 \[414, 2\]"),
        ({"origins": np.ones((414, 3))}, r"got origins float64 \[414, 3\], expected float32"),
    ],
)
def test_what_is_not_rays_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    """A kernel reads as many directions as there are origins."""
    with pytest.raises(EngineError, match=message):
        render_rays(open_scene(scene_data(MODELS["degree 2"](), np.float16)), replace(picture(), **change))


def filled(level: torch.Tensor, cell: torch.Tensor, **changes: Any) -> SVRaster:
    """Dense grey voxels."""
    options = {"scene_bounds": (0.0, 0.0, 0.0, 4.0, 4.0, 4.0), "base_resolution": 2, "max_octree_levels": 16}
    model = SVRaster(SVRasterConfig(**options | changes)).requires_grad_(False)
    model.set_voxels(level, cell)
    model.requires_grad_(False).density.fill_(1.0)
    return model


def test_no_voxel_brings_no_light_and_one_voxel_its_own() -> None:
    rays = picture((-3.0, 1.0, 1.0))
    none = filled(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.int64))
    dark = rendered(scene_data(none, np.float16), rays)
    assert not any(part.any() for part in dark)
    one = filled(torch.tensor([1]), torch.tensor([[0, 0, 0]]))
    light, expected = rendered(scene_data(one, np.float32), rays), by_graph(one, rays)
    assert 0.05 < float((light.opacity > 0.99).mean()) < 0.9
    assert psnr(light.opacity, expected.opacity) > 90.0
    assert float(light.rgb.max()) == pytest.approx(0.5, abs=1e-4)


def test_the_path_to_the_smallest_voxels_has_room() -> None:
    """Around the cube's middle all eight paths go down to the last level, where a picture sees them."""
    middle = 2 ** (MAX_LEVELS - 1)
    cells = torch.cartesian_prod(*[torch.arange(middle - 2, middle + 2)] * 3)
    model = filled(torch.full((64,), MAX_LEVELS), cells, depth_per_side=1e6)
    size = 4.0 / 2**MAX_LEVELS
    pose = look_at((2.0 + 20.0 * size, 2.0 + 3.0 * size, 2.0 + 5.0 * size), (2.0, 2.0, 2.0), (0.0, 0.0, 1.0))
    rays = Camera.from_fov_y(pose, 20, 20, 20.0).rays()
    light, expected = rendered(scene_data(model, np.float32), rays), by_graph(model, rays)
    assert 0.2 < float((light.opacity > 0.5).mean()) < 0.9
    assert psnr(light.opacity, expected.opacity) > 90.0


_SCRIPT = """
import sys
import numpy as np
from neurocity.cameras import Rays
from neurocity.kernels.scene import SceneData, open_scene
from neurocity.kernels.voxel_intervals import list_voxels
from neurocity.light import Light
saved = dict(np.load(sys.argv[1]))
rays = Rays(saved.pop("origins"), saved.pop("directions"))
settings = {name.removeprefix("set_"): float(saved.pop(name)) for name in list(saved) if name[:4] == "set_"}
light = Light.empty(len(rays))
assert open_scene(SceneData("voxels", saved, settings)).render(rays, light, threads=1)
found = list_voxels(saved["children"], (saved["root_low"], settings["root_side"]), rays, 0.0, threads=1)
assert "torch" not in sys.modules
np.savez(sys.argv[2], *light, *found)
"""


def test_libraries_of_all_processors_agree(tmp_path: Path) -> None:
    """Intervals to the last bit; light but for roundings, which plain processors make more of."""
    model = MODELS["shells"]()
    data = scene_data(model, np.float16)
    rays = Rays.joined([picture(), picture(EYES["inside"]), awkward_rays(model)])
    numbers = {f"set_{name}": value for name, value in data.settings.items()}
    scene = tmp_path / "scene.npz"
    np.savez(scene, **data.tensors, **numbers, origins=rays.origins, directions=rays.directions)
    running = []
    for kind in build.processors():
        out = tmp_path / f"{kind}.npz"
        process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(scene), str(out)],
            env=os.environ | {"NEUROCITY_KERNELS": kind},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append((process, out))
    results = []
    for process, out in running:
        _, errors = process.communicate(timeout=PATIENCE)
        if "this processor is of kind" in errors:
            continue
        assert process.returncode == 0, errors
        results.append([np.load(out)[f"arr_{index}"] for index in range(8)])
    assert results
    for result in results:
        for index, (a, b) in enumerate(zip(result, results[0], strict=True)):
            if index < 3:
                np.testing.assert_allclose(a, b, rtol=2e-5, atol=5e-6)
            else:
                assert np.array_equal(a, b)


def test_a_picture_that_nobody_wants_is_not_drawn() -> None:
    data, rays = scene_data(MODELS["degree 2"](), np.float16), picture()
    assert not open_scene(data).render(rays, Light.empty(len(rays)), threads=1, work=Work(stop=1))


def changed(**change: Any) -> SceneData:
    """Voxels some of whose tensors or, by names of settings, numbers are others; None leaves one out."""
    data = scene_data(random_model(1, 3), np.float32)
    settings = {name: change.get(name, value) for name, value in data.settings.items()}
    tensors = {**data.tensors, **{name: value for name, value in change.items() if name not in settings}}
    return SceneData(
        "voxels",
        {name: value for name, value in tensors.items() if value is not None},
        {name: value for name, value in settings.items() if value is not None},
    )


def children(first: int) -> np.ndarray:
    """The octree's children with another first one."""
    values = scene_data(random_model(1, 3), np.float32).tensors["children"].copy()
    values[0, 0] = first
    return values


def deep_children(levels: int) -> np.ndarray:
    values = np.full((levels, 8), -1, np.int32)
    values[:-1, 3] = np.arange(1, levels)
    values[-1, 0] = -2
    return values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"children": None}, "children is missing"),
        ({"other": np.zeros(3)}, "got the tensors"),
        ({"near": None}, "got the numbers"),
        ({"near": float("nan")}, "got near nan, expected 0.0 to"),
        ({"sh_degree": 1.5}, "got sh_degree 1.5, expected 0 to 3"),
        ({"samples_per_voxel": 4}, "got samples_per_voxel 4, expected 1 to 3"),
        ({"sh_degree": 2}, "got records float32"),
        ({"children": np.array(3, np.int32)}, r"got children int32 \[\]"),
        (
            {"children": np.zeros((4, 8), np.int64)},
            r"got children int64 \[4, 8\], expected contiguous, aligned int32",
        ),
        ({"children": np.zeros((0, 8), np.int32)}, "got no nodes"),
        ({"sky": np.zeros(607, np.float32)}, r"got sky float32 \[607\]"),
        ({"root_low": np.zeros(2, np.float32)}, "got root_low"),
        ({"root_low": np.float32([0.0, np.nan, 0.0])}, "got root_low .*, expected numbers up to"),
        ({"children": children(-2_000_000)}, "got children from -2000000"),
        ({"children": children(2_000_000)}, "to 2000000, expected"),
        ({"children": children(0)}, "two parents or none"),
        ({"children": deep_children(17)}, "more than 16 levels"),
    ],
)
def test_data_that_a_kernel_cannot_render_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        open_scene(changed(**change))


def test_data_of_sixteen_levels_is_rendered() -> None:
    rays = picture()
    light = rendered(changed(children=deep_children(16)), rays)
    assert np.isfinite(light.rgb).all()
