"""Clients of a gateway that ask for ever new pictures until they are told to stop."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx
from waiting import PATIENCE, wait_for


class Answer(NamedTuple):
    """What a client got: a response, or what was raised instead, and after how many seconds."""

    response: httpx.Response | httpx.HTTPError
    seconds: float

    @property
    def status(self) -> int | None:
        """None where there was no response."""
        return self.response.status_code if isinstance(self.response, httpx.Response) else None


class AskingClients:
    """So many clients at `url` that ask one question after the other inside the `with`.

    ask: puts a question by a client; its number is like no other of these clients. pause: seconds before the
    next question, where the last one got another answer than a picture.
    """

    def __init__(
        self,
        url: str | httpx.URL,
        ask: Callable[[httpx.Client, int], httpx.Response],
        *,
        count: int,
        pause: float = 0.0,
    ) -> None:
        self.answers: list[Answer] = []
        self._url, self._ask_one, self._pause = url, ask, pause
        self._on = True
        self._threads = [threading.Thread(target=self._ask, args=[n, count]) for n in range(count)]

    def _ask(self, number: int, step: int) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE) as client:
            while self._on:
                number += step
                began = time.monotonic()
                try:
                    response: httpx.Response | httpx.HTTPError = self._ask_one(client, number)
                except httpx.HTTPError as error:
                    response = error
                answer = Answer(response, time.monotonic() - began)
                self.answers.append(answer)
                if answer.status != 200:
                    time.sleep(self._pause)

    def __enter__(self) -> "AskingClients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        for thread in self._threads:
            thread.join()

    def wait_for(self, status: int, answers: int = 1) -> None:
        """Return when so many answers that are to come have this status."""
        seen = len(self.answers)

        def come() -> bool:
            return sum(answer.status == status for answer in self.answers[seen:]) >= answers

        wait_for(come, answers * PATIENCE)
