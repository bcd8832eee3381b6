"""Pixels per minute: what a name may have, what counts, and what is told to whom has had them."""

import pytest
from gateway_server import running_gateway
from hypothesis import example, given
from hypothesis import strategies as st
from test_serving_access import SECRET
from test_serving_faults import LINK, ScriptedEngine
from test_serving_telemetry import samples

from neurocity.errors import EngineUnavailableError
from serving.access.keys import Grant, new_key
from serving.access.links import SigningKeys
from serving.app import create_app
from serving.render.quotas import Client, QuotaExceededError, Quotas
from serving.render.token_bucket import TokenBucket
from serving.settings import Settings

PIXELS = 16
"""Of `LINK`."""


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(quotas, client, pixels):
    """Nothing when they are taken, else the seconds to wait."""
    try:
        quotas.check(client, pixels)
    except QuotaExceededError as error:
        return error.retry_after_seconds
    quotas.take(client, pixels)
    return None


def test_a_minute_has_its_pixels():
    clock = Clock()
    quotas, client = Quotas(clock), Client("a", 600)
    assert [asked(quotas, client, 200) for _ in range(4)] == [None, None, None, 20]
    clock.now += 19
    assert asked(quotas, client, 200) == 1
    clock.now += 1
    assert asked(quotas, client, 200) is None
    assert asked(quotas, Client("b", 600), 600) is None
    assert asked(quotas, Client("c"), 10**9) is None


def test_a_picture_that_is_larger_than_a_minute_is_made_and_owed():
    clock = Clock()
    quotas, client = Quotas(clock), Client("a", 600)
    assert asked(quotas, client, 1800) is None
    assert asked(quotas, client, 10) == 121
    clock.now += 121
    assert asked(quotas, client, 10) is None


@example([(1, 4.453609970616732), (600, 0.0), (600, 0.0)])  # numbers that are rounded
@given(st.lists(st.tuples(st.integers(1, 900), st.floats(0, 30)), min_size=1, max_size=50))
def test_nobody_has_more_than_the_quota_and_waits_longer_than_told(steps):
    clock, most = Clock(), 600
    quotas, client, had = Quotas(clock), Client("a", most), 0
    for pixels, pause in steps:
        if (wait := asked(quotas, client, pixels)) is not None:
            clock.now += wait
            assert asked(quotas, client, pixels) is None
        had += pixels
        assert had - pixels <= most + clock.now * most / 60 + 1e-6  # what was allowed before the last one
        clock.now += pause


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A gateway whose user has two keys, a link, and three pictures a minute; engine, client and keys."""
    grant = Grant("ada", frozenset({"*"}), pixels_per_minute=3 * PIXELS)
    made = [new_key(grant), new_key(grant), new_key(Grant("operator", frozenset({"*"}), admin=True))]
    signing = tmp_path_factory.mktemp("quotas") / "signing"
    signing.write_text(f"web {SECRET} * pixels-per-minute={PIXELS}")
    settings = Settings(api_keys=";".join(line for _, line in made), signing_key_file=signing)
    engine = ScriptedEngine()
    with running_gateway(create_app(settings, engine)) as client:
        yield engine, client, [{"x-api-key": key} for key, _ in made]


def test_what_is_rendered_counts_for_all_keys_of_a_name(opened):
    engine, client, (first, second, operator) = opened
    picture = client.get(LINK, headers=first)
    assert picture.status_code == 200
    for _ in range(5):  # kept pictures, and those that the client has, are free
        assert client.get(LINK, headers=second).status_code == 200
        tag = {"if-none-match": picture.headers["etag"]}
        assert client.get(LINK, headers=second | tag).status_code == 304
    engine.failure = EngineUnavailableError("gone")
    for _ in range(5):  # as are those that could not be made
        assert client.get(f"{LINK}&fov=41", headers=second).status_code == 503
    engine.failure = None
    assert client.get(f"{LINK}&fov=42", headers=second).status_code == 200
    assert client.get(f"{LINK}&fov=43", headers=first).status_code == 200
    refused = client.get(f"{LINK}&fov=44", headers=second)
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:neurocity:problem:quota-exceeded"
    assert f"{3 * PIXELS} pixels a minute" in refused.json()["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["cache-control"] == "no-store"
    assert client.get(f"{LINK}&fov=44", headers=operator).status_code == 200
    assert samples(client, operator)["neurocity_rejected_total", "quota-exceeded"] == 1


def test_links_have_the_quota_of_their_key(opened):
    _, client, _ = opened
    keys = SigningKeys([f"web {SECRET} *"], "test")
    links = [keys.sign(f"{LINK}&fov={fov}", 60) for fov in (51, 52)]
    assert [client.get(link).status_code for link in links] == [200, 429]


def test_a_bucket_holds_a_burst_and_fills_in_time():
    now = [0.0]
    bucket = TokenBucket(10, 5, lambda: now[0])

    def taken() -> int:
        count = 0
        while bucket.tokens() >= 1:
            bucket.take(1)
            count += 1
        return count

    assert taken() == 5
    now[0] = 0.35
    assert taken() == 3
    now[0] = 100.0
    bucket.take(2)
    assert taken() == 3
