"""Packed items of rays against loops over the rays."""

import torch

from neurocity.rendering.packed import compact, first_true, in_round, rank_within_ray

COUNTS = torch.tensor([3, 0, 5, 1, 0])
OFFSETS = torch.nn.functional.pad(COUNTS.cumsum(0), (1, 0))
RAY_INDEX = torch.repeat_interleave(torch.arange(5), COUNTS)


def test_items_are_counted_within_their_rays() -> None:
    expected = [rank for count in COUNTS.tolist() for rank in range(count)]
    assert rank_within_ray(RAY_INDEX, OFFSETS).tolist() == expected


def test_a_mask_keeps_items_with_their_rays() -> None:
    mask = torch.tensor([True, False, True, False, False, True, False, True, False])
    index, offsets = compact(mask, OFFSETS)
    assert index.tolist() == [0, 2, 5, 7]
    assert offsets.tolist() == [0, 2, 2, 4, 4, 4]


def test_a_round_has_the_items_of_its_ranks_on_rays_that_are_lit() -> None:
    lit = torch.tensor([True, True, True, False, True])
    rank = rank_within_ray(RAY_INDEX, OFFSETS)
    assert in_round(lit, RAY_INDEX, rank, 1, 4).nonzero().flatten().tolist() == [1, 2, 4, 5, 6]
    assert in_round(lit, RAY_INDEX, rank, 0, 1).nonzero().flatten().tolist() == [0, 3]


def test_the_first_true_entries_come_in_order_and_say_how_many_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(50, 20, generator=generator) < torch.linspace(0.0, 1.0, 50)[:, None]
    for count in (1, 7, 20):
        index, found = first_true(mask, count, torch.float32)
        assert index.shape == found.shape == (50, count)
        for row in range(50):
            expected = mask[row].nonzero().flatten()[:count].tolist()
            assert index[row][found[row]].tolist() == expected
            assert found[row].tolist() == [True] * len(expected) + [False] * (count - len(expected))
