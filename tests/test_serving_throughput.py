"""How much of the reserved work is done in a second."""

import pytest

from serving.render.throughput import BACKLOG_SECONDS, LEAST_SHARE, Throughput


class Session:
    """A throughput whose clock is set by the test."""

    def __init__(self, expected=1.0):
        self.now = 0.0
        self.throughput = Throughput(expected, lambda: self.now)

    def work(self, seconds, done, reserved=10.0, step=0.02):
        """So many seconds, in which so much is done of what is reserved."""
        steps = round(seconds / step)
        for _ in range(steps):
            self.throughput.reserved(reserved)
            self.now += step
            if done:
                self.throughput.did(done / steps)
        self.throughput.reserved(reserved)


def test_it_follows_what_is_done():
    session = Session()
    session.work(10.0, done=6.0)
    assert session.throughput.per_second == pytest.approx(0.6, abs=0.03)
    session.work(15.0, done=12.0)
    assert session.throughput.per_second == pytest.approx(0.8, abs=0.03)


def test_one_slow_moment_says_little():
    session = Session()
    session.work(0.1, done=0.001)
    assert session.throughput.share > 0.85


def test_without_a_backlog_nothing_is_learnt():
    session = Session()
    session.work(100.0, done=1.0, reserved=0.9 * BACKLOG_SECONDS)
    session.now += 100.0
    session.work(100.0, done=1.0, reserved=0.0)
    assert session.throughput.share == 1.0


def test_the_time_without_work_does_not_count():
    session = Session(expected=2.0)
    for _ in range(30):
        session.work(1.0, done=1.5)
        session.throughput.reserved(0.0)
        session.now += 50.0
    assert session.throughput.per_second == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(("done", "believed"), [(0.1, LEAST_SHARE), (1000.0, 1.0)])
def test_what_cannot_be_is_not_believed(done, believed):
    session = Session(expected=3.0)
    session.work(60.0, done=done)
    assert session.throughput.share == pytest.approx(believed)


def test_a_long_tile_is_as_fast_as_short_ones():
    session = Session()
    for _ in range(20):
        session.work(2.0, done=0.0)
        session.throughput.did(2.0)
    assert session.throughput.per_second == pytest.approx(1.0)


def test_tiles_that_are_left_say_nothing():
    session = Session()
    for _ in range(30):
        session.work(0.2, done=0.2)
        session.work(0.25, done=0.0)
        session.throughput.left()
    assert session.throughput.per_second == pytest.approx(1.0)
