"""Mip-NeRF's render against loops in double precision, and what holds for any field."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from mip_nerf_field import BOUNDS, cone_rays, mip_nerf_field
from reference.mip_nerf import Reference

from neurocity.errors import ConfigError
from neurocity.mip_nerf.core import MipNeRF, MipNeRFConfig
from neurocity.rendering.marching import FAR

SCENES = [{}, {"unbounded": True, "sky": True}, {"integrated": False}]
NAMES = ["bounded", "unbounded", "not integrated"]


@pytest.mark.parametrize("changes", SCENES, ids=NAMES)
def test_rays_equal_a_loop_in_double_precision(changes: dict[str, object]) -> None:
    model = mip_nerf_field(seed=3, **changes)
    reference = Reference(model)
    origins, directions, radii = cone_rays(seed=1, count=15)
    render = model(origins, directions, radii)
    spans = torch.stack(model.space.span(model.space.to_unit(origins), directions), dim=1)
    met = 0
    for ray in range(len(origins)):
        rgb, depth, opacity = (value[ray].numpy() for value in render)
        begin, end = spans[ray].tolist()
        if end <= begin:
            assert not rgb.any()
            assert depth == opacity == 0.0
            continue
        met += 1
        expected = reference.render_ray(
            origins[ray].double().numpy(), directions[ray].double().numpy(), float(radii[ray]), (begin, end)
        )
        np.testing.assert_allclose(rgb, expected[0], atol=2e-5)
        np.testing.assert_allclose(depth, expected[1], rtol=1e-4)
        np.testing.assert_allclose(opacity, expected[2], atol=2e-5)
    assert met > 5
    assert float(render.opacity.max()) > 0.5
    assert float(render.rgb.std()) > 0.1


@pytest.mark.parametrize("changes", SCENES, ids=NAMES)
def test_halved_it_has_the_same_densities(changes: dict[str, object]) -> None:
    model, rays = mip_nerf_field(seed=3, **changes), cone_rays(seed=1, count=99)
    halved = copy.deepcopy(model)
    halved.halve()
    expected, render = model(*rays), halved(*rays)
    assert torch.equal(render.depth, expected.depth)
    assert torch.equal(render.opacity, expected.opacity)
    difference = (render.rgb - expected.rgb).abs().max()
    assert 0.0 < float(difference) < 5e-3


GRAPHS: dict[str, Callable[[MipNeRF], torch.nn.Module]] = {
    "packed": lambda model: model,
    "fixed budget": lambda model: model.fixed_budget(20),
    "scripted": torch.jit.script,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("changes", SCENES[:2], ids=NAMES[:2])
def test_a_radius_that_is_not_positive_stands_for_the_mean(changes: dict[str, object], graph: str) -> None:
    model = mip_nerf_field(seed=3, **changes)
    model.mean_radius.fill_(0.3)
    render = GRAPHS[graph](model)
    origins, directions, radii = cone_rays(count=40)
    without = render(origins, directions)
    for radius in (0.0, -1.0, torch.nan, 0.3):
        given = render(origins, directions, torch.full_like(radii, radius))
        for a, b in zip(given, without, strict=True):
            assert torch.equal(a, b)
    # Each ray by itself: a radius of its own, or the mean.
    mixed = torch.where(torch.arange(40)[:, None] % 2 == 0, radii, 0.0)
    own, got = render(origins, directions, radii), render(origins, directions, mixed)
    for a, b, c in zip(got, own, without, strict=True):
        torch.testing.assert_close(a[::2], b[::2], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(a[1::2], c[1::2], rtol=1e-5, atol=1e-6)
    assert float((own.rgb - without.rgb).abs().max()) > 1e-3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("graph", ["packed", "fixed budget"])
def test_graphs_are_recorded_with_radii_as_a_third_input(graph: str) -> None:
    model = mip_nerf_field(seed=3)
    render, rays = GRAPHS[graph](model), cone_rays(count=61)
    some = torch.export.Dim("rays", min=1, max=65536)
    program = torch.export.export(render, rays, dynamic_shapes=({0: some}, {0: some}, {0: some}))
    traced = torch.jit.trace(render, rays, check_trace=False)
    for count in (7, 61):
        part = tuple(plane[:count] for plane in rays)
        for recorded in (program.module(), traced):
            for a, b in zip(recorded(*part), render(*rays), strict=True):
                torch.testing.assert_close(a, b[:count], rtol=1e-5, atol=1e-5)
            zeros = recorded(*part[:2], torch.zeros(count, 1))
            for a, b in zip(zeros, render(*rays[:2]), strict=True):
                torch.testing.assert_close(a, b[:count], rtol=1e-5, atol=1e-5)


def test_the_paper_preset_is_that_of_the_paper() -> None:
    config = MipNeRFConfig.preset("paper")
    assert (config.depth, config.width, config.position_degrees) == (8, 256, 16)
    assert (config.coarse_samples, config.fine_samples) == (128, 128)
    assert sum(parameter.numel() for parameter in MipNeRF(config).parameters()) == 612_740


@pytest.mark.parametrize("changes", SCENES, ids=NAMES)
def test_training_between_the_posts_of_eval_renders_what_eval_renders(changes: dict[str, object]) -> None:
    """With quantiles and jitter in the middle of their strata, and enough samples, both see the same."""
    model = mip_nerf_field(**changes, coarse_samples=160, fine_samples=320, color_padding=0.0)
    origins, directions, radii = cone_rays(seed=2)
    evaluated = model(origins, directions, radii)
    hit, cones = model.cast(origins, directions, radii)
    noise = tuple(torch.full((len(hit), samples + 1), 0.5) for samples in (160, 320))
    fine, coarse = model.render_training(cones, noise, True)
    assert coarse is not None
    for trained, tolerance in ((fine, 0.01), (coarse, 0.05)):
        torch.testing.assert_close(trained.rgb, evaluated.rgb[hit], atol=tolerance, rtol=0)
        torch.testing.assert_close(trained.opacity, evaluated.opacity[hit], atol=tolerance, rtol=0)
    again, none = model.render_training(cones, noise, False)
    assert none is None
    torch.testing.assert_close(again.rgb, fine.rgb, rtol=0, atol=0)


def test_gradients_of_a_pass_are_those_of_differences() -> None:
    """Of the first pass: the second one's sample positions carry no gradient but move with the weights."""
    model = mip_nerf_field(unbounded=True, sky=True).double().requires_grad_(True).train()
    planes = (plane.double() for plane in cone_rays(count=4))
    hit, cones = model.cast(*planes)
    noise = tuple(torch.rand(len(hit), samples + 1, dtype=torch.float64) for samples in (9, 11))

    def light() -> torch.Tensor:
        coarse = model.render_training(cones, noise, True)[1]
        assert coarse is not None
        return (coarse.rgb * torch.linspace(1.0, 2.0, 12).view(4, 3).double()).sum()

    light().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        place = int(parameter.grad.abs().flatten().argmax())
        slope = parameter.grad.flatten()[place].item()
        values = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                parameter.view(-1)[place] += sign * 1e-6
                values.append(light().item())
                parameter.view(-1)[place] -= sign * 1e-6
        np.testing.assert_allclose((values[0] - values[1]) / 2e-6, slope, rtol=1e-3, atol=1e-6, err_msg=name)


def test_positions_carry_no_gradient_and_the_second_pass_does() -> None:
    model = mip_nerf_field().requires_grad_(True).train()
    hit, cones = model.cast(*cone_rays())
    noise = tuple(torch.rand(len(hit), samples + 1) for samples in (9, 11))
    fine, _ = model.render_training(cones, noise, False)
    fine.rgb.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


@pytest.mark.parametrize("changes", SCENES[:2], ids=NAMES[:2])
def test_the_units_of_a_scene_do_not_matter(changes: dict[str, object]) -> None:
    """The same photographs in millimetres instead of metres: the same image, depths 1024 times as long."""
    small = mip_nerf_field(**changes)
    large = mip_nerf_field(**changes, scene_bounds=tuple(1024.0 * value for value in BOUNDS))
    one, two = small(*cone_rays(seed=5)), large(*cone_rays(seed=5, scale=1024.0))
    torch.testing.assert_close(two.rgb, one.rgb, atol=1e-5, rtol=0)
    torch.testing.assert_close(two.opacity, one.opacity, atol=1e-5, rtol=0)
    torch.testing.assert_close(two.depth, 1024.0 * one.depth, rtol=1e-5, atol=1e-3)


def test_radii_blur_and_their_absence_means_the_mean() -> None:
    model = mip_nerf_field(position_degrees=8)
    origins, directions, radii = cone_rays(count=60)
    model.mean_radius.fill_(0.01)
    usual = model(origins, directions)
    torch.testing.assert_close(usual.rgb, model(origins, directions, torch.full_like(radii, 0.01)).rgb)
    wide = model(origins, directions, torch.full_like(radii, 0.2))
    assert float((wide.rgb - usual.rgb).abs().max()) > 0.01
    plain = mip_nerf_field(position_degrees=8, integrated=False)
    torch.testing.assert_close(
        plain(origins, directions, radii).rgb, plain(origins, directions, 10 * radii).rgb, atol=0.02, rtol=0
    )


def test_a_sky_makes_every_ray_opaque() -> None:
    model = mip_nerf_field(unbounded=True, sky=True, density_scale=1e-9)
    origins, directions, _ = cone_rays()
    empty = model(origins, directions)
    assert bool((empty.opacity == 1.0).all())
    torch.testing.assert_close(empty.depth, torch.full_like(empty.depth, FAR * 2.1 / 2))
    turned = model(origins.flip(0), directions)
    torch.testing.assert_close(turned.rgb, empty.rgb, atol=1e-6, rtol=0)


def test_rendering_in_parts_changes_nothing() -> None:
    model = mip_nerf_field()
    _, cones = model.cast(*cone_rays(count=3000))
    together = model.render_cones(cones)
    assert len(cones.begin) > 2**15 // 11 / 4
    torch.testing.assert_close(model.render_in_parts(cones), together, atol=1e-6, rtol=0)


def test_the_render_graph_covers_all_of_a_ray() -> None:
    model = mip_nerf_field()
    assert model.sample_budget() == {"coarse_samples": 9.0, "fine_samples": 11.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width: got 0"),
        ({"coarse_samples": 1}, "coarse_samples: got 1, expected at least 2"),
        ({"position_degrees": 0}, "position_degrees: got 0"),
        ({"hull_resolution": 4}, "hull_resolution: got 4, expected 8 to 512"),
        ({"resampling_padding": 0.0}, "resampling_padding: got 0.0"),
        ({"density_scale": 0.0}, "density_scale: got 0.0"),
        ({"near": -1.0}, "near: got -1.0"),
        ({"scene_bounds": (0, 0, 0, 1, 1, 0)}, "scene_bounds"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mip_nerf_field(**changes)


def test_a_configuration_for_a_scene_takes_its_box_and_surroundings() -> None:
    config = MipNeRFConfig.preset("cpu", near=0.1).for_scene(BOUNDS, True)
    assert (config.scene_bounds, config.unbounded, config.sky, config.near) == (BOUNDS, True, True, 0.1)
    assert not MipNeRFConfig().for_scene(BOUNDS, False).sky


def test_an_unbounded_scene_starts_as_thin_as_the_papers() -> None:
    paper, cpu = (MipNeRFConfig.preset(name) for name in ("paper", "cpu"))  # type: ignore[arg-type]
    assert paper.for_scene(BOUNDS, True).density_bias == pytest.approx(-1.0)
    thin = cpu.for_scene(BOUNDS, True)
    density = thin.density_scale * np.log1p(np.exp(thin.density_bias))
    assert density == pytest.approx(np.log1p(np.exp(-1.0)))
    assert cpu.for_scene(BOUNDS, False).density_bias == cpu.density_bias
