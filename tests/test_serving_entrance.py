"""Requests of one client come in a few at a time, so that those of others need not wait for all of them."""

import asyncio

import pytest
from waiting import PATIENCE

from serving.access.keys import Grant, new_key
from serving.app import create_app
from serving.middleware.authorisation import Authorisation
from serving.middleware.entrance import AT_ONCE, MOST_WAITING, Entrance
from serving.settings import Settings


def scope(client, path="/v1/scenes", kind="http"):
    return {"type": kind, "path": path, "client": (client, 1)}


class Answers:
    """An application that notes who is answered, and in which turn of the event loop."""

    def __init__(self):
        self.entered = []
        self.turn = 0
        self.statuses = []

    async def __call__(self, scope, _receive, _send):
        self.entered.append((scope["client"][0], self.turn))

    async def send(self, message):
        self.statuses.append(message.get("status"))

    def count_turns(self):
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.count_turns)


def with_door(use):
    """The answers that `use(door, ask)` has had; `ask` begins requests, and all have ended behind it."""

    async def session():
        answers = Answers()
        door = Entrance(answers)
        answers.count_turns()

        def ask(*scopes):
            return [asyncio.ensure_future(door(each, None, answers.send)) for each in scopes]

        async with asyncio.timeout(PATIENCE):
            await use(door, ask)
        assert not door._waiting
        await asyncio.sleep(0)
        assert not door._entered
        return answers

    return asyncio.run(session())


def test_a_few_of_each_client_come_in_in_a_turn():
    async def use(_door, ask):
        await asyncio.gather(*ask(*[scope("many")] * (3 * AT_ONCE), scope("one")))

    by_turn = {}
    for client, turn in with_door(use).entered:
        by_turn.setdefault(turn, []).append(client)
    few = ["many"] * AT_ONCE
    assert [*by_turn.values()] == [[*few, "one"], few, few]


def test_who_comes_later_need_not_wait_for_all():
    before = []

    async def use(door, ask):
        many = ask(*[scope("many")] * (10 * AT_ONCE))
        await asyncio.sleep(0)
        before.extend(door.app.entered)
        await asyncio.gather(*ask(scope("one")))
        before.extend(door.app.entered[len(before) :])
        await asyncio.gather(*many)

    entered = with_door(use).entered
    assert len(entered) == 10 * AT_ONCE + 1
    assert before.index(next(each for each in before if each[0] == "one")) <= 3 * AT_ONCE


@pytest.mark.parametrize(("path", "kind"), [("/livez", "http"), ("/v1/scenes/a/live", "websocket")])
def test_probes_and_live_views_wait_for_nobody(path, kind):
    async def use(_door, ask):
        await asyncio.gather(*ask(*[scope("one", path, kind)] * (3 * AT_ONCE)))

    assert len({turn for _, turn in with_door(use).entered}) == 1


@pytest.mark.parametrize("turns", [1, 2, 3], ids="after {} turns".format)
def test_who_leaves_is_passed_over(turns):
    """In the queue, in the moment of its turn, and when it has come in."""

    async def use(_door, ask):
        first, *others = ask(*[scope("many")] * (3 * AT_ONCE))
        for _ in range(turns):
            await asyncio.sleep(0)
        for left in others[AT_ONCE : 2 * AT_ONCE]:
            left.cancel()
        await asyncio.gather(first, *others, return_exceptions=True)

    assert 2 * AT_ONCE <= len(with_door(use).entered) <= 3 * AT_ONCE


def test_no_more_wait_than_are_allowed():
    async def use(_door, ask):
        await asyncio.gather(*ask(*[scope("many")] * (AT_ONCE + MOST_WAITING + 3), scope("one")))

    answers = with_door(use)
    assert len(answers.entered) == AT_ONCE + MOST_WAITING + 1
    assert [status for status in answers.statuses if status] == [503] * 3


def test_clients_are_known_by_their_keys(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(new_key(Grant("viewer", frozenset({"*"})))[1] + "\n")
    app = create_app(Settings(repository=tmp_path, api_key_file=keys))
    order = [each.cls for each in app.user_middleware]
    assert order.index(Authorisation) < order.index(Entrance)
