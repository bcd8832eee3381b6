"""Requests of one client come in one by one, so that those of others need not wait for all of them."""

import asyncio

import pytest
from waiting import PATIENCE

from serving.middleware import entrance
from serving.middleware.entrance import Entrance


def scope(client, path="/v1/scenes", kind="http"):
    return {"type": kind, "path": path, "client": (client, 1)}


class Answers:
    """An application that notes who is answered, and in which turn of the event loop."""

    def __init__(self):
        self.entered = []
        self.turn = 0

    async def __call__(self, scope, _receive, _send):
        self.entered.append((scope["client"][0], self.turn))

    def count_turns(self):
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.count_turns)


def ask(door, *scopes):
    return [asyncio.ensure_future(door(each, None, None)) for each in scopes]


def entered(*scopes):
    """Those that were answered, in their order, with the turn of it, when all come in one turn."""

    async def session():
        answers = Answers()
        door = Entrance(answers)
        answers.count_turns()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*ask(door, *scopes))
        assert not door._waiting
        await asyncio.sleep(0)
        assert not door._entered
        return answers.entered

    return asyncio.run(session())


def test_one_of_each_client_comes_in_in_a_turn():
    found = entered(scope("one"), *[scope("many")] * 4, scope("one"), scope("other"))
    assert [client for client, _ in found] == ["one", "many", "other", "many", "one", "many", "many"]
    turns = [turn for client, turn in found if client == "many"]
    assert len(set(turns)) == 4


def test_who_comes_later_need_not_wait_for_all():
    async def session():
        answers = Answers()
        door = Entrance(answers)
        many = ask(door, scope("one"), *[scope("many")] * 50)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = len(answers.entered)
        await asyncio.gather(*ask(door, scope("one")))
        assert len(answers.entered) - before <= 5
        await asyncio.gather(*many)
        assert len(answers.entered) == 52

    asyncio.run(session())


def test_a_client_that_is_alone_waits_for_nobody(monkeypatch):
    found = entered(*[scope("many")] * 4)
    assert len({turn for _, turn in found}) == 4  # nobody knows yet that there is no other
    monkeypatch.setattr(entrance, "ALONE_SECONDS", 0.0)
    found = entered(*[scope("many")] * 4)
    assert len({turn for _, turn in found}) == 1


@pytest.mark.parametrize(("kind", "path"), [("http", "/livez"), ("websocket", "/v1/scenes/a/live")])
def test_probes_and_live_views_wait_for_nobody(kind, path):
    found = entered(scope("one"), *[scope("one", path, kind)] * 4)
    assert len({turn for _, turn in found}) == 1


def test_who_leaves_while_it_waits_is_passed_over():
    async def session():
        answers = Answers()
        door = Entrance(answers)
        first, *others = ask(door, scope("one"), *[scope("many")] * 5)
        await asyncio.sleep(0)
        for left in others[1:4]:
            left.cancel()
        await asyncio.gather(first, others[0], others[4])
        assert [client for client, _ in answers.entered] == ["one", "many", "many"]
        assert not door._waiting

    asyncio.run(session())
