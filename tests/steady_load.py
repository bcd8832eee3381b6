"""Clients that never rest, for tests of gateways that come and go behind a proxy."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from asking_clients import AskingClients


@contextmanager
def steady_load(url: str, scene: str) -> Iterator[AskingClients]:
    """Six clients that ask for pictures inside, by links and by POST; at the end no request was lost."""

    def ask(client: httpx.Client, number: int) -> httpx.Response:
        place = {"eye": [3, -2.5, number * 1e-4], "target": [0, 0, 0]}
        if number % 2:
            eye = ",".join(map(str, place["eye"]))
            return client.get(f"/v1/scenes/{scene}/render.png?eye={eye}&target=0,0,0&width=60&height=40")
        body = {"camera": {"look_at": place}, "width": 60, "height": 40}
        return client.post(f"/v1/scenes/{scene}/render", json=body)

    with AskingClients(url, ask, count=6) as clients:
        yield clients
    assert [answer for answer in clients.answers if answer.status != 200] == []
