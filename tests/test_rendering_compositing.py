"""Packed compositing against two nested loops, in value and in gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import compositing as oracle

from neurocity.rendering.compositing import compositing_weights, distortion, running_sum, segment_sum

Packed = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def packed(counts: list[int], seed: int, thickness: float = 1.0) -> Packed:
    """Optical depths from thin to opaque of rays with so many samples, offsets and ray_index."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(counts)
    tau = thickness * torch.rand(total, generator=generator) ** 4 * 5.0
    number = torch.tensor(counts, dtype=torch.int64)
    offsets = torch.nn.functional.pad(number.cumsum(0), (1, 0))
    return tau, offsets, torch.arange(len(counts)).repeat_interleave(number)


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 12), min_size=0, max_size=12),
    seed=st.integers(0, 999),
    thickness=st.sampled_from([0.0, 1e-6, 1.0, 100.0]),
)
def test_weights_and_sums_equal_two_nested_loops(counts: list[int], seed: int, thickness: float) -> None:
    tau, offsets, ray_index = packed(counts, seed, thickness)
    weights = compositing_weights(tau, offsets, ray_index)
    expected = torch.tensor(oracle.weights(tau.double().tolist(), offsets.tolist()), dtype=torch.float64)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.double(), expected, rtol=1e-6, atol=1e-12)
    opacity = segment_sum(weights, offsets)
    sums = torch.tensor(oracle.sums(weights.double().tolist(), offsets.tolist()), dtype=torch.float64)
    assert opacity.shape == (len(counts),)
    torch.testing.assert_close(opacity.double(), sums, rtol=1e-6, atol=1e-7)
    assert bool((opacity <= 1.0 + 1e-6).all())
    assert bool((opacity[torch.tensor(counts, dtype=torch.int64) == 0] == 0.0).all())


def test_gradients_equal_those_of_the_loops() -> None:
    """The loops again, as a chain of torch scalars, differentiated by torch."""
    counts = [3, 0, 1, 7, 4, 0]
    tau, offsets, ray_index = packed(counts, seed=5)
    color = torch.rand(3, len(tau), generator=torch.Generator().manual_seed(6))
    target = torch.rand(3, len(counts), generator=torch.Generator().manual_seed(7))

    fast_inputs = [tau.clone().requires_grad_(), color.clone().requires_grad_()]
    weights = compositing_weights(fast_inputs[0], offsets, ray_index)
    fast_loss = ((segment_sum(fast_inputs[1] * weights, offsets) - target) ** 2).sum()
    fast_loss.backward()

    slow_inputs = [tau.double().requires_grad_(), color.double().requires_grad_()]
    slow_loss = torch.zeros((), dtype=torch.float64)
    for ray, count in enumerate(counts):
        transmittance, light = torch.ones(()), torch.zeros(3, dtype=torch.float64)
        for sample in range(int(offsets[ray]), int(offsets[ray]) + count):
            passed = torch.exp(-slow_inputs[0][sample])
            light = light + transmittance * (1.0 - passed) * slow_inputs[1][:, sample]
            transmittance = transmittance * passed
        slow_loss = slow_loss + ((light - target[:, ray]) ** 2).sum()
    slow_loss.backward()

    torch.testing.assert_close(fast_loss.double(), slow_loss, rtol=1e-5, atol=0)
    for fast, slow in zip(fast_inputs, slow_inputs, strict=True):
        assert fast.grad is not None
        torch.testing.assert_close(fast.grad.double(), slow.grad, rtol=1e-4, atol=1e-6)


def test_a_ray_does_not_feel_its_neighbours() -> None:
    """A thin ray behind a hundred thousand opaque samples of others has the value that it has alone."""
    tau, offsets, ray_index = packed([100_000, 50, 3], seed=1, thickness=20.0)
    tau[-53:] = torch.rand(53, generator=torch.Generator().manual_seed(2)) * 1e-4
    together = compositing_weights(tau, offsets, ray_index)[-3:]
    alone = compositing_weights(tau[-3:], torch.tensor([0, 3]), torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(together, alone, rtol=2e-7, atol=0)
    total = segment_sum(torch.cat([torch.ones(100_050), together]), offsets)[2]
    # Next to sums of 1e5 in float64, a value is exact to 1.5e-11.
    torch.testing.assert_close(total, segment_sum(alone, torch.tensor([0, 3]))[0], rtol=0, atol=3e-11)


def test_thin_samples_keep_their_precision() -> None:
    tau = torch.full((4,), 1e-9)
    weights = compositing_weights(tau, torch.tensor([0, 4]), torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(weights, tau, rtol=1e-6, atol=0)


@pytest.mark.parametrize("planes", [(), (3,), (2, 2)])
def test_sums_run_over_the_last_axis(planes: tuple[int, ...]) -> None:
    values = torch.arange(12.0 * (torch.Size(planes).numel())).view(*planes, 12)
    result = segment_sum(values, torch.tensor([0, 5, 5, 12]))
    assert result.shape == (*planes, 3)
    torch.testing.assert_close(result[..., 0], values[..., :5].sum(-1))
    torch.testing.assert_close(result[..., 2], values[..., 5:].sum(-1))
    assert running_sum(values).dtype == torch.float64


def test_distortion_is_the_mean_distance_of_two_places_on_a_ray() -> None:
    """Known answers: all weight in one interval, in two apart, spread evenly; and a ray without samples."""
    edges = torch.linspace(0.0, 1.0, 11)
    begin, end = edges[:-1].repeat(3), edges[1:].repeat(3)
    weights = torch.zeros(3, 10)
    weights[0, 4] = 1.0
    weights[1, 2] = weights[1, 7] = 0.5
    weights[2] = 0.1
    offsets = torch.tensor([0, 10, 10, 20, 30])
    # Two places, uniform in one interval of 0.1, are 0.1 / 3 apart; in [0, 1] a third.
    expected = torch.tensor([0.1 / 3, 0.0, 0.5 * 0.5 + 0.5 * 0.1 / 3, 1 / 3])
    torch.testing.assert_close(distortion(weights.flatten(), begin, end, offsets), expected)
