"""Plane and line features against loops in double precision, their kernel against its twin, their growth."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import grid_nerf as oracle

from neurocity.grid_nerf.planes import PlaneLineFeatures, sparsity, total_variation
from neurocity.rendering.cpu_kernels import kernels_apply

CITY = [(0, 1, 2)]
OBJECT = [(0, 1, 2), (0, 2, 1), (1, 2, 0)]
MODES = pytest.mark.parametrize("modes", [CITY, [(0, 2, 1)], OBJECT], ids=["city", "y up", "objects"])


def features_of(
    *,
    initial: tuple[int, int, int] = (7, 9, 5),
    final: tuple[int, int, int] = (13, 17, 9),
    modes: list[tuple[int, int, int]] = OBJECT,
    divisors: tuple[int, ...] = (1, 2),
    components: int = 3,
    seed: int = 0,
) -> PlaneLineFeatures:
    """Features whose entries are of order one, so that differences show."""
    features = PlaneLineFeatures(
        initial=initial, final=final, modes=modes, divisors=divisors, components=components
    )
    generator = torch.Generator().manual_seed(seed)
    for table in features.parameters():
        table.data = torch.randn(table.shape, generator=generator)
    return features


def some_points(count: int = 30, seed: int = 1) -> torch.Tensor:
    """Points [3, N] in the unit cube: random ones and its corners."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3))).t()
    return torch.cat([torch.rand(3, count, generator=generator), corners], dim=1)


def values_and_gradients(
    features: PlaneLineFeatures, points: torch.Tensor, grad_out: torch.Tensor, encode: str
) -> list[torch.Tensor]:
    for table in features.parameters():
        table.grad = None
    values = getattr(features, encode)(points)
    values.backward(grad_out)
    return [values.detach(), features.planes.grad.clone(), features.lines.grad.clone()]


@MODES
def test_features_equal_loops_in_double_precision(modes: list[tuple[int, int, int]]) -> None:
    features = features_of(modes=modes)
    tables = [table.detach().numpy() for table in (features.planes, features.lines)]
    parts = oracle.tables_of(*tables, vertices=(7, 9, 5), final=(13, 17, 9), modes=modes, divisors=(1, 2))
    points = some_points()
    expected = oracle.features(points.numpy(), parts)
    assert expected.shape[1] == features.width == len(modes) * 2 * 3
    for encode in (features.forward, features.encode):
        np.testing.assert_allclose(encode(points).detach().numpy(), expected, atol=2e-5)


@MODES
def test_gradients_equal_finite_differences_of_the_loops(modes: list[tuple[int, int, int]]) -> None:
    """In double precision, a product is quadratic in its factors: central differences are exact."""
    features = features_of(modes=modes, initial=(3, 4, 2), final=(3, 4, 2), components=2)
    points = some_points(5)
    grad_out = torch.randn(points.shape[1], features.width, generator=torch.Generator().manual_seed(2))
    tables = [table.detach().double().numpy() for table in (features.planes, features.lines)]

    def objective() -> float:
        parts = oracle.tables_of(*tables, vertices=(3, 4, 2), final=(3, 4, 2), modes=modes, divisors=(1, 2))
        return math.fsum((oracle.features(points.numpy(), parts) * grad_out.numpy()).ravel())

    expected = []
    for table in tables:
        gradient = np.zeros_like(table)
        for index in np.ndindex(*table.shape):
            kept = table[index]
            table[index] = kept + 0.5
            above = objective()
            table[index] = kept - 0.5
            gradient[index] = above - objective()
            table[index] = kept
        expected.append(gradient)
    for encode in ("forward", "encode"):
        _, *gradients = values_and_gradients(features, points, grad_out, encode)
        for gradient, truth in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(gradient.numpy(), truth, atol=2e-5)


@settings(max_examples=20)
@given(
    initial=st.tuples(*[st.integers(2, 20)] * 3),
    room=st.integers(0, 9),
    modes=st.sampled_from([CITY, OBJECT, [(0, 2, 1)]]),
    divisors=st.sampled_from([(1,), (1, 4), (1, 2, 16)]),
    components=st.sampled_from([1, 4, 7]),
    seed=st.integers(0, 99),
)
def test_the_kernel_equals_the_definition(
    initial: tuple[int, int, int], room: int, modes: list[tuple[int, int, int]], **rest: object
) -> None:
    final = tuple(count + room for count in initial)
    features = features_of(initial=initial, final=final, modes=modes, **rest)
    points = some_points(20, rest["seed"])
    assert kernels_apply(points)
    grad_out = torch.randn(points.shape[1], features.width)
    fast = values_and_gradients(features, points, grad_out, "forward")
    slow = values_and_gradients(features, points, grad_out, "encode")
    for one, two in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, two, atol=2e-5, rtol=0)


def test_the_kernel_works_the_same_on_several_threads() -> None:
    features, points = features_of(), torch.rand(3, 5000)
    grad_out = torch.randn(5000, features.width)
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(values_and_gradients(features, points, grad_out, "forward"))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@MODES
def test_growth_to_nested_vertices_changes_no_value(modes: list[tuple[int, int, int]]) -> None:
    """With 2 n - 1 vertices each old one is a new one, and each new one lies halfway between two old ones."""
    features = features_of(modes=modes, divisors=(1,))
    points = some_points(200)
    before = features(points)
    assert features.smaller_than((13, 17, 9))
    features.grow((13, 17, 9))
    assert not features.smaller_than((13, 17, 9))
    assert features.sizes.max() == 17
    torch.testing.assert_close(features(points), before, atol=1e-5, rtol=0)


def test_growth_to_other_vertices_keeps_what_is_linear_and_the_corners() -> None:
    features = features_of(final=(11, 16, 9), components=1, divisors=(1, 2))
    with torch.no_grad():
        for grid in features.grids_in_use(features.planes, features.lines):
            height, width, _ = grid.shape
            across, down = torch.linspace(0, 1, width), torch.linspace(0, 1, height)
            grid.copy_((0.3 + across - 2.0 * down[:, None])[..., None])
    points = some_points(200)
    before = features(points)
    features.grow((10, 16, 6))
    assert features.sizes.tolist()[0] == [10, 16, 6]
    torch.testing.assert_close(features(points), before, atol=1e-5, rtol=0)
    rough = features_of(final=(11, 16, 9), divisors=(1, 2))
    corners = some_points(0)
    before = rough(corners)
    rough.grow((10, 16, 6))
    torch.testing.assert_close(rough(corners), before, atol=1e-5, rtol=0)


def test_what_belongs_to_the_entries_grows_with_them() -> None:
    features = features_of()
    also = tuple(2.0 * table.detach() for table in (features.planes, features.lines))
    features.grow((11, 12, 8), [also])
    doubled = features.grids_in_use(*also)
    for grid, twice in zip(features.grids_in_use(features.planes, features.lines), doubled, strict=True):
        torch.testing.assert_close(twice, 2.0 * grid)


def test_growth_beyond_the_tables_is_refused() -> None:
    features = features_of()
    with pytest.raises(ValueError, match="there is room for"):
        features.grow((14, 17, 9))


def test_penalties_equal_loops_over_the_entries_in_use() -> None:
    features = features_of(components=2)
    magnitude = variation = 0.0
    for grid in features.grids_in_use(features.planes, features.lines):
        array = grid.detach().double().numpy()
        height, width, components = array.shape
        magnitude += np.mean([abs(value) for value in array.ravel()])
        down = [
            (array[y + 1, x, c] - array[y, x, c]) ** 2
            for y in range(height - 1)
            for x in range(width)
            for c in range(components)
        ]
        across = [
            (array[y, x + 1, c] - array[y, x, c]) ** 2
            for y in range(height)
            for x in range(width - 1)
            for c in range(components)
        ]
        variation += np.mean(down) + (np.mean(across) if across else 0.0)
    assert sparsity(features).item() == pytest.approx(magnitude, rel=1e-5)
    assert total_variation(features).item() == pytest.approx(variation, rel=1e-5)
    (sparsity(features) + total_variation(features)).backward()
    unused = features.planes.grad.abs().sum(1) == 0.0
    grids_in_use = int((features.sizes[:, 0] * features.sizes[:, 1]).sum())
    assert int(unused.sum()) == len(features.planes) - grids_in_use > 0


def test_tables_have_room_for_the_end_and_nothing_else_is_kept() -> None:
    features = features_of()
    assert set(features.state_dict()) == {"planes", "lines", "sizes"}
    assert features.planes.shape == (13 * 17 + 13 * 9 + 17 * 9 + 6 * 8 + 6 * 4 + 8 * 4, 3)
    assert features.lines.shape == (9 + 17 + 13 + 4 + 8 + 6, 3)
    fresh = PlaneLineFeatures(initial=(64,) * 3, final=(64,) * 3, modes=CITY, divisors=(1,), components=8)
    assert 0.098 < float(fresh.planes.detach().std()) < 0.102
