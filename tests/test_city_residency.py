"""Which models stay in memory: bounds, holds, what makes room for what, and loads that several want."""

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from waiting import PATIENCE, wait_for

from neurocity.city import loading
from neurocity.city import residency as module
from neurocity.city.loading import Urgency
from neurocity.city.residency import Hold, Loaded, Residency, Want
from neurocity.errors import ManifestError

NEVER, ALWAYS = 0.0, math.inf


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes longer than what was used a moment ago is spared for."""
    monkeypatch.setattr(loading, "STALE_SECONDS", ALWAYS)
    for name in ("SHOWN_SECONDS", "RECENT_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(module, name, ALWAYS)


class Files:
    """Models of 4 bytes by their names; loads wait for the gate, and fail of those that are broken."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.broken: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def want(self, name: str) -> Want:
        def load() -> Loaded:
            assert self.gate.wait(PATIENCE)
            self.loads.append(name)
            if name in self.broken:
                raise ManifestError(f"{name} is broken")
            return Loaded({}, 4)

        return Want(name, name, 4, load)

    def wants(self, names: str) -> list[Want]:
        return [self.want(name) for name in names]


@pytest.fixture
def files() -> Iterator[Files]:
    found = Files()
    yield found
    found.gate.set()


@pytest.fixture
def kept() -> Residency:
    """Room for three."""
    residency = Residency(12)
    residency.open("abcdefg")
    return residency


def shown(residency: Residency, files: Files, names: str) -> None:
    """A picture that shows these."""
    with Hold(residency) as hold:
        for want in files.wants(names):
            hold.get(want, ALWAYS)
    residency.used(files.wants(names))


def names(residency: Residency) -> str:
    return "".join(name for name in "abcdefg" if residency.has(name))


def result(load: "Future[Loaded | None]") -> Loaded | None:
    return load.result(PATIENCE)


def test_what_was_used_last_stays(kept: Residency, files: Files) -> None:
    for each in ("abc", "a", "d"):
        shown(kept, files, each)
    assert names(kept) == "acd"
    assert (kept.bytes, kept.models, kept.counts.evicted) == (12, 3, 1)
    assert kept.oldest_seconds() > 0.0


def test_what_a_picture_holds_stays_and_the_rest_of_it_passes(kept: Residency, files: Files) -> None:
    with Hold(kept) as hold:
        for want in files.wants("abcde"):
            assert hold.get(want, ALWAYS) is not None
            assert kept.bytes <= 12
        assert names(kept) == "abc"
        assert hold.loads == 5
        shown(kept, files, "f")
        assert names(kept) == "abc"
    shown(kept, files, "f")
    assert "f" in names(kept)
    assert hold.find(files.want("a")) is None, "it holds nothing after its end"


def test_who_leaves_does_not_wait_for_what_comes(kept: Residency, files: Files) -> None:
    """A render that is left holds its thread no longer, though the load goes on."""
    want, begun = files.want("a"), threading.Event()

    def load() -> Loaded:
        begun.set()
        return want.load()

    files.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        with Hold(kept) as hold:
            rendering = threads.submit(hold.get, replace(want, load=load), ALWAYS)
            assert begun.wait(PATIENCE)
        assert rendering.result(PATIENCE) is None
    files.gate.set()
    wait_for(lambda: names(kept) == "a")


def test_what_nobody_waits_for_makes_nothing_go_that_is_shown(
    kept: Residency, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown(kept, files, "abc")
    for urgency in (Urgency.SHOWN, Urgency.EXPECTED):
        assert result(kept.ask(files.want("d"), urgency)) is None
    assert files.loads == ["a", "b", "c"]
    monkeypatch.setattr(module, "SHOWN_SECONDS", NEVER)
    monkeypatch.setattr(module, "RECENT_SECONDS", NEVER)
    assert result(kept.ask(files.want("d"), Urgency.SHOWN)) is not None
    assert result(kept.ask(files.want("e"), Urgency.EXPECTED)) is not None
    assert names(kept) == "cde"


def test_several_that_want_the_same_have_it_loaded_once(kept: Residency, files: Files) -> None:
    files.gate.clear()
    loads = [kept.ask(files.want("a"), urgency) for urgency in (*Urgency, *Urgency)]
    files.gate.set()
    assert len({id(result(load)) for load in loads}) == 1
    assert files.loads == ["a"]


def test_who_waits_comes_first(kept: Residency, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOADERS", 1)
    one = Residency(100)
    one.open("abcdefg")
    files.gate.clear()
    first = one.ask(files.want("a"), Urgency.EXPECTED)
    wait_for(first.running)
    loads = [
        one.ask(files.want(name), urgency)
        for name, urgency in (("b", Urgency.EXPECTED), ("c", Urgency.SHOWN), ("d", Urgency.WAITED))
    ]
    loads.append(one.ask(files.want("b"), Urgency.WAITED))
    files.gate.set()
    for load in loads:
        result(load)
    assert files.loads == list("abdc")
    del kept


def test_a_wait_ends_in_time_and_the_load_goes_on(kept: Residency, files: Files) -> None:
    files.gate.clear()
    with Hold(kept) as hold:
        assert hold.get(files.want("a"), NEVER) is None
        assert hold.get(files.want("a"), time.monotonic() + 0.01) is None
        files.gate.set()
        wait_for(lambda: hold.find(files.want("a")))


def test_what_is_broken_is_not_tried_again_at_once(
    kept: Residency, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.broken.add("a")
    shown(kept, files, "aa")
    assert files.loads == ["a"]
    assert kept.failed("a")
    assert kept.failure("a") == "a is broken"
    monkeypatch.setattr(module, "RETRY_SECONDS", NEVER)
    files.broken.add("b")
    shown(kept, files, "b")
    files.broken.clear()
    shown(kept, files, "b")
    assert names(kept) == "b"
    assert files.loads == ["a", "b", "b"]
    assert (kept.failure("a"), kept.failure("b")) == ("a is broken", None)
    kept.close("abcdefg")
    assert not kept.failed("a")


def test_who_waits_for_what_was_expected_has_it_kept(
    kept: Residency, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its load had begun for nobody in particular, and there is no room but for who waits."""
    monkeypatch.setattr(module, "RECENT_SECONDS", NEVER)
    shown(kept, files, "abc")
    files.gate.clear()
    load = kept.ask(files.want("d"), Urgency.EXPECTED)
    wait_for(load.running)
    monkeypatch.setattr(module, "RECENT_SECONDS", ALWAYS)
    assert kept.ask(files.want("d"), Urgency.WAITED) is load
    files.gate.set()
    assert result(load) is not None
    assert names(kept) == "bcd"


def test_what_nobody_may_want_is_let_go_after_its_last_picture(kept: Residency, files: Files) -> None:
    kept.open("a")
    shown(kept, files, "abc")
    with Hold(kept) as hold:
        hold.find(files.want("b"))
        kept.close("abcdefg")
        assert names(kept) == "ab"
    assert names(kept) == "a"
    assert kept.bytes == 4
