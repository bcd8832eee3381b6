"""Curves between keyframes, against formulas that are written out here from their sources."""

import numpy as np
import pytest

from neurocity.camera_path.quaternions import SPHERE, aligned, matrices, multiply, normalised, quaternions
from neurocity.camera_path.splines import monotone, through

POINTS = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, -1.0], [4.0, 2.5, 0.0], [4.5, -1.0, 3.0], [6.0, 0.0, 1.0]])


def hermite(p0, p1, m0, m1, t):
    """The cubic with these ends and derivatives, in its basis."""
    h00, h10 = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t
    h01, h11 = -2 * t**3 + 3 * t**2, t**3 - t**2
    return h00 * p0 + h10 * m0 + h01 * p1 + h11 * m1


def about_z(angles):
    """Quaternions of turns about z, in radians."""
    half = 0.5 * np.asarray(angles, dtype=float)
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, zero, np.sin(half)], -1)


def random_quaternions(count):
    return normalised(np.random.default_rng(3).normal(size=(count, 4)))


@pytest.mark.parametrize("tension", [0.0, 0.4, 1.0, -0.3])
def test_kochanek_bartels_has_the_tangents_of_the_paper_and_natural_ends(tension):
    tangents = {i: 0.5 * (1 - tension) * (POINTS[i + 1] - POINTS[i - 1]) for i in (1, 2, 3)}
    tangents[0] = 1.5 * (POINTS[1] - POINTS[0]) - 0.5 * tangents[1]
    tangents[4] = 1.5 * (POINTS[4] - POINTS[3]) - 0.5 * tangents[3]
    at = np.linspace(0.0, 4.0, 41)
    expected = []
    for u in at:
        i = min(int(u), 3)
        expected.append(hermite(POINTS[i], POINTS[i + 1], tangents[i], tangents[i + 1], u - i))
    np.testing.assert_allclose(through(POINTS, np.arange(5.0), at, tension=tension), expected, atol=1e-12)


def test_a_closed_spline_goes_round():
    at = np.linspace(0.0, 5.0, 51)
    expected = []
    for u in at:
        i = min(int(u), 4)
        p = [POINTS[(i + k) % 5] for k in (-1, 0, 1, 2)]
        expected.append(hermite(p[1], p[2], 0.5 * (p[2] - p[0]), 0.5 * (p[3] - p[1]), u - i))
    np.testing.assert_allclose(through(POINTS, np.arange(6.0), at, closed=True), expected, atol=1e-12)


def test_uneven_knots_give_the_pyramid_of_barry_and_goldman():
    knots = np.array([0.0, 0.7, 2.5, 3.0, 5.0])
    for i, u in ((1, 0.9), (1, 2.0), (2, 2.6), (2, 2.99)):
        t = knots[i - 1 : i + 3]
        p = POINTS[i - 1 : i + 3]
        row = [(p[k] * (t[k + 1] - u) + p[k + 1] * (u - t[k])) / (t[k + 1] - t[k]) for k in range(3)]
        row = [(row[k] * (t[k + 2] - u) + row[k + 1] * (u - t[k])) / (t[k + 2] - t[k]) for k in range(2)]
        expected = (row[0] * (t[2] - u) + row[1] * (u - t[1])) / (t[2] - t[1])
        np.testing.assert_allclose(through(POINTS, knots, np.array([u]))[0], expected, atol=1e-12)


def test_two_keyframes_are_a_line_and_a_great_circle():
    at = np.array([0.0, 0.25, 0.5, 1.0])
    line = through(POINTS[:2], np.array([0.0, 1.0]), at)
    np.testing.assert_allclose(line, POINTS[0] + at[:, None] * (POINTS[1] - POINTS[0]), atol=1e-12)
    turned = through(about_z([0.2, 1.8]), np.array([0.0, 1.0]), at, space=SPHERE)
    np.testing.assert_allclose(turned, about_z(0.2 + 1.6 * at), atol=1e-12)


@pytest.mark.parametrize("tension", [0.0, 0.5])
@pytest.mark.parametrize("closed", [False, True])
def test_turns_about_one_axis_are_the_curve_of_their_angles(tension, closed):
    angles = np.array([0.1, 0.9, 1.3, 0.2, -0.6])
    knots = np.arange(6.0 if closed else 5.0)
    at = np.linspace(0.0, knots[-1], 61)
    expected = through(angles[:, None], knots, at, tension=tension, closed=closed)[:, 0]
    found = through(about_z(angles), knots, at, tension=tension, closed=closed, space=SPHERE)
    np.testing.assert_allclose(found, about_z(expected), atol=1e-12)


def test_rotations_pass_by_keyframes_smoothly_in_any_frame_of_reference():
    keyframes = aligned(random_quaternions(5))
    knots = np.array([0.0, 1.0, 1.5, 3.0, 4.0])
    np.testing.assert_allclose(through(keyframes, knots, knots, space=SPHERE), keyframes, atol=1e-9)
    at = np.linspace(0.0, 4.0, 4001)
    found = through(keyframes, knots, at, space=SPHERE)
    speeds = np.linalg.norm(np.diff(matrices(found), axis=0), axis=(1, 2)) / np.diff(at)
    assert np.abs(np.diff(speeds)).max() < 0.02 * speeds.max(), "no jump in speed at a keyframe"
    other = np.broadcast_to(random_quaternions(6)[-1], keyframes.shape)
    moved = through(aligned(multiply(other, keyframes)), knots, at, space=SPHERE)
    expected = multiply(np.broadcast_to(other[0], found.shape), found)
    np.testing.assert_allclose(matrices(moved), matrices(expected), atol=1e-9)


def test_a_curve_rests_between_equal_keyframes():
    points = POINTS[[0, 1, 1, 2]]
    at = np.linspace(0.0, 3.0, 301)
    found = through(points, np.arange(4.0), at, rest=True)
    np.testing.assert_allclose(found[100:201], np.broadcast_to(points[1], (101, 3)), atol=1e-12)
    assert np.linalg.norm(found[99] - points[1]) < 1e-3, "it slows down"
    turned = through(about_z([0.0, 1.0, 1.0, 2.0]), np.arange(4.0), at, rest=True, space=SPHERE)
    np.testing.assert_allclose(turned[100:201], np.broadcast_to(about_z(1.0), (101, 4)), atol=1e-12)


def test_monotone_values_do_not_overshoot_and_have_the_slope_of_fritsch_and_carlson():
    knots, values = np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(monotone(knots, values, knots), values, atol=1e-12)
    step = 1e-5
    before, behind = monotone(knots, values, np.array([1.0 - step, 1.0 + step]))
    # Slopes 1 and 1/2 weigh 5 and 4: 9 / (5 / 1 + 4 / (1 / 2)).
    assert (behind - before) / (2 * step) == pytest.approx(9 / 13, abs=1e-4)
    knots, values = np.arange(6.0), np.array([0.0, 0.1, 5.0, 5.0, 4.9, 9.0])
    found = monotone(knots, values, np.linspace(0.0, 5.0, 501))
    for i in range(5):
        steps = np.diff(found[100 * i : 100 * (i + 1) + 1]) * np.sign(values[i + 1] - values[i])
        assert steps.min() >= -1e-12
    assert np.all(found[200:301] == pytest.approx(5.0))


def test_quaternions_are_those_of_the_matrices():
    found = random_quaternions(200)
    again = quaternions(matrices(found))
    np.testing.assert_allclose(np.abs((found * again).sum(-1)), 1.0, atol=1e-12)
    half_turns = np.stack([np.diag(d) for d in ([1.0, -1, -1], [-1.0, 1, -1], [-1.0, -1, 1], [1.0, 1, 1])])
    np.testing.assert_allclose(matrices(quaternions(half_turns)), half_turns, atol=1e-12)
    (turn,) = matrices(about_z([np.pi / 2]))
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    a, b = random_quaternions(2)[:, None]
    np.testing.assert_allclose(matrices(multiply(a, b))[0], matrices(a)[0] @ matrices(b)[0], atol=1e-12)
