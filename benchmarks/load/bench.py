"""What the measurements share: the gateway that is measured, its clients, and the bars that it must hold."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import psutil

from benchmarks.load.client import ADDRESSES, OK, REFUSED, Answer, Connection, Pictures, ask_once

PAUSE_SECONDS = 0.05
"""Before a client that was refused asks again."""


@dataclass(frozen=True)
class Bar:
    """What the gateway must show, what it showed, and whether that is enough."""

    what: str
    bar: str
    got: str
    holds: bool


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A gateway under measurement.

    size, large: sides of the usual picture and of a large one, in pixels. seconds: length of a load.
    queue_seconds: the gateway's setting. tile_seconds: what a tile of a large picture takes, about.
    """

    port: int
    process: psutil.Process
    pictures: Pictures
    size: int
    large: int
    seconds: float
    queue_seconds: float
    tile_seconds: float = 0.0
    bars: list[Bar] = field(default_factory=list)

    def check(self, what: str, bar: str, got: str, holds: bool) -> None:
        """Note whether a bar holds."""
        self.bars.append(Bar(what, bar, got, holds))

    def memory(self) -> float:
        """Resident MiB of the gateway."""
        return float(self.process.memory_info().rss / 2**20)

    def cpu(self) -> float:
        """Processor seconds of the gateway so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    async def ask(self, side: int, source: str = "127.0.0.1") -> Answer:
        """The answer to one request for a picture, on a connection of its own."""
        return await ask_once(self.port, self.pictures.post(side), source)

    async def closed_loop(
        self, side: int, clients: int, seconds: float, sources: list[str] = ADDRESSES
    ) -> list[Answer]:
        """All answers of clients that ask for pictures as `closed_loop_of` has it."""
        return await self.closed_loop_of(partial(self.pictures.post, side), clients, seconds, sources)

    async def closed_loop_of(
        self, request: Callable[[], bytes], clients: int, seconds: float, sources: list[str]
    ) -> list[Answer]:
        """All answers of clients that ask again as soon as they are answered, after a pause where refused."""
        end, answers = time.perf_counter() + seconds, []

        async def client(number: int) -> None:
            connection = Connection(self.port, sources[number % len(sources)])
            try:
                while time.perf_counter() < end:
                    answer = await connection.ask(request())
                    answers.append(answer)
                    if answer.status != OK:
                        await asyncio.sleep(PAUSE_SECONDS)
            finally:
                connection.close()

        await asyncio.gather(*(client(number) for number in range(clients)))
        return answers


def ok(answers: Iterable[Answer]) -> list[Answer]:
    """Those that are pictures."""
    return [answer for answer in answers if answer.status == OK]


def seconds_of(answers: Iterable[Answer], status: int = OK) -> list[float]:
    """What the answers of that status took."""
    return [answer.seconds for answer in answers if answer.status == status]


def refused(answers: Iterable[Answer]) -> list[float]:
    """What refusals took, in seconds."""
    return seconds_of(answers, REFUSED)


def statuses(answers: Iterable[Answer]) -> str:
    """How many there are of each status."""
    counts = Counter(answer.status for answer in answers)
    return ", ".join(f"{number} x {status}" for status, number in counts.items())


def percentile(values: Iterable[float], percent: float) -> float:
    """The value below which so many percent are; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def in_ms(values: Iterable[float]) -> str:
    """p50 and p95 of seconds, for people."""
    kept = list(values)
    return f"{percentile(kept, 50) * 1e3:.1f} / {percentile(kept, 95) * 1e3:.1f} ms"


def table(bars: list[Bar]) -> str:
    """The bars in Markdown."""
    rows = [f"| {bar.what} | {bar.bar} | {bar.got} | {'holds' if bar.holds else 'MISSED'} |" for bar in bars]
    return "\n".join(["| what | bar | measured | |", "|---|---|---|---|", *rows])
