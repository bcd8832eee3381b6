"""Sizes of one ratio, rounded in one way."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocity.data.sizes import one_ratio


@given(
    width=st.integers(30, 6000),
    height=st.integers(30, 6000),
    ratio=st.floats(0.1, 1.0),
    rounding=st.sampled_from([round, math.floor, math.ceil]),
)
def test_sizes_that_were_rounded_in_one_way_are_of_one_ratio(width, height, ratio, rounding):
    assert one_ratio((rounding(width * ratio), rounding(height * ratio)), (width, height))


@pytest.mark.parametrize(
    ("size", "other"),
    [((36, 36), (95, 71)), ((48, 35), (48, 36)), ((36, 48), (48, 36)), ((979, 540), (1957, 1091))],
)
def test_sizes_of_different_ratios(size, other):
    assert not one_ratio(size, other)
    assert not one_ratio(other, size)


@pytest.mark.parametrize(
    ("size", "other"),
    [
        ((48, 36), (95, 71)),
        ((979, 546), (1957, 1091)),
        ((978, 546), (1957, 1091)),
        ((1237, 822), (4946, 3286)),
        ((48, 36), (48, 36)),
    ],
)
def test_sizes_of_one_ratio(size, other):
    assert one_ratio(size, other)
