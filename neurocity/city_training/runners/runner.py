"""What runs jobs, and the loop over all of them: a job that fails is tried again, and the others go on."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from neurocity.city_training.job import Job
from neurocity.errors import (
    ConfigError,
    MissingDependencyError,
    NeuroCityError,
    ParityError,
    UnsupportedError,
)
from neurocity.exit_codes import exit_code

POLL_SECONDS: Final = 0.2
FINAL: Final = tuple(
    exit_code(kind()) for kind in (ConfigError, ParityError, UnsupportedError, MissingDependencyError)
)
"""Exit codes of what would fail again. One that somebody else told to end goes on."""


@dataclass(frozen=True)
class Result:
    """How a job ended: exit code, 0 where its part is trained, and what was wrong, in words."""

    code: int = 0
    error: str = ""

    @classmethod
    def of(cls, error: NeuroCityError) -> "Result":
        """Of a job that raised."""
        return cls(exit_code(error), str(error))


class Running(Protocol):
    """A job that was started."""

    def result(self) -> Result | None:
        """How it ended; None while it runs."""

    def stop(self) -> None:
        """Tell it to end, with what it has trained saved."""

    def end(self) -> None:
        """Wait for a job that was told to end, and end it where that takes too long."""


class Runner(Protocol):
    """slots: jobs that may be started at once, 0 for all."""

    slots: int

    def start(self, job: Job) -> Running:
        """Begin with a job."""


Watch = Callable[[Sequence[Job], Job | None, Result | None], None]
"""Called with the jobs that run, again and again, and with one that has ended and its result."""


def run_jobs(jobs: Sequence[Job], runner: Runner, *, retries: int, watch: Watch) -> dict[str, Result]:
    """Do all jobs and return how each ended, by part. When interrupted, running jobs are ended first.

    retries: how often a job is tried again that failed for no reason that lasts.
    """
    waiting = deque((job, 0) for job in jobs)
    running: list[tuple[Job, int, Running]] = []
    results: dict[str, Result] = {}
    try:
        while waiting or running:
            while waiting and (not runner.slots or len(running) < runner.slots):
                job, tried = waiting.popleft()
                running.append((job, tried, runner.start(job)))
            going: list[tuple[Job, int, Running]] = []
            for job, tried, one in running:
                result = one.result()
                if result is None:
                    going.append((job, tried, one))
                elif result.code and result.code not in FINAL and tried < retries:
                    waiting.append((job, tried + 1))
                else:
                    results[job.part] = result
                    watch([each for each, *_ in running], job, result)
            running = going
            watch([job for job, *_ in running], None, None)
            time.sleep(POLL_SECONDS)
    finally:
        # All are told before one is waited for: a scheduler that ends them gives little time.
        for *_, one in running:
            one.stop()
        for *_, one in running:
            one.end()
    return results
