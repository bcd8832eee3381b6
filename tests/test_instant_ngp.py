"""Instant-NGP's render against a loop in double precision, and what holds for any field."""

from unittest import mock

import numpy as np
import pytest
import torch
from instant_ngp_field import BOUNDS, instant_ngp_field, rays_around
from reference import instant_ngp as oracle
from reference import naive

from neurocity.cameras import Camera
from neurocity.errors import ConfigError
from neurocity.instant_ngp.core import InstantNGP, InstantNGPConfig
from neurocity.poses import look_at
from neurocity.rendering.compositing import transmittance
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.fixed_budget import NEGLIGIBLE_LIGHT
from neurocity.rendering.marching import FAR
from neurocity.rendering.occupancy import OCCUPIED
from neurocity.rendering.render import RayRender
from neurocity.training.metrics import psnr

SCENES = [{}, {"unbounded": True, "sky": True}, {"hash_kind": "xor", "level_dim": 4, "color_layers": 1}]


@pytest.mark.parametrize("changes", SCENES, ids=["bounded", "unbounded", "xor"])
def test_rays_equal_a_loop_in_double_precision(changes: dict[str, object]) -> None:
    model = instant_ngp_field(seed=3, **changes)
    origins, directions = rays_around(seed=1, count=21)
    render = model(origins, directions)
    for ray in range(len(origins)):
        expected = oracle.render_ray(model, origins[ray].double().numpy(), directions[ray].double().numpy())
        rgb, depth, opacity = (value[ray].numpy() for value in render)
        # Faint samples are left without colour, as long as they add up to less than 1/255.
        np.testing.assert_allclose(rgb, expected[0], atol=1 / 255)
        np.testing.assert_allclose(depth, expected[1], rtol=2e-4, atol=1e-5)
        np.testing.assert_allclose(opacity, expected[2], atol=2e-5)
    assert float(render.opacity.mean()) > 0.2
    assert float(render.rgb.std()) > 0.1


@pytest.mark.parametrize("changes", SCENES, ids=["bounded", "unbounded", "xor"])
def test_rounds_change_nothing_but_how_many_samples_are_evaluated(changes: dict[str, object]) -> None:
    model = instant_ngp_field(seed=3, **{**changes, "initial_density": 200.0})
    rays = rays_around(count=60)
    renders, counts = list[RayRender](), list[int]()
    for model.termination_rounds in ((2**31,), (1, 3, 7, 2**31)):
        with mock.patch.object(model, "density", side_effect=model.density) as density, without_kernels():
            renders.append(model(*rays))
        counts.append(sum(call.args[0].shape[1] for call in density.call_args_list))
    at_once, in_rounds = renders
    for name, limit in (
        ("rgb", NEGLIGIBLE_LIGHT),
        ("opacity", NEGLIGIBLE_LIGHT),
        ("depth", NEGLIGIBLE_LIGHT * model.marcher.far),
    ):
        pair = getattr(in_rounds, name), getattr(at_once, name)
        torch.testing.assert_close(*pair, atol=2 * limit, rtol=0.0)
    assert counts[1] < 0.8 * counts[0]


def test_images_equal_those_of_the_naive_render() -> None:
    """Dense samples along the whole way through the box, against a lattice of which most is leapt over."""
    model = instant_ngp_field(seed=4, march_steps=1200, initial_density=5.0)
    camera = Camera.from_fov_y(look_at((2.6, 0.4, 1.0), (0, 0, 0), (0, 0, 1)), 20, 20, 50.0)
    origins, directions = (torch.from_numpy(part) for part in camera.rays().arrays())
    expected = naive.render(model, origins, directions, samples=800)
    render = model(origins, directions)
    assert float(render.opacity.std()) > 0.2
    assert psnr(render.rgb, expected.rgb) > 45.0
    assert psnr(render.opacity, expected.opacity) > 45.0
    # Of depth, half a step is lost at either end of an occupied cell.
    dense = expected.opacity > 0.3
    assert float((render.depth - expected.depth)[dense].abs().max()) < 0.02


@pytest.mark.parametrize("level_dim", [1, 2, 4])
def test_the_naive_encoding_is_the_same_encoding(level_dim: int) -> None:
    model = instant_ngp_field(level_dim=level_dim)
    points = torch.rand(50, 3)
    torch.testing.assert_close(naive.encode(model, points), model.encoding(points.t()), atol=1e-5, rtol=0)


def test_rays_that_meet_nothing_are_exactly_empty() -> None:
    model = instant_ngp_field()
    origins, directions = rays_around(count=30)
    away = torch.where((origins * directions).sum(1, keepdim=True) > 0, directions, -directions)
    render = model(3.0 * origins + 5.0 * away, away)
    assert all(not bool(value.any()) for value in render)


def test_opacity_is_a_share_and_depth_lies_inside_of_the_box() -> None:
    model = instant_ngp_field(initial_density=1000.0)
    origins, directions = rays_around(count=300)
    render = model(origins, directions)
    assert float(render.opacity.min()) == 0.0
    assert 1.0 - 1e-5 < float(render.opacity.max()) <= 1.0
    assert bool((render.rgb >= 0.0).all())
    assert bool((render.rgb <= render.opacity[:, None] + 1e-6).all())
    hit = render.opacity > 0.5
    surface = (origins + directions * render.depth[:, None])[hit]
    low, high = torch.tensor(BOUNDS[:3]), torch.tensor(BOUNDS[3:])
    assert bool(((surface > low - 1e-4) & (surface < high + 1e-4)).all())


def test_a_sky_makes_every_ray_opaque() -> None:
    model = instant_ngp_field(unbounded=True, sky=True)
    origins, directions = rays_around(count=60)
    assert bool((model(origins, directions).opacity == 1.0).all())
    model.occupancy.set_occupied(torch.zeros(8**3, dtype=torch.bool))
    empty = model(origins, directions)
    assert bool((empty.opacity == 1.0).all())
    torch.testing.assert_close(empty.depth, torch.full_like(empty.depth, FAR * 2.1 / 2))
    turned = model(origins.flip(0), directions)
    assert torch.equal(turned.rgb, empty.rgb), "the sky depends on the direction alone"


@pytest.mark.parametrize("changes", SCENES[:2], ids=["bounded", "unbounded"])
def test_the_units_of_a_scene_do_not_matter(changes: dict[str, object]) -> None:
    """The same photographs in millimetres instead of metres: the same image, depths 1024 times as long."""
    small = instant_ngp_field(**changes)
    large = instant_ngp_field(**changes, scene_bounds=tuple(1024.0 * value for value in BOUNDS))
    one = small(*rays_around(seed=5))
    two = large(*rays_around(seed=5, scale=1024.0))
    torch.testing.assert_close(two.rgb, one.rgb, atol=1e-5, rtol=0)
    torch.testing.assert_close(two.opacity, one.opacity, atol=1e-5, rtol=0)
    torch.testing.assert_close(two.depth, 1024.0 * one.depth, rtol=1e-5, atol=1e-3)


def test_thin_fog_keeps_its_colour() -> None:
    """Leaving out the colour of faint samples must not darken a pixel by more than 1/255."""
    model = instant_ngp_field(march_steps=1024)
    model.occupancy.set_occupied(torch.ones(8**3, dtype=torch.bool))
    origins, directions = rays_around(count=60)
    # A thousand samples on a ray, each of which alone would be invisible.
    for parameter in model.density_net.parameters():
        parameter.data.zero_()
    model.density_scale = 1e-4 / model.marcher.step
    thin = model(origins, directions)
    assert float(thin.opacity.max()) > 0.04
    model.visible_weight = 0.0
    complete = model(origins, directions)
    assert float(complete.rgb.max()) > 0.02
    assert float((thin.rgb - complete.rgb).abs().max()) < 1 / 255


@pytest.mark.parametrize("changes", SCENES[:2], ids=["bounded", "unbounded"])
def test_training_renders_what_eval_renders(changes: dict[str, object]) -> None:
    model = instant_ngp_field(**changes)
    origins, directions = rays_around(seed=2)
    middle = torch.full((len(origins),), 0.5)
    evaluated = model(origins, directions)
    trained = model.render_training(origins.t(), directions.t(), middle, visible=0.0)
    torch.testing.assert_close(trained.rgb, evaluated.rgb, atol=1 / 255, rtol=0)
    torch.testing.assert_close(trained.opacity, evaluated.opacity, atol=1e-5, rtol=0)
    assert len(trained.weights) > 100
    fewer = model.render_training(origins.t(), directions.t(), middle, visible=1e-2)
    assert 0 < len(fewer.weights) < len(trained.weights)
    torch.testing.assert_close(fewer.rgb, trained.rgb, atol=1.1e-2, rtol=0)


@pytest.mark.parametrize("least", [1e-3, 0.2])
def test_hidden_samples_are_those_that_little_light_reaches(least: float) -> None:
    """Found in rounds, some of which end before a ray does."""
    model = instant_ngp_field(unbounded=True, sky=True)
    model.termination_rounds = (3, 9, 2**31)
    origins, directions = rays_around(seed=3)
    jitter = torch.rand(len(origins), generator=torch.Generator().manual_seed(0))
    samples = model.training_samples(origins.t(), directions.t(), jitter, 0.0)
    depth = model.density(samples.points)[1] * samples.delta
    kept = transmittance(depth, samples.offsets, samples.ray_index) > least
    assert 0.1 < float(kept.float().mean()) < 0.9
    visible = model.visible(samples, least)
    assert torch.equal(visible.t, samples.t[kept])
    assert torch.equal(visible.ray_index, samples.ray_index[kept])


def test_gradients_of_training_reach_every_weight() -> None:
    model = instant_ngp_field(unbounded=True, sky=True).requires_grad_(True).train()
    origins, directions = rays_around()
    render = model.render_training(origins.t(), directions.t(), torch.rand(len(origins)), visible=1e-4)
    render.rgb.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


def test_sparse_points_tell_where_matter_is_first() -> None:
    model = instant_ngp_field(occupancy_resolution=16)
    points = torch.tensor([[0.0, 0.0, 0.0], [0.5, -0.5, 0.7]], dtype=torch.float64)
    model.start_from_points(points)
    occupied = (model.occupancy.jump == OCCUPIED).nonzero()[:, 0]
    cells = model.marcher.cell(points.t().float())
    centers = model.occupancy.cell_corners(occupied)
    distance = (centers[:, :, None] - model.occupancy.cell_corners(cells)[:, None]).abs().amax(0).amin(1) * 16
    assert float(distance.max()) == 1.0, "the cells of the points and those around them"
    assert len(occupied) == 2 * 27


def test_the_render_graph_packs_all_samples() -> None:
    model = instant_ngp_field()
    assert model.sample_budget() == {"lattice_points": 40.0}
    model = instant_ngp_field(unbounded=True)
    assert model.sample_budget() == {"lattice_points": float(len(model.marcher.edges) - 1)}


def test_the_paper_preset_is_that_of_the_paper() -> None:
    config = InstantNGPConfig.preset("paper")
    assert (config.num_levels, config.level_dim, config.log2_hashmap_size) == (16, 2, 19)
    assert (config.base_resolution, config.finest_resolution, config.hidden_dim) == (16, 2048, 64)
    model = InstantNGP(config)
    # Dense levels are padded to T rows as well; their vertices alone would make 12.2 million parameters.
    assert sum(p.numel() for p in model.encoding.parameters()) == 16 * 2 * 2**19 == 16_777_216
    exact = sum(min(int(r) ** 3, 2**19) * 2 for r in model.encoding.resolutions)
    assert 12.1e6 < exact < 12.3e6
    networks = 32 * 64 + 64 * 16 + (32 * 64 + 64 * 64 + 64 * 3) + (16 * 32 + 32 * 3)
    assert sum(p.numel() for p in model.parameters()) == 16_777_216 + networks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_dim": 0}, "hidden_dim: got 0"),
        ({"march_steps": 0}, "march_steps: got 0"),
        ({"occupancy_resolution": 4}, "occupancy_resolution: got 4, expected 8 to 512"),
        ({"step_growth": 0.0}, "step_growth"),
        ({"near": -1.0}, "near"),
        ({"initial_density": 0.0}, "initial_density: got 0.0"),
        ({"scene_bounds": (0, 0, 0, 1, 1, 0)}, "scene_bounds"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        instant_ngp_field(**changes)


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(ConfigError, match="'huge', expected one of"):
        InstantNGPConfig.preset("huge")  # type: ignore[arg-type]


def test_a_configuration_for_a_scene_takes_its_box_and_surroundings() -> None:
    config = InstantNGPConfig.preset("cpu", near=0.1).for_scene(BOUNDS, True)
    assert (config.scene_bounds, config.unbounded, config.sky, config.near) == (BOUNDS, True, True, 0.1)
    assert not InstantNGPConfig().for_scene(BOUNDS, False).sky
