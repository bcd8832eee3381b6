"""What is taken on: seconds and bytes, reserved in the step that looks; when others may come again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocity.errors import DeadlineExceededError
from serving.render.admission import BYTES_PER_PIXEL, SHARED_SECONDS, Admission, Budget, OverloadedError, Work
from serving.render.turns import PATIENT, SHARES

BUDGET = Budget(queue_seconds=3.0, memory_bytes=2**20)


def work(seconds=0.1, client="a", size_class=0, pixels=10, certain=True):
    return Work(client=client, size_class=size_class, pixels=pixels, seconds=seconds, certain=certain)


def admitted(admission, **changes):
    """How many equal pieces of work are taken on at once, and the error of the next."""
    for number in range(10_000):
        try:
            admission.reserve(work(**changes), None)
        except OverloadedError as error:
            return number, error
    raise AssertionError("all were taken on")


def test_a_burst_of_one_client_never_reserves_more_than_its_part():
    admission = Admission(BUDGET, 1)
    number, _ = admitted(admission, seconds=0.03)
    assert admission.reserved_seconds() == pytest.approx(0.03 * number)
    assert 0.6 * BUDGET.queue_seconds < admission.reserved_seconds() <= 2 / 3 * BUDGET.queue_seconds + 0.03


def test_there_is_room_for_others_beside_one_that_floods():
    admission = Admission(BUDGET, 1)
    admitted(admission, seconds=0.03)
    assert admitted(admission, seconds=0.03, client="b")[0] > 10
    assert admitted(admission, seconds=0.03, client="c")[0] > 3
    assert admission.reserved_seconds() <= BUDGET.queue_seconds


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.floats(1e-4, 2.9)), max_size=60))
def test_no_class_reserves_more_than_the_budget(asked):
    """But for a picture that is alone in its class, and with all given back nothing is left."""
    admission = Admission(BUDGET, 1)
    taken, refused = [], []
    for client, size_class, seconds in asked:
        try:
            taken.append(admission.reserve(work(seconds, client, size_class), None))
        except OverloadedError as error:
            refused.append(error)
        if taken:
            taken[len(refused) % len(taken)].done(seconds / 2)
        sums = [sum(clients.values()) for clients in admission._seconds]
        assert admission._totals == pytest.approx(sums)
    assert all(error.retry_after_seconds >= 1 for error in refused)
    assert all(admission._totals[number] <= BUDGET.queue_seconds for number in range(3))
    for reservation in taken:
        reservation.release()
        reservation.release()
    assert admission.reserved_seconds() == 0.0
    assert admission._bytes == 0


def test_an_empty_class_takes_anything():
    admission = Admission(BUDGET, 1)
    admission.reserve(work(50.0, size_class=2), None)
    with pytest.raises(OverloadedError):
        admission.reserve(work(0.5, size_class=2), None)
    admission.reserve(work(0.01, size_class=0), None)


@pytest.mark.parametrize("at_once", [1, 4])
def test_whoever_comes_again_when_told_is_admitted(at_once):
    """Work is done at the engine's speed, in order; a second earlier there was no room."""
    admission = Admission(Budget(queue_seconds=48.0, memory_bytes=2**30), at_once)
    running = [admission.reserve(work(6.0), None) for _ in range(6)]
    with pytest.raises(OverloadedError) as refused:
        admission.reserve(work(6.0), None)
    finish(running, at_once * (refused.value.retry_after_seconds - 1))
    with pytest.raises(OverloadedError):
        admission.reserve(work(6.0), None)
    finish(running, at_once)
    admission.reserve(work(6.0), None)


def finish(running, seconds):
    """Do so much of the work, the first of it first."""
    while seconds > 0:
        part = min(seconds, running[0].seconds)
        running[0].done(part)
        seconds -= part
        if not running[0].seconds:
            running.pop(0).release()


def test_other_classes_make_the_wait_longer():
    waits = []
    for others in (0, 2):
        admission = Admission(BUDGET, 1)
        for number in range(others):
            admission.reserve(work(size_class=number + 1), None)
        admission.reserve(work(30.0), None)
        with pytest.raises(
            OverloadedError, match=r"has 30\.0 s of such work, of which 30\.0 s are this"
        ) as refused:
            admission.reserve(work(0.5), None)
        waits.append(refused.value.retry_after_seconds)
    assert waits[0] == pytest.approx(29, abs=1)
    assert waits[1] == pytest.approx(3 * waits[0], abs=3)


def test_what_nobody_waits_for_makes_the_wait_hardly_longer():
    waits = {}
    for first, second in ((0, PATIENT), (PATIENT, 0)):
        admission = Admission(BUDGET, 1)
        admission.reserve(work(size_class=first), None)
        admission.reserve(work(30.0, size_class=second), None)
        with pytest.raises(OverloadedError) as refused:
            admission.reserve(work(0.5, size_class=second), None)
        waits[second] = refused.value.retry_after_seconds
    assert waits[0] == pytest.approx(29 * (1 + SHARES[PATIENT]), abs=2)
    assert waits[PATIENT] == pytest.approx(29 * (1 + 1 / SHARES[PATIENT]), abs=10)


def test_what_cannot_be_done_before_its_deadline_is_refused():
    admission = Admission(BUDGET, 1)
    admission.reserve(work(1.0), None)
    with pytest.raises(OverloadedError, match=r"turn would end in 1\.5 s, its deadline leaves 1\.2"):
        admission.reserve(work(0.5), 1.2)
    with pytest.raises(DeadlineExceededError, match=r"takes 0\.5 s, its deadline leaves 0\.4 s; ask"):
        admission.reserve(work(0.5), 0.4)
    admission.reserve(work(0.5), 1.6)


def test_a_guess_alone_refuses_nobody():
    Admission(BUDGET, 1).reserve(work(100.0, certain=False), 1.0)


def test_a_client_that_has_nothing_waits_for_its_turn_alone():
    """Clients take turns: of a flood, only as much comes before."""
    admission = Admission(BUDGET, 1)
    admitted(admission, seconds=0.1, client="flood")
    admission.reserve(work(0.1, client="one"), 0.25)
    with pytest.raises(OverloadedError):
        admission.reserve(work(0.1, client="flood"), 0.25)


def test_memory_is_part_of_the_budget():
    admission = Admission(BUDGET, 1)
    pixels = BUDGET.memory_bytes // BYTES_PER_PIXEL // 2
    first, second = (admission.reserve(work(1e-6, pixels=pixels), None) for _ in range(2))
    with pytest.raises(OverloadedError, match="pictures that are made or read take 1 MiB"):
        admission.reserve(work(1e-6), None)
    first.done(1e-6)
    with pytest.raises(OverloadedError):  # it is being encoded
        admission.reserve(work(1e-6), None)
    first.release()
    admission.reserve(work(1e-6), None)
    second.release()


def test_clients_share_while_they_have_work_and_a_moment_longer():
    now = [0.0]
    admission = Admission(BUDGET, 1, lambda: now[0])
    for _ in range(2):
        one = admission.reserve(work(client="a"), None)
        assert not admission.is_shared()
    other = admission.reserve(work(client="b", size_class=2), None)
    assert admission.is_shared()
    other.release()
    now[0] += 0.9 * SHARED_SECONDS
    assert admission.is_shared()
    admission.reserve(work(client="a"), None)
    now[0] += 0.2 * SHARED_SECONDS
    assert not admission.is_shared()
    one.release()


def test_pictures_give_way_to_who_waits_for_less():
    now = [0.0]
    admission = Admission(BUDGET, 1, lambda: now[0])
    many = [admission.reserve(work(client="many"), None) for _ in range(2)]
    assert not admission.gives_way(many[0].place)
    more = [admission.reserve(work(client="more"), None) for _ in range(2)]
    now[0] += 1.1 * SHARED_SECONDS
    more.append(admission.reserve(work(client="more"), None))
    assert not admission.gives_way(many[0].place), "all wait for several"
    for each in more[:2]:
        each.release()
    more.append(admission.reserve(work(client="many"), None))
    assert not admission.gives_way(many[0].place), "what is left of several is not a single one"
    one = admission.reserve(work(client="one"), None)
    assert admission.gives_way(many[0].place)
    assert not admission.gives_way(one.place)
    one.release()
    now[0] += 0.9 * SHARED_SECONDS
    assert admission.gives_way(many[0].place), "it may have just been answered"
    now[0] += 0.2 * SHARED_SECONDS
    assert not admission.gives_way(many[0].place)


def test_large_pictures_give_way_to_smaller_ones():
    now = [0.0]
    admission = Admission(BUDGET, 1, lambda: now[0])
    large = [admission.reserve(work(client=name, size_class=1), None) for name in "ab" for _ in range(2)]
    now[0] += 1.1 * SHARED_SECONDS
    assert not any(admission.gives_way(each.place) for each in large)
    own = [admission.reserve(work(client="c", size_class=number), None) for number in (0, 2)]
    assert all(admission.gives_way(each.place) for each in large)
    assert admission.gives_way(own[1].place), "to those of the middle class"
    for each in (*large, own[0]):
        each.release()
    now[0] += 1.1 * SHARED_SECONDS
    assert not admission.gives_way(own[1].place)
    admission.reserve(work(client="c"), None)
    assert admission.gives_way(own[1].place), "to its owner's"


def test_films_give_way_to_their_owner_and_nobody_to_films():
    now = [0.0]
    admission = Admission(BUDGET, 1, lambda: now[0])
    frames = [admission.reserve(work(client="a", size_class=PATIENT), None) for _ in range(2)]
    assert not admission.gives_way(frames[0].place)
    small = [admission.reserve(work(client="b"), None) for _ in range(2)]
    assert not admission.gives_way(small[0].place), "nobody waits for a film"
    own = admission.reserve(work(client="a"), None)
    assert admission.waits_for_one("a")
    for ended in (*small, own):
        ended.release()
    now[0] += 0.9 * SHARED_SECONDS
    assert admission.gives_way(frames[0].place)
    now[0] += 0.2 * SHARED_SECONDS
    assert not admission.gives_way(frames[0].place)
    for frame in frames:
        frame.release()


def test_the_queue_s_share_is_that_of_its_fullest_class():
    admission = Admission(BUDGET, 1)
    assert admission.queue_share() == 0.0
    admitted(admission, seconds=0.03)
    admission.reserve(work(seconds=0.1 * BUDGET.queue_seconds, size_class=1), None)
    assert admission.queue_share() == pytest.approx(2 / 3, abs=0.02)


def test_what_takes_longer_beside_others_is_told_so_and_less_is_taken_on():
    """Half of what was expected is done in a second: waits are twice as long, and half as much may wait."""
    now = [0.0]
    admission = Admission(BUDGET, 1, lambda: now[0])
    assert admission.limit_seconds() == BUDGET.queue_seconds
    long = admission.reserve(work(100.0), None)
    before = refusal(admission).retry_after_seconds
    for _ in range(200):
        now[0] += 0.1
        long.done(0.05)
    assert admission.limit_seconds() == pytest.approx(BUDGET.queue_seconds / 2, rel=0.01)
    assert refusal(admission).retry_after_seconds == pytest.approx(2 * (before - 10), rel=0.05)
    with pytest.raises(DeadlineExceededError, match=r"takes 2\.0 s, its deadline leaves 1\.9 s"):
        admission.reserve(work(1.0, size_class=1), 1.9)
    for _ in range(200):
        now[0] += 0.1
        long.done(0.1)
    assert admission.limit_seconds() == pytest.approx(BUDGET.queue_seconds, rel=0.01)


def refusal(admission):
    with pytest.raises(OverloadedError) as refused:
        admission.reserve(work(0.5), None)
    return refused.value


def test_who_waits_for_one_picture_is_known():
    admission = Admission(BUDGET, 1)
    assert admission.waits_for_one("a")
    first = admission.reserve(work(), None)
    assert admission.waits_for_one("a")
    second = admission.reserve(work(size_class=1), None)
    assert not admission.waits_for_one("a")
    assert admission.waits_for_one("b")
    for _ in range(2):
        second.release()
    assert admission.waits_for_one("a")
    admission.reserve(work(), None)
    assert not admission.waits_for_one("a")
    first.release()


def test_departed_pictures_do_not_make_the_engine_look_slow():
    now = [0.0]
    admission = Admission(BUDGET, 1, lambda: now[0])
    waiting = admission.reserve(work(1.0), None)
    for _ in range(30):
        left = admission.reserve(work(0.33), None)
        now[0] += 0.25
        left.left()
        left.release()
        done = admission.reserve(work(0.2), None)
        now[0] += 0.2
        done.done(0.2)
        done.release()
    waiting.release()
    for _ in range(30):
        left = admission.reserve(work(0.33), None)
        now[0] += 0.25
        left.release()
    assert admission.limit_seconds() == pytest.approx(BUDGET.queue_seconds)
