"""Does a job in a process of its own, and says what became of it whatever happens there."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from export.job.job import Job
from export.job.outcome import Outcome, repeat_command
from export.repository.publish import remove_abandoned
from export.speed.profile import own_code
from neurocity.exit_codes import FAILURE

GRACE_SECONDS = 10.0
"""What a job that is told to end gets for it."""
_POLL_SECONDS = 0.5
_LAST_LINES = 12


def run_in_process(job: Job, progress: Callable[[str, int, int], None], folder: Path) -> Outcome:
    """Does the job to its end. `folder` keeps the model's views from one job to the next, and a log.

    Never raises because of what the process does. When the caller is interrupted, the process and all that
    it has started are ended first.
    """
    started = time.monotonic()
    outcome: Outcome | None = None
    log = folder / "printed.txt"
    try:
        with log.open("wb") as output, _running(job, folder, output) as (process, events):
            for line in _listen(process, events):
                event = json.loads(line)
                if "doing" in event:
                    progress(event["doing"], event["done"], event["total"])
                else:
                    outcome = Outcome.from_json(job, line)
            code = process.wait()
    finally:
        if outcome is None or outcome.error:
            with suppress(OSError):  # there may be no repository
                remove_abandoned(job.out)
    return replace(outcome or _crash(job, code, log), seconds=time.monotonic() - started)


@contextmanager
def _running(job: Job, folder: Path, output: IO[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The job's process, and the descriptor to read its events from; both are gone afterwards.

    It leads a group of its own, which compilers that it starts belong to and Ctrl-C does not reach.
    """
    read, write = os.pipe()
    command = [sys.executable, "-X", "faulthandler", "-m", "export.job", job.to_json()]
    try:
        process = subprocess.Popen(
            [*command, "--kept-views", str(folder), "--events", str(write)],
            env=own_code(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(write,),
            start_new_session=True,
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    try:
        yield process, read
    except BaseException:
        _signal_group(process, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        raise
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()
        os.close(read)


def _listen(process: subprocess.Popen[bytes], events: int) -> Iterator[str]:
    """The events until the job has closed its end, or has ended while a child of it holds that open."""
    waiting = b""
    while True:
        ended = process.poll() is not None
        if not select.select([events], [], [], 0.0 if ended else _POLL_SECONDS)[0]:
            if ended:
                return
            continue
        received = os.read(events, 1 << 16)
        if not received:
            return
        *lines, waiting = (waiting + received).split(b"\n")
        yield from (line.decode() for line in lines)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # all of its members have ended
        os.killpg(process.pid, number)


def _crash(job: Job, code: int, log: Path) -> Outcome:
    """The outcome of a job whose process ended without one."""
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how += ", as the system does when memory runs out"
    else:
        how = f"ended with exit code {code}"
    with log.open(errors="replace") as printed:
        last = deque((line.rstrip() for line in printed if line.strip()), maxlen=_LAST_LINES)
    lines = [
        f"its process {how} before it had an outcome; nothing of it was shipped",
        f"  this repeats it alone: {repeat_command(job)}",
        *(["  the last that it printed:", *(f"    {line}" for line in last)] if last else []),
    ]
    return Outcome(job=job, status="failed", error="\n".join(lines), error_kind="Crash", exit_code=FAILURE)
