"""Subdivision and pruning: which voxels, what becomes of values, and of the optimiser's memory of them."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from svraster_scene import random_model, random_rays

from neurocity.errors import ConfigError, TrainingError
from neurocity.svraster.core import SVRaster
from neurocity.svraster.octree import grid_points
from neurocity.svraster.training.adaptation import decide, plan
from neurocity.svraster.training.config import SVRasterTrainingConfig
from neurocity.svraster.training.statistics import VoxelStatistics


def choice(model: SVRaster, keep: float, split: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(2, len(model.voxel_level), generator=generator)
    return draws[0] < keep, draws[1] < split


def density_at(model: SVRaster, points: torch.Tensor) -> torch.Tensor:
    """Raw density at points [P, 3] of the unit cube by brute force over voxels; nan where there is none."""
    low, scale = model.voxel_low.t(), model.voxel_scale
    values = torch.full((len(points),), torch.nan)
    for index, point in enumerate(points):
        local = (point - low) * scale[:, None]
        inside = ((local >= 0.0) & (local < 1.0)).all(1).nonzero().flatten()
        if len(inside):
            corners = model.density.detach()[model.voxel_points[inside[0]]]
            x, y, z = local[inside[0]].tolist()
            weights = [
                (x if c & 4 else 1 - x) * (y if c & 2 else 1 - y) * (z if c & 1 else 1 - z) for c in range(8)
            ]
            values[index] = (corners * torch.tensor(weights)).sum()
    return values


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_kept_voxels_stay_and_split_ones_fall_into_eight(seed: int) -> None:
    model = random_model(seed, depth=3)
    keep, split = choice(model, 0.7, 0.4, seed)
    change = plan(model, keep, split)
    expected = set()
    for voxel in keep.nonzero().flatten().tolist():
        level, cell = int(model.voxel_level[voxel]), model.voxel_cell[voxel].tolist()
        if not split[voxel]:
            expected.add((level, *cell))
            continue
        expected |= {
            (level + 1, *(2 * c + (octant >> bit & 1) for c, bit in zip(cell, (2, 1, 0), strict=True)))
            for octant in range(8)
        }
    found = [(level, *cell) for level, cell in zip(change.level.tolist(), change.cell.tolist(), strict=True)]
    assert len(found) == len(expected)
    assert set(found) == expected
    colors = torch.randn(len(keep), 5)
    assert torch.equal(change.voxels(colors), colors[change.source])
    shift = (change.level - model.voxel_level[change.source])[:, None]
    assert torch.equal(change.cell >> shift, model.voxel_cell[change.source]), "source is the whole"


def test_splitting_everything_leaves_the_field_as_it_was() -> None:
    """Where voxels of one size are split alike, trilinear interpolation loses nothing."""
    model = random_model(drop=0.0, depth=2)
    cells = torch.cartesian_prod(*[torch.arange(4)] * 3)
    model.set_voxels(torch.full((64,), 2), cells)
    torch.nn.init.normal_(model.density)
    points = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
    before = density_at(model, points)
    everything = torch.ones(64, dtype=torch.bool)
    plan(model, everything, everything).apply(model)
    assert len(model.voxel_level) == 512
    torch.testing.assert_close(density_at(model, points), before, rtol=1e-5, atol=1e-6)


def point_values(model: SVRaster) -> dict[tuple[int, ...], float]:
    _, places = grid_points(model.voxel_level, model.voxel_cell)
    return {tuple(p): v for p, v in zip(places.tolist(), model.density.tolist(), strict=True)}


def test_points_that_stay_keep_their_values_and_new_ones_lie_between() -> None:
    """Two split voxels with a common edge, and one of half their size on a face of the first."""
    model = random_model()
    model.set_voxels(torch.tensor([1, 2, 1]), torch.tensor([[0, 0, 0], [2, 0, 0], [0, 1, 1]]))
    torch.nn.init.normal_(model.density, generator=torch.Generator().manual_seed(0))
    old = point_values(model)
    plan(model, torch.ones(3, dtype=torch.bool), torch.tensor([True, False, True])).apply(model)
    new = point_values(model)
    assert old.items() <= new.items(), "to the last bit"
    half, quarter = 2**15, 2**14
    assert (half, quarter, 0) in old, "the small voxel's corner on the large one's edge"
    assert (quarter, 0, 0) not in old
    assert new[quarter, 0, 0] == pytest.approx((old[0, 0, 0] + old[half, 0, 0]) / 2.0, rel=1e-5)
    shared = (old[0, half, half] + old[half, half, half]) / 2.0
    assert new[quarter, half, half] == pytest.approx(shared, rel=1e-5)


def test_the_image_changes_with_a_split_as_little_as_finer_quadrature_does() -> None:
    model = random_model(depth=3, drop=0.0, samples_per_voxel=3).eval()
    with torch.no_grad():
        model.density.mul_(0.3)
        model.shs.zero_()
    origins, directions = random_rays(model)
    with torch.no_grad():
        before = model(origins.t(), directions.t())
        # All of the smallest voxels: coarser ones keep all of their corners.
        smallest = model.voxel_level == 3
        plan(model, torch.ones_like(smallest), smallest).apply(model)
        after = model(origins.t(), directions.t())
    assert float((after.rgb - before.rgb).abs().mean()) < 2e-3
    assert float((after.opacity - before.opacity).abs().max()) < 0.02


def test_a_change_without_effect_changes_nothing_to_the_last_bit() -> None:
    model = random_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    everything = torch.ones(len(model.voxel_level), dtype=torch.bool)
    change = plan(model, everything, ~everything)
    assert not change.changes
    change.apply(model, optimizer)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_moments_go_where_their_parameters_go() -> None:
    model = random_model(depth=3)
    rates = ((model.density, 1.0), (model.sh0, 2.0), (model.shs, 3.0))
    optimizer = torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in rates])
    for parameter, _ in rates:
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    state = {
        name: {k: v.clone() for k, v in optimizer.state[model.get_parameter(name)].items()}
        for name in ("density", "sh0", "shs")
    }
    keep, split = choice(model, 0.8, 0.3)
    change = plan(model, keep, split)
    change.apply(model, optimizer)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert [p.shape for p in held] == [model.density.shape, model.sh0.shape, model.shs.shape]
    assert all(a is b for a, b in zip(held, (model.density, model.sh0, model.shs), strict=True))
    assert len(optimizer.state) == 3, "and nothing of the old ones is left"
    for name, mapped in (("density", change.points), ("sh0", change.voxels), ("shs", change.voxels)):
        moved = optimizer.state[model.get_parameter(name)]
        assert torch.equal(moved["exp_avg"], mapped(state[name]["exp_avg"]))
        assert torch.equal(moved["exp_avg_sq"], mapped(state[name]["exp_avg_sq"]))
        assert float(moved["exp_avg_sq"].min()) >= 0.0
        assert float(moved["step"]) == 1.0
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 2.0, 3.0]


def seen(model: SVRaster, **changes: torch.Tensor) -> VoxelStatistics:
    statistics = VoxelStatistics.zeros(len(model.voxel_level), torch.device("cpu"))
    statistics.weight.fill_(0.5)
    statistics.footprint.fill_(1e-3)
    statistics.priority.copy_(torch.arange(len(model.voxel_level)) + 1.0)
    for name, values in changes.items():
        getattr(statistics, name).copy_(values)
    return statistics


def config(**changes: Any) -> SVRasterTrainingConfig:
    options: dict[str, Any] = {
        "subdivision_start_epoch": 1,
        "subdivision_interval": 1,
        "subdivision_share": 1.0,
        "subdivision_threshold": 0.0,
        "full_subdivisions": 0,
        "pruning_start_epoch": 1,
        "pruning_interval": 1,
        "pruning_threshold": 0.1,
        "final_pruning_threshold": 0.2,
        "pruning_end": 0.8,
    }
    return SVRasterTrainingConfig(**{**options, **changes})


def split_of(model: SVRaster, statistics: VoxelStatistics, training: SVRasterTrainingConfig) -> set[int]:
    change = decide(model, statistics, training, epoch=1, progress=0.0)
    return set(change.source[change.level > model.voxel_level[change.source]].tolist())


def test_voxels_below_the_threshold_are_removed_and_it_rises() -> None:
    model = random_model()
    weight = torch.linspace(0.0, 0.3, len(model.voxel_level))
    training = config(enable_subdivision=False)
    for progress, threshold in ((0.0, 0.1), (0.4, 0.15), (0.8, 0.2)):
        change = decide(model, seen(model, weight=weight), training, epoch=1, progress=progress)
        assert change.source.tolist() == (weight >= threshold).nonzero().flatten().tolist()
    late = decide(model, seen(model, weight=weight), training, epoch=1, progress=0.81)
    assert not late.changes


def test_priority_and_share_decide_what_is_split() -> None:
    model = random_model()
    number = len(model.voxel_level)
    training = config(enable_pruning=False)
    assert split_of(model, seen(model), training) == set(range(number))
    half = config(enable_pruning=False, subdivision_threshold=0.5)
    assert split_of(model, seen(model), half) == {v for v in range(number) if v + 1 >= number / 2}
    few = config(enable_pruning=False, subdivision_share=0.1)
    assert split_of(model, seen(model), few) == set(range(number - int(0.1 * number), number))
    first = config(enable_pruning=False, subdivision_share=0.1, full_subdivisions=1)
    assert split_of(model, seen(model), first) == set(range(number))


def test_voxels_are_split_down_to_the_pixels_and_to_the_octrees_depth() -> None:
    model = random_model(max_octree_levels=4)
    training = config(enable_pruning=False, smallest_voxel=2.0)
    part = model.root_side / model.voxel_scale / 2.0
    footprint = torch.full_like(part, float(part.median()) / 2.0)
    footprint[0] = torch.inf
    expected = (part >= 2.0 * footprint) & (model.voxel_level < 4)
    assert split_of(model, seen(model, footprint=footprint), training) == set(
        expected.nonzero().flatten().tolist()
    )
    assert 0 < int(expected.sum()) < len(part)


def test_there_are_never_more_voxels_than_the_model_may_have() -> None:
    number = len(random_model().voxel_level)
    for most in (number - 5, number, number + 20):
        model = random_model(max_voxels=most)
        change = decide(model, seen(model), config(), epoch=1, progress=0.0)
        assert len(change.source) == number + max(0, most - number) // 7 * 7


def test_epochs_are_those_of_the_configuration() -> None:
    training = SVRasterTrainingConfig()
    assert [e for e in range(1, 31) if training.subdivides(e, 0.1)] == [10, 15, 20, 25, 30]
    assert [e for e in range(1, 51) if training.prunes(e, 0.1)] == [20, 30, 40, 50]
    assert not training.subdivides(15, 0.8)
    off = SVRasterTrainingConfig(enable_subdivision=False, enable_pruning=False)
    assert not any(off.subdivides(e, 0.0) or off.prunes(e, 0.0) for e in range(1, 40))


def test_an_empty_scene_is_an_error_that_says_what_may_help() -> None:
    model = random_model()
    statistics = seen(model, weight=torch.zeros(len(model.voxel_level)))
    with pytest.raises(TrainingError, match=r"end of epoch 1 would leave no voxel.*pruning_threshold"):
        decide(model, statistics, config(), epoch=1, progress=0.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subdivision_interval", 0),
        ("subdivision_share", 1.5),
        ("hull_resolution", 48),
        ("distortion_weight", -0.1),
        ("rays_per_batch", 0),
    ],
)
def test_bad_configurations_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{field}: got {value}, expected"):
        SVRasterTrainingConfig(**{field: value})
