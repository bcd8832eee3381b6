"""The hash grid against three nested loops in double precision, and its compiled kernel against itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import hash_grid as oracle

from neurocity.errors import ConfigError
from neurocity.rendering.cpu_kernels import kernels_apply
from neurocity.rendering.graph_target import recording_for
from neurocity.rendering.hash_grid import HashGrid

KINDS = ("base_convert", "xor")


def grid_of(
    *,
    levels: int = 5,
    features: int = 2,
    log2_rows: int = 10,
    coarsest: int = 4,
    finest: int = 64,
    kind: str = "base_convert",
    seed: int = 0,
) -> HashGrid:
    """A grid whose rows are of order one, so that differences show."""
    grid = HashGrid(
        levels=levels,
        features=features,
        log2_rows=log2_rows,
        coarsest=coarsest,
        finest=finest,
        hash_kind=kind,
    )
    generator = torch.Generator().manual_seed(seed)
    grid.table.data = torch.randn(grid.table.shape, generator=generator)
    return grid


def some_points(count: int = 40, seed: int = 1) -> torch.Tensor:
    """Points [3, N] in the unit cube: random ones, its corners, and the middles of its faces."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.tensor([0.0, 1.0])
    corners = torch.cartesian_prod(ends, ends, ends).t()
    faces = torch.tensor([[0.0, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 1.0], [1.0, 0.3, 0.0]]).t()
    return torch.cat([torch.rand(3, count, generator=generator), corners, faces], dim=1)


def oracle_levels(grid: HashGrid, coarsest: int, finest: int) -> tuple[list[float], list[bool]]:
    levels = grid.table.shape[0]
    return oracle.level_scales(levels, coarsest, finest), [n < grid.dense_levels for n in range(levels)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("features", [1, 2, 4])
def test_features_and_gradient_equal_three_nested_loops(kind: str, features: int) -> None:
    grid = grid_of(features=features, kind=kind)
    assert 0 < grid.dense_levels < 5, "the test wants dense and hashed levels"
    points = some_points()
    scales, dense = oracle_levels(grid, 4, 64)
    expected = oracle.encode(points.numpy(), grid.table.detach().numpy(), scales, dense, kind)
    grad_out = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    expected_grad = oracle.encode_gradient(
        points.numpy(), grad_out.numpy(), tuple(grid.table.shape), scales, dense, kind
    )
    for encode in (grid.forward, grid.encode):
        grid.table.grad = None
        values = encode(points)
        values.backward(grad_out)
        # p = x scale + 1/2 in float32 moves a weight by up to scale * 2^-24, here 4e-6.
        np.testing.assert_allclose(values.detach().numpy(), expected, atol=1e-4)
        np.testing.assert_allclose(grid.table.grad.numpy(), expected_grad, atol=1e-4)


@settings(max_examples=25)
@given(
    levels=st.integers(1, 8),
    features=st.sampled_from([1, 2, 4]),
    coarsest=st.integers(2, 40),
    growth=st.floats(1.0, 12.0),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 99),
)
def test_the_kernel_equals_the_definition(
    levels: int, features: int, coarsest: int, growth: float, kind: str, seed: int
) -> None:
    grid = grid_of(
        levels=levels,
        features=features,
        coarsest=coarsest,
        finest=int(coarsest * growth),
        kind=kind,
        seed=seed,
    )
    points = some_points(30, seed)
    assert kernels_apply(points)
    fast = grid(points)
    grad_out = torch.randn(fast.shape, generator=torch.Generator().manual_seed(seed))
    fast.backward(grad_out)
    fast_grad, grid.table.grad = grid.table.grad, None
    slow = grid.encode(points)
    slow.backward(grad_out)
    torch.testing.assert_close(fast, slow, atol=2e-6, rtol=0)
    torch.testing.assert_close(fast_grad, grid.table.grad, atol=1e-5, rtol=0)


def test_the_kernel_works_the_same_on_several_threads() -> None:
    grid, points = grid_of(levels=8, finest=512), torch.rand(3, 5000)
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            grid.table.grad = None
            values = grid(points)
            values.square().sum().backward()
            results.append((values.detach(), grid.table.grad))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("log2_rows", [8, 16, 19, 24])
def test_factors_reduced_modulo_the_table_give_the_same_rows(kind: str, log2_rows: int) -> None:
    grid = grid_of(levels=1, features=1, log2_rows=8, coarsest=64, finest=64, kind=kind)
    assert grid.dense_levels == 0
    grid.rows = 2**log2_rows
    grid.factors = tuple(factor % grid.rows for factor in oracle.FACTORS[kind])
    vertices = torch.randint(0, 2**20, (3, 200), generator=torch.Generator().manual_seed(log2_rows))
    grid.axis_factors = torch.tensor(grid.factors)[:, None, None]
    rows = grid.row_indices([plane[None] for plane in vertices])[0][0].tolist()
    expected = [
        oracle.row(tuple(vertex), resolution=0, rows=grid.rows, dense=False, hash_kind=kind)
        for vertex in vertices.t().tolist()
    ]
    assert rows == expected
    built = grid_of(levels=1, features=1, log2_rows=12, coarsest=64, finest=64, kind=kind)
    assert built.factors == tuple(factor % built.rows for factor in oracle.FACTORS[kind])


@settings(max_examples=60)
@given(
    levels=st.integers(1, 6),
    log2_rows=st.integers(8, 12),
    coarsest=st.integers(2, 24),
    more=st.integers(0, 90),
)
def test_every_vertex_has_a_row_of_its_own_level(
    levels: int, log2_rows: int, coarsest: int, more: int
) -> None:
    """At the far corner of the cube, position scale + 1/2, the upper vertex lies beyond `resolution`."""
    grid = grid_of(levels=levels, features=1, log2_rows=log2_rows, coarsest=coarsest, finest=coarsest + more)
    top = (grid.scales + 0.5).floor().long()[:, None]
    index = torch.stack(grid.row_indices([top] * 3))
    assert int(index.min()) >= 0
    assert int(index.max()) < grid.rows


def test_tables_begin_small_and_have_the_stated_shape() -> None:
    grid = HashGrid(levels=3, features=4, log2_rows=9, coarsest=4, finest=32)
    assert grid.table.shape == (3, 512, 4)
    assert grid.width == 12
    table = grid.table.detach()
    assert 5e-5 < float(table.abs().max()) <= 1e-4
    assert float(table.min()) < 0.0 < float(table.max())
    assert set(grid.state_dict()) == {"table"}
    assert grid(torch.zeros(3, 0)).shape == (0, 12)


def test_levels_grow_geometrically_between_the_given_resolutions() -> None:
    grid = HashGrid(levels=16, features=2, log2_rows=19, coarsest=16, finest=2048)
    expected = torch.tensor(oracle.level_scales(16, 16, 2048))
    torch.testing.assert_close(grid.scales, expected)
    assert grid.resolutions[0] == 16
    assert grid.resolutions[-1] == 2048
    assert grid.dense_levels == 5


@pytest.mark.parametrize("kind", KINDS)
def test_hashed_vertices_spread_over_the_table(kind: str) -> None:
    """A chi-squared test against uniform rows, over the vertices of a flat patch: a surface in a city."""
    grid = grid_of(levels=1, features=1, log2_rows=10, coarsest=1024, finest=1024, kind=kind)
    across = torch.arange(300, 364)
    x, y = (plane.reshape(1, -1) for plane in torch.meshgrid(across, across, indexing="ij"))
    for z in (0, 511):
        counts = torch.bincount(
            grid.row_indices([x, y, torch.full_like(x, z)])[0][0], minlength=1024
        ).double()
        mean = 64 * 64 / 1024
        # Uniformly random rows: 1023 +- 45; the XOR hash is worse than random on a plane, by its nature.
        assert float(((counts - mean) ** 2 / mean).sum()) < 1500.0


def test_the_exported_graph_has_no_bit_operation() -> None:
    """TensorRT's parser has none; the XOR hash, kept for comparison, shows that the check can fail."""
    operators = {}
    for kind in KINDS:
        with torch.no_grad():
            program = torch.export.export(
                grid_of(kind=kind),
                (torch.rand(3, 7),),
                dynamic_shapes=({1: torch.export.Dim("points", min=1, max=1 << 20)},),
            )
        operators[kind] = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    bitwise = {
        kind: [name for name in names if "bitwise" in name or "xor" in name]
        for kind, names in operators.items()
    }
    assert not bitwise["base_convert"]
    assert bitwise["xor"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coarsest": 1}, "got 1 to 64, expected 2 <= coarsest <= finest"),
        ({"coarsest": 65}, "got 65 to 64"),
        ({"levels": 0}, "levels=0"),
        ({"features": 3}, "features=3"),
        ({"log2_rows": 25}, "log2_rows=25"),
        ({"kind": "md5"}, "'md5', expected one of"),
    ],
)
def test_impossible_grids_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        grid_of(**changes)


@pytest.mark.parametrize("features", [1, 2, 4])
def test_what_compilers_are_given_is_the_definition(features: int) -> None:
    grid = HashGrid(levels=3, features=features, log2_rows=10, coarsest=4, finest=32).requires_grad_(False)
    torch.nn.init.normal_(grid.table)
    points = torch.rand(3, 41)
    with recording_for("compiler"):
        program = torch.export.export(grid, (points,), dynamic_shapes=({1: torch.export.Dim("points")},))
    gathers = [node for node in program.graph.nodes if node.target is torch.ops.aten._unsafe_index.Tensor]
    assert len(gathers) == 8 * features, "a plane a corner and feature"
    more = torch.rand(3, 53)
    torch.testing.assert_close(program.module()(more), grid.encode(more), atol=1e-6, rtol=1e-6)
