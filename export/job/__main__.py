"""One job in a process of its own: `python -m export.job JSON`, the JSON being the fields of a `Job`.

`neurocity-export` starts one for each job, so that a converter that crashes takes nothing else with it. The
same command, typed by hand, repeats a job in front of a debugger. With `--events` the process writes JSON
lines into that file descriptor, for the command to read:

    {"doing": what, "done": n, "total": m}     progress, any number of times
    {"status": ...}                            the end: the `Outcome`
"""

import argparse
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from export.formats.registry import missing_dependency
from export.job.console import ConsoleProgress, print_error
from export.job.job import Job
from export.job.outcome import Outcome
from export.job.process import GRACE_SECONDS
from neurocity.errors import ConfigError
from neurocity.exit_codes import INTERRUPTED, exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Does the job and returns its exit code, which `neurocity-export` would have with it alone."""
    parser = argparse.ArgumentParser(prog="python -m export.job")
    parser.add_argument("job", help="the fields of a job as one JSON object")
    parser.add_argument("--kept-views", type=Path, help="folder for the model's views, shared between jobs")
    parser.add_argument("--events", type=int, help="file descriptor for progress and outcome, as JSON lines")
    parsed = parser.parse_args(arguments)
    messages = Console(stderr=True)
    try:
        job = Job.from_json(parsed.job)
    except ConfigError as error:
        print_error(messages, str(error))
        return exit_code(error)
    if parsed.events is not None:
        return _tell(parsed.events, job, parsed.kept_views)
    try:
        with ConsoleProgress(messages) as progress:
            outcome = _outcome(job, progress, parsed.kept_views)
    except KeyboardInterrupt:
        return INTERRUPTED
    if outcome.error:
        print_error(messages, outcome.error)
    else:
        print(f"{'kept' if outcome.status == 'kept' else 'wrote'} {job.folder}")
    return outcome.exit_code


def _outcome(job: Job, progress: Callable[[str, int, int], None], kept_views: Path | None) -> Outcome:
    """What `run_job` says, or that it cannot be loaded here."""
    try:
        from export.job.run import run_job  # noqa: PLC0415, torch only when it is needed
    except ModuleNotFoundError as error:
        return Outcome.failed(job, missing_dependency(error, "neurocity-export"), everywhere=True)
    return run_job(job, progress, kept_views=kept_views)


def _tell(events: int, job: Job, kept_views: Path | None) -> int:
    """Does the job for the command that reads `events`."""
    # What this process starts itself, such as a compiler, shall not keep the command waiting for its end.
    os.set_inheritable(events, False)
    threading.Thread(target=_end_with_the_command, args=(events,), daemon=True).start()

    def send(line: str) -> None:
        try:
            os.write(events, (line + "\n").encode())
        except BrokenPipeError:  # nobody waits for this export any more
            raise SystemExit(INTERRUPTED) from None

    def progress(doing: str, done: int, total: int) -> None:
        send(json.dumps({"doing": doing, "done": done, "total": total}))

    outcome = _outcome(job, progress, kept_views)
    send(outcome.to_json())
    return outcome.exit_code


def _end_with_the_command(events: int) -> None:
    """Ends this process and what it has started when nobody reads its events any more."""
    poll = select.poll()
    poll.register(events, 0)
    poll.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGINT)
        time.sleep(GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
