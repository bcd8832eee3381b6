"""The second pass's fence posts, against `np.interp` in double precision, and what holds for any weights."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import mip_nerf as oracle

from neurocity.mip_nerf.resampling import (
    blurred,
    even_quantiles,
    jittered,
    positions_by_weight,
    stratified_quantiles,
)


def posts_and_weights(seed: int, rays: int, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    steps = torch.rand(rays, samples + 1, generator=chance, dtype=torch.float64)
    weights = torch.rand(rays, samples, generator=chance, dtype=torch.float64) ** 8
    return steps.cumsum(1), weights / samples


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), samples=st.integers(2, 40), posts=st.integers(2, 60))
def test_posts_are_those_of_an_interpolated_inverse(seed: int, samples: int, posts: int) -> None:
    fences, weights = posts_and_weights(seed, 5, samples)
    quantiles = torch.rand(5, posts, dtype=torch.float64).sort(1).values
    found = positions_by_weight(fences, blurred(weights, 0.01), quantiles)
    for ray in range(5):
        expected = oracle.resample(
            *(plane[ray].numpy() for plane in (fences, weights)), 0.01, quantiles[ray].numpy()
        )
        np.testing.assert_allclose(found[ray], expected, rtol=1e-9, atol=1e-12)
    assert bool((found[:, 1:] >= found[:, :-1]).all())


def test_both_ends_are_kept() -> None:
    fences, weights = posts_and_weights(1, 30, 17)
    fences, weights = fences.float(), weights.float()
    found = positions_by_weight(fences, blurred(weights, 0.01), even_quantiles(12, fences[:, 0]))
    torch.testing.assert_close(found[:, 0], fences[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(found[:, -1], fences[:, -1], rtol=1e-6, atol=0)
    assert bool((found >= fences[:, :1]).all())
    assert bool((found <= fences[:, -1:]).all())


def test_equal_weights_give_even_posts() -> None:
    fences = torch.linspace(2.0, 6.0, 9).expand(3, 9)
    found = positions_by_weight(fences, torch.ones(3, 8), even_quantiles(17, fences[:, 0]))
    torch.testing.assert_close(found, torch.linspace(2.0, 6.0, 17).expand(3, 17))


def test_an_interval_without_weight_gets_no_post() -> None:
    fences = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    found = positions_by_weight(fences, torch.tensor([[1.0, 0.0, 1.0]]), even_quantiles(9, fences[:, 0]))
    assert not bool(((found > 1.0) & (found < 2.0)).any())
    assert bool(found.isfinite().all())


def test_a_peak_is_sampled_from_both_sides() -> None:
    weights = torch.zeros(1, 8)
    weights[0, 4] = 1.0
    envelope = blurred(weights, 0.01)
    torch.testing.assert_close(envelope, torch.tensor([[0.01, 0.01, 0.01, 0.51, 1.01, 0.51, 0.01, 0.01]]))
    assert bool((blurred(torch.rand(6, 8), 0.0) >= 0.0).all())


def test_random_quantiles_are_one_in_each_part() -> None:
    noise = torch.rand(50, 9)
    quantiles = stratified_quantiles(noise)
    torch.testing.assert_close((quantiles * 9.0).floor(), torch.arange(9.0).expand(50, 9))
    assert float(quantiles.max()) < 1.0


def test_jitter_moves_posts_no_further_than_to_the_middles() -> None:
    fences, _ = posts_and_weights(2, 40, 6)
    middles = (fences[:, 1:] + fences[:, :-1]) / 2
    moved = jittered(fences, torch.rand(40, 7, dtype=torch.float64))
    assert bool((moved[:, 1:] >= moved[:, :-1]).all())
    assert bool(((moved[:, 1:-1] >= middles[:, :-1]) & (moved[:, 1:-1] <= middles[:, 1:])).all())
    assert bool((moved[:, 0] >= fences[:, 0]).all())
    assert bool((moved[:, -1] <= fences[:, -1]).all())
    torch.testing.assert_close(jittered(fences, torch.zeros_like(fences))[:, 1:], middles)
