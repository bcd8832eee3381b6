"""Pictures of marched fields by the kernel library: those of the definition, each ray for itself."""

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
from grid_nerf_field import grid_nerf_field
from instant_ngp_field import instant_ngp_field, rays_around
from waiting import PATIENCE

from neurocity.cameras import Camera, Rays
from neurocity.errors import ManifestError
from neurocity.kernels import build
from neurocity.kernels.scene import SceneData, open_scene
from neurocity.kernels.work import Work
from neurocity.light import Light, psnr
from neurocity.poses import look_at
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.fixed_budget import NEGLIGIBLE_LIGHT
from neurocity.rendering.kernel_field import KernelField, in_precision

UNBOUNDED = {"unbounded": True, "sky": True, "near": 0.05}
FIELDS: dict[str, Callable[[], KernelField]] = {
    "hash": lambda: instant_ngp_field(3),
    "hash of 4 features": lambda: instant_ngp_field(4, level_dim=4, **UNBOUNDED),
    "hash of 1 feature": lambda: instant_ngp_field(5, level_dim=1, hash_kind="xor", color_layers=1, sky=True),
    "grid branch": lambda: grid_nerf_field(3),
    "grid branch, unbounded": lambda: grid_nerf_field(4, mode="objects", **UNBOUNDED),
    "NeRF branch": lambda: grid_nerf_field(
        5, render_branch="nerf", mode="objects", density_components=8, appearance_components=16
    ),
    "NeRF branch, unbounded": lambda: grid_nerf_field(6, render_branch="nerf", **UNBOUNDED),
}
EYE = (2.4, 1.9, 1.2)


@pytest.fixture(scope="module", params=list(FIELDS))
def field(request: pytest.FixtureRequest) -> KernelField:
    return FIELDS[request.param]()


def scene_data(model: KernelField, dtype: type[np.float16 | np.float32] = np.float32) -> SceneData:
    return in_precision(model.kernel_data(), dtype)


def rendered(data: SceneData, rays: Rays, threads: int = 1) -> Light:
    light = Light.empty(len(rays))
    assert open_scene(data).render(rays, light, threads=threads)
    return light


def picture(width: int = 37, height: int = 35) -> Rays:
    """The rays of an image whose sides are no multiples of a part's."""
    return Camera.from_fov_y(look_at(EYE, (0.0, -0.1, 0.1), (0.0, 0.0, 1.0)), width, height, 55.0).rays()


def mixed_rays() -> Rays:
    """Rays of many origins: at the scene, from inside of it, and away from it."""
    return Rays(*(part.numpy() for part in rays_around(seed=2)))


@pytest.mark.parametrize("rays", [picture(), mixed_rays()], ids=["picture", "mixed"])
def test_light_is_that_of_the_definition(field: KernelField, rays: Rays) -> None:
    with without_kernels():
        expected = Light(*(part.numpy() for part in field(*map(torch.from_numpy, rays.arrays()))))
    assert float(expected.rgb.std()) > 0.05
    got = rendered(scene_data(field), rays)
    assert psnr(got.rgb, expected.rgb) >= 90.0
    np.testing.assert_allclose(got.opacity, expected.opacity, atol=2 * NEGLIGIBLE_LIGHT)
    np.testing.assert_allclose(
        got.depth, expected.depth, rtol=1e-4, atol=2 * NEGLIGIBLE_LIGHT * field.marcher.far
    )
    assert psnr(rendered(scene_data(field, np.float16), rays).rgb, expected.rgb) >= 60.0


def test_eval_without_gradients_renders_by_the_library(field: KernelField) -> None:
    rays = mixed_rays()
    evaluated = field(*map(torch.from_numpy, rays.arrays()))
    for got, expected in zip(evaluated, rendered(scene_data(field), rays), strict=True):
        np.testing.assert_array_equal(got.numpy(), expected)


def test_eval_with_gradients_follows_them() -> None:
    model = FIELDS["hash"]().requires_grad_()
    rays = [torch.from_numpy(part) for part in mixed_rays().arrays()]
    model(*rays).rgb.sum().backward()
    assert float(model.encoding.table.grad.abs().sum()) > 0.0  # type: ignore[operator, union-attr]


def test_the_light_of_a_ray_does_not_depend_on_others(field: KernelField) -> None:
    rays, data = picture(), scene_data(field)
    whole = rendered(data, rays)
    assert float(whole.rgb.std()) > 0.05
    order = np.random.default_rng(0).permutation(len(rays))
    alike = {
        "on two threads": (rays, slice(None), 2),
        "without an image": (replace(rays, width=0), slice(None), 1),
        "in rows of another length": (replace(rays, width=5), slice(None), 1),
        "in another order": (rays[order], order, 1),
        "some of them": (rays[100:107], slice(100, 107), 1),
        "alone": (rays[640:641], slice(640, 641), 1),
    }
    for name, (others, index, threads) in alike.items():
        for got, expected in zip(rendered(data, others, threads), whole, strict=True):
            np.testing.assert_array_equal(got, expected[index], err_msg=name)


def test_rays_that_are_not_numbers_harm_no_others(field: KernelField) -> None:
    rays, data = mixed_rays(), scene_data(field)
    whole = rendered(data, rays)
    origins, directions = rays.origins.copy(), rays.directions.copy()
    for ray, value in enumerate((np.nan, np.inf, -np.inf, 1e30, -1e38, 0.0)):
        origins[10 * ray, ray % 3] = value
        directions[10 * ray + 1, ray % 3] = value
        directions[10 * ray + 2] = value
    bad = np.zeros(len(rays), bool)
    bad[[10 * ray + place for ray in range(6) for place in range(3)]] = True
    for got, expected in zip(rendered(data, Rays(origins, directions)), whole, strict=True):
        np.testing.assert_array_equal(got[~bad], expected[~bad])


def test_weights_that_are_not_numbers_show() -> None:
    model = FIELDS["hash"]()
    model.density_net.layers[0].weight[0, 0] = torch.nan  # type: ignore[operator, index, union-attr]
    light = rendered(scene_data(model), picture())
    assert np.isnan(light.opacity).any()


def test_a_scene_without_matter_is_empty(field: KernelField) -> None:
    data = scene_data(field)
    jump = np.full_like(data.tensors["jump"], 31)
    light = rendered(replace(data, tensors={**data.tensors, "jump": jump}), mixed_rays())
    np.testing.assert_array_equal(light.opacity, float(field.sky_enabled))


def test_work_that_is_stopped_says_so(field: KernelField) -> None:
    rays, work = picture(), Work()
    work.stop = 1
    assert not open_scene(scene_data(field)).render(rays, Light.empty(len(rays)), threads=1, work=work)


_SCRIPT = """
import sys, numpy as np
from neurocity.cameras import Rays
from neurocity.kernels.scene import SceneData, open_scene
from neurocity.light import Light
assert "torch" not in sys.modules
planes = []
for path in sys.argv[2:]:
    with np.load(path) as file:
        arrays = dict(file)
    rays = Rays(arrays.pop("origins"), arrays.pop("directions"))
    settings = dict(zip(arrays.pop("names").tolist(), arrays.pop("values").tolist()))
    light = Light.empty(len(rays))
    assert open_scene(SceneData(str(arrays.pop("kind")), arrays, settings)).render(rays, light, threads=1)
    planes += light
np.savez(sys.argv[1], *planes)
"""


def test_every_kind_of_processor_renders_the_same(tmp_path: Path) -> None:
    rays, expected, scenes = picture(21, 20), list[np.ndarray](), list[str]()
    for name in ("hash of 4 features", "NeRF branch"):
        data = scene_data(FIELDS[name](), np.float16)
        expected += rendered(data, rays)
        scenes.append(str(tmp_path / f"{data.kind}.npz"))
        numbers: dict[str, Any] = {"names": list(data.settings), "values": list(data.settings.values())}
        own = {**numbers, "origins": rays.origins, "directions": rays.directions, "kind": data.kind}
        np.savez(scenes[-1], **own, **data.tensors)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(tmp_path / f"{kind}.npz"), *scenes],
            env=os.environ | {"NEUROCITY_KERNELS": kind},
            stderr=subprocess.PIPE,
            text=True,
        )
        for kind in build.processors()
    ]
    rendering = 0
    for kind, process in zip(build.processors(), running, strict=True):
        _, errors = process.communicate(timeout=PATIENCE)
        if "this processor is of kind" in errors:
            continue
        assert process.returncode == 0, errors
        with np.load(tmp_path / f"{kind}.npz") as planes:
            for got, want in zip(planes.values(), expected, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5, err_msg=kind)
        rendering += 1
    assert rendering


def misaligned(array: np.ndarray) -> np.ndarray:
    """The same numbers at an odd place, as in a file whose header has an odd length."""
    return np.frombuffer(b"0" + array.tobytes(), array.dtype, array.size, 1)


def _hash() -> SceneData:
    return scene_data(FIELDS["hash"]())


def _planes() -> SceneData:
    return scene_data(FIELDS["NeRF branch"]())


@pytest.mark.parametrize(
    ("make", "name", "change", "said"),
    [
        (_hash, "jump", lambda a: a[:-1], "cells"),
        (_hash, "jump", lambda a: a.astype(np.float32), "int8"),
        (_hash, "bounds", lambda _: None, "bounds is missing"),
        (_hash, "edges", lambda a: a[:1], "edges"),
        (_hash, "table", lambda a: a[:, :-1].copy(), "power of two"),
        (_hash, "table", lambda a: a[:, ::2], "contiguous"),
        (_hash, "scales", misaligned, "expected contiguous, aligned float32"),
        (_hash, "bounds", lambda a: a * np.float32([[1], [np.nan]]), "bounds .*, expected numbers up to"),
        (_hash, "scales", lambda a: a[:-1].copy(), "scales"),
        (_hash, "factors", lambda a: a[:2].copy(), "factors"),
        (_hash, "density_net.0", lambda a: a[:, 1:].copy(), "density_net.0"),
        (_hash, "density_net.1", lambda a: a[:-1].copy(), "color_net.0"),
        (_hash, "color_net.2", lambda a: a[:2].copy(), "expected 3"),
        (_hash, "color_net.4", lambda _: np.zeros((3, 3), np.float32), "not known"),
        (_hash, "sky", lambda _: np.zeros(3, np.float32), "sky"),
        (_planes, "axes", lambda a: a + 1, "axes"),
        (_planes, "density.sizes", lambda a: a * 0 + 1, "2 to 4194304 vertices"),
        (_planes, "density.sizes", lambda a: a * 1000, "within"),
        (_planes, "extents", lambda a: a * np.float32(np.inf), "extents .*, expected numbers up to"),
        (_planes, "appearance.starts", lambda a: a - 1, "within"),
        (_planes, "appearance.lines", lambda a: a[:4].copy(), "within"),
        (_planes, "appearance.lines", lambda a: a[:, :1].copy(), "components"),
        (_planes, "appearance.planes", lambda a: a.astype(np.float16), "float32"),
        (_planes, "trunk.0", lambda a: a[:, 1:].copy(), "trunk.0"),
        (_planes, "density_net.1", lambda a: np.concatenate([a, a]), "expected 1 and 3"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    make: Callable[[], SceneData], name: str, change: Callable[[Any], Any], said: str
) -> None:
    data = make()
    tensors = {**data.tensors, name: change(data.tensors.get(name))}
    tensors = {name: array for name, array in tensors.items() if array is not None}
    with pytest.raises(ManifestError, match=said):
        open_scene(replace(data, tensors=tensors))


def test_more_vertices_than_float32_can_count_are_refused() -> None:
    """In float32, 16777219 is 16777220: the last cell of such a line would begin at its last vertex."""
    data, vertices = _planes(), 2**24 + 5
    assert int(np.float32(vertices - 2)) == vertices - 1
    sizes, starts = data.tensors["density.sizes"].copy(), data.tensors["density.starts"].copy()
    sizes[:, 2], starts[:, 1] = vertices, 0
    lines = np.zeros((vertices, data.tensors["density.lines"].shape[1]), np.float32)  # no page of it is used
    changes = {"density.sizes": sizes, "density.starts": starts, "density.lines": lines}
    with pytest.raises(ManifestError, match="expected parts of 2 to 4194304 vertices"):
        open_scene(replace(data, tensors={**data.tensors, **changes}))


@pytest.mark.parametrize(
    ("make", "change", "said"),
    [
        (_hash, {"step": 0.0}, "step 0.0"),
        (_hash, {"step": float("nan")}, "step nan"),
        (_hash, {"unbounded": 0.5}, "unbounded 0.5"),
        (_hash, {"radius": 1.0}, "radius"),
        (_planes, {"frequencies": 99.0}, "frequencies"),
        (_planes, {"frequencies": 0.0}, "color_net.0"),
        (_planes, {"guide_weight": 0.0}, "guide_weight"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    make: Callable[[], SceneData], change: dict[str, float], said: str
) -> None:
    data = make()
    with pytest.raises(ManifestError, match=said):
        open_scene(replace(data, settings={**data.settings, **change}))
