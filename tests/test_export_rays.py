"""The adversarial rays are what their names say, for boxes of any place and shape."""

import math

import numpy as np
from fixtures_export import tiny_info
from hypothesis import given, settings
from hypothesis import strategies as st

from export.parity.rays import PRIME, adversarial_rays, counted_rays, view_rays
from neurocity.cameras import Rays

SIDES = st.tuples(*[st.floats(0.5, 40.0)] * 3)
CORNERS = st.tuples(*[st.floats(-50.0, 50.0)] * 3)


def _length_inside(origin: np.ndarray, direction: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Length of a ray inside a box by the slab test, one axis after the other, in float64."""
    near, far = 0.0, math.inf
    for axis in range(3):
        if direction[axis] == 0:
            if not low[axis] <= origin[axis] <= high[axis]:
                return 0.0
            continue
        a, b = ((edge[axis] - origin[axis]) / direction[axis] for edge in (low, high))
        near, far = max(near, min(a, b)), min(far, max(a, b))
    return max(far - near, 0.0)


def _lengths(rays: Rays, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.array([_length_inside(o, d, low, high) for o, d in zip(*map(np.float64, rays), strict=True)])


@settings(max_examples=15, deadline=None)
@given(corner=CORNERS, sides=SIDES)
def test_sets_meet_the_box_as_named(corner, sides):
    low = np.array(corner)
    high = low + np.array(sides)
    sets = adversarial_rays((*low, *high))
    for rays in sets.values():
        assert rays.origins.dtype == rays.directions.dtype == np.float32
        assert rays.origins.shape == rays.directions.shape
        assert np.isfinite(rays.origins).all()
        np.testing.assert_allclose(np.linalg.norm(rays.directions, axis=1), 1.0, atol=1e-6)
    assert (_lengths(sets["miss the box"], low, high) == 0).all()
    for name in ("aim at the box", "start inside", "zero direction component"):
        assert (_lengths(sets[name], low, high) > 0).all(), name
    assert (_lengths(sets["from afar"], low, high) > 0).mean() > 0.9
    inside = sets["start inside"].origins
    assert ((inside > low) & (inside < high)).all()
    assert ((sets["zero direction component"].directions == 0).sum(axis=1) == 1).all()
    assert ((sets["along an axis"].directions == 0).sum(axis=1) == 2).all()
    faces = sets["start on a face"].origins
    on_face = np.isclose(faces, low, rtol=0, atol=1e-5) | np.isclose(faces, high, rtol=0, atol=1e-5)
    assert on_face.any(axis=1).all()


def test_zero_components_have_both_signs():
    directions = adversarial_rays((-1, -1, -1, 1, 1, 1))["zero direction component"].directions
    zeros = directions[directions == 0]
    assert np.signbit(zeros).any()
    assert not np.signbit(zeros).all()


def test_equal_bounds_give_equal_rays():
    first, second = (adversarial_rays((-1, -1, -1, 1, 2, 3)) for _ in range(2))
    for name, rays in first.items():
        np.testing.assert_array_equal(rays.origins, second[name].origins)
        np.testing.assert_array_equal(rays.directions, second[name].directions)


def test_counts_are_exact_and_begin_in_the_middle_of_the_view():
    view = tiny_info().views[0]
    pool = view_rays(view)
    assert len(pool.origins) == view.width * view.height
    sets = counted_rays(pool, (1, 2, PRIME, 4096))
    assert [len(rays) for rays in sets.values()] == [1, 2, PRIME, 4096]
    forward = -np.array(view.camera_to_world)[:3, 2]
    assert sets["1 ray"].directions[0] @ forward > 0.99
    assert len(np.unique(sets["1009 rays"].directions, axis=0)) == len(pool.origins)
    assert all(PRIME % divisor for divisor in range(2, PRIME))
