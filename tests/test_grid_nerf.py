"""Grid-NeRF's render by either branch against a loop in double precision, its exports, its configurations."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from family_models import assert_equal_renders, deprecations_known
from grid_nerf_field import grid_nerf_field
from instant_ngp_field import BOUNDS, rays_around
from reference import grid_nerf as oracle

from neurocity.errors import ConfigError
from neurocity.grid_nerf.core import GridNeRF, GridNeRFConfig
from neurocity.grid_nerf.nerf_branch import PositionalEncoding
from neurocity.rendering.compositing import compositing_weights
from neurocity.rendering.fixed_budget import NEGLIGIBLE_LIGHT

SCENES = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unbounded": True, "sky": True, "mode": "objects"},
        {"mode": "objects", "color_layers": 2},
        {"up_axis": "y"},
    ],
    ids=["city", "unbounded", "objects", "y up"],
)
BRANCHES = pytest.mark.parametrize("branch", ["grid", "nerf"])


@BRANCHES
@SCENES
def test_rays_equal_a_loop_in_double_precision(changes: dict[str, object], branch: str) -> None:
    model = grid_nerf_field(seed=3, render_branch=branch, **changes)
    origins, directions = rays_around(seed=1, count=21)
    render = model(origins, directions)
    for ray in range(len(origins)):
        expected = oracle.render_ray(model, origins[ray].double().numpy(), directions[ray].double().numpy())
        rgb, depth, opacity = (value[ray].numpy() for value in render)
        # Faint samples are left without colour, as long as they add up to less than 1/255.
        np.testing.assert_allclose(rgb, expected[0], atol=1 / 255)
        # Light that counts for nothing is left out: what stands for it is the sky, which is far.
        left_out = NEGLIGIBLE_LIGHT * model.marcher.far if model.sky_enabled else 0.0
        np.testing.assert_allclose(depth, expected[1], rtol=5e-4, atol=1e-5 + left_out)
        np.testing.assert_allclose(opacity, expected[2], atol=1e-4)
    assert float(render.opacity.mean()) > 0.2
    assert float(render.rgb.std()) > 0.1


@SCENES
def test_the_branches_differ_and_render_in_training_what_they_render_in_eval(
    changes: dict[str, object],
) -> None:
    grid, nerf = (grid_nerf_field(render_branch=branch, **changes) for branch in ("grid", "nerf"))
    origins, directions = rays_around(seed=2)
    middle = torch.full((len(origins),), 0.5)
    both = grid.render_branches(origins.t(), directions.t(), middle, 0.0, nerf=True)
    for trained, model in zip(both, (grid, nerf), strict=True):
        evaluated = model(origins, directions)
        torch.testing.assert_close(trained.rgb, evaluated.rgb, atol=1 / 255, rtol=0)
        torch.testing.assert_close(trained.opacity, evaluated.opacity, atol=1e-5, rtol=0)
    assert len(both[0].weights) == len(both[1].weights) > 100
    assert float((both[0].rgb - both[1].rgb).abs().mean()) > 0.02


@BRANCHES
def test_rounds_change_nothing(branch: str) -> None:
    model = grid_nerf_field(render_branch=branch)
    rays = rays_around(count=60)
    expected = model(*rays)
    model.termination_rounds = (1, 3, 7, 2**31)
    for got, value in zip(model(*rays), expected, strict=True):
        torch.testing.assert_close(got, value, atol=1e-4, rtol=0.0)


def test_the_nerf_branch_sees_nothing_where_the_grid_branch_sees_nothing() -> None:
    model = grid_nerf_field(render_branch="nerf", initial_density=1e-9)
    origins, directions = rays_around(count=20)
    assert not bool(model(origins, directions).opacity.any())


def test_no_sample_appears_at_once_where_the_guide_ends() -> None:
    """Rounding must not decide on what is seen: a sample's guide weight passes the threshold, barely."""
    model = grid_nerf_field(render_branch="nerf", mode="objects")
    origins, directions = rays_around()
    middle = torch.full((len(origins),), 0.5)
    samples = model.marcher(origins.t(), directions.t(), model.occupancy.jump, middle)
    _, density = model.density(samples.points)
    guide = compositing_weights(density * samples.delta, samples.offsets, samples.ray_index)
    changes = []
    for weight in guide[(guide > 1e-2) & (guide < 0.5)].tolist()[:12]:
        renders = []
        for threshold in (weight * 0.9999, weight * 1.0001, weight * 0.4):
            model.guide_weight = threshold
            renders.append(model(origins, directions).opacity)
        assert float((renders[0] - renders[1]).abs().max()) < 5e-3
        changes.append(float((renders[0] - renders[2]).abs().max()))
    assert max(changes) > 0.1, "none of these samples matters, so nothing is tested"


@BRANCHES
def test_gradients_of_training_reach_the_weights_of_their_stage(branch: str) -> None:
    model = grid_nerf_field(unbounded=True, sky=True, render_branch="nerf").requires_grad_(True).train()
    origins, directions = rays_around()
    rays = (origins.t(), directions.t(), torch.rand(len(origins)))
    renders = model.render_branches(*rays, 1e-4, nerf=branch == "nerf")
    sum(render.rgb.square().sum() for render in renders).backward()
    for name, parameter in model.named_parameters():
        if branch == "grid" and name.startswith("nerf."):
            assert parameter.grad is None, f"{name}: the first stage trains the grid branch alone"
            continue
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_nerf_branch_survives_torchscript(unbounded: bool) -> None:
    model = grid_nerf_field(render_branch="nerf", unbounded=unbounded, sky=unbounded)
    origins, directions = rays_around()
    expected = model(origins, directions)
    with deprecations_known():
        scripted = torch.jit.script(model)
        traced = torch.jit.trace(model, (origins[:37], directions[:37]), check_trace=False)
    assert_equal_renders(scripted(origins, directions), expected)
    assert_equal_renders(traced(origins, directions), expected)


@pytest.mark.slow
def test_the_nerf_branch_survives_onnx() -> None:
    """`test_every_family` exports the grid branch, in unbounded scenes too."""
    model = grid_nerf_field(render_branch="nerf")
    origins, directions = rays_around()
    expected = model(origins, directions)
    axis = torch.export.Dim("rays", min=1, max=1 << 20)
    with deprecations_known():
        exported = torch.export.export(
            model, (origins[:37], directions[:37]), dynamic_shapes=({0: axis}, {0: axis})
        )
        program = torch.onnx.export(exported, dynamo=True, opset_version=20, verify=False, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for count in (1, len(origins)):
        feed = {"ray_origins": origins[:count].numpy(), "ray_directions": directions[:count].numpy()}
        outputs = [torch.from_numpy(value) for value in session.run(None, feed)]
        assert_equal_renders(outputs, [value[:count] for value in expected], 1e-4)


def test_positional_encoding_is_that_of_nerf_even_at_high_frequencies() -> None:
    encoding, points = PositionalEncoding(16), torch.rand(3, 20)
    expected = [oracle.positional_encoding(point, 16) for point in points.t().double().numpy()]
    # A position in float32 is known to 2^-24; 2^15 pi times that is 0.006.
    np.testing.assert_allclose(encoding(points).numpy(), expected, atol=1e-2)
    exact = torch.arange(65.0).div(64.0).expand(3, -1)
    expected = [oracle.positional_encoding(point, 8) for point in exact.t().double().numpy()]
    np.testing.assert_allclose(PositionalEncoding(8)(exact).numpy(), expected, atol=1e-6)


def test_vertices_are_in_proportion_to_the_box() -> None:
    box = (0.0, 0.0, 0.0, 8.0, 4.0, 1.0)
    model = grid_nerf_field(scene_bounds=box)
    x, y, z = model.vertices(100.0)
    assert (x, y, z) == (252, 126, 31)
    assert 0.97e6 < x * y * z < 1.03e6
    assert grid_nerf_field(scene_bounds=box, unbounded=True, sky=True).vertices(100.0) == (100, 100, 100)


def test_a_city_has_its_ground_plane_across_the_vertical_axis() -> None:
    found = {
        axis: grid_nerf_field(up_axis=axis).density_features.axes.unique(dim=0).tolist() for axis in "xyz"
    }
    assert found == {"x": [[1, 2, 0]], "y": [[0, 2, 1]], "z": [[0, 1, 2]]}
    assert len(grid_nerf_field(mode="objects").density_features.axes.unique(dim=0)) == 3


def test_a_configuration_for_a_scene_takes_its_box_surroundings_and_vertical() -> None:
    config = GridNeRFConfig.preset("cpu", near=0.1).for_scene(BOUNDS, True, (0.1, -0.99, 0.0))
    assert (config.scene_bounds, config.unbounded, config.sky, config.near) == (BOUNDS, True, True, 0.1)
    assert config.up_axis == "y"
    assert GridNeRFConfig().for_scene(BOUNDS, False).up_axis == "z"
    assert not GridNeRFConfig().for_scene(BOUNDS, False).sky


def test_the_paper_preset_is_that_of_the_paper() -> None:
    config = GridNeRFConfig.preset("paper")
    assert (config.initial_resolution, config.final_resolution) == (128, 1024)
    assert config.resolution_divisors == (1, 4, 16)
    assert (config.density_components, config.appearance_components) == (8, 16)
    assert (config.hidden_dim, config.nerf_width, config.nerf_layers) == (128, 256, 4)
    assert (config.nerf_frequencies, config.mode, config.render_branch) == (16, "city", "grid")
    model = GridNeRF(replace(config, final_resolution=256))
    planes = 256**2 + 64**2 + 16**2
    assert sum(p.numel() for p in model.density_features.parameters()) == 8 * (planes + 256 + 64 + 16)
    assert sum(p.numel() for p in model.appearance_features.parameters()) == 16 * (planes + 256 + 64 + 16)
    assert model.density_features.width == 24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "village"}, "mode: got 'village', expected city or objects"),
        ({"up_axis": "w"}, "up_axis: got 'w'"),
        ({"render_branch": "both"}, "render_branch: got 'both'"),
        ({"initial_resolution": 13}, "got 13 and 12, expected 2 <= initial <= final"),
        ({"resolution_divisors": ()}, "resolution_divisors"),
        ({"resolution_divisors": (0,)}, "resolution_divisors"),
        ({"nerf_layers": 1}, "nerf_layers: got 1, expected at least 2"),
        ({"hidden_dim": 0}, "hidden_dim: got 0"),
        ({"guide_weight": 0.0}, "guide_weight: got 0.0"),
        ({"occupancy_resolution": 4}, "occupancy_resolution: got 4, expected 8 to 512"),
        ({"near": -1.0}, "near: got -1.0"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        grid_nerf_field(**changes)
