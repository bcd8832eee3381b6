"""Jobs as processes of this machine."""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from neurocity.city_training.job import Job
from neurocity.city_training.record import LOG_FILE, only_one, read_record, write_record
from neurocity.city_training.runners.runner import Result
from neurocity.errors import TrainingError
from neurocity.exit_codes import FAILURE, INTERRUPTED

GRACE_SECONDS: Final = 120.0
"""For a job that is told to end: it saves after the running step."""


class LocalRunner:
    """See `Runner`. slots: processes at once."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def start(self, job: Job) -> "Process":
        """See `Runner`. Raises TrainingError when no process can be started."""
        return Process(job)


class Process:
    """See `Running`. What the process prints is added to `log.txt` in the run's folder."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._before = read_record(job.run_folder)
        self._log = job.run_folder / LOG_FILE
        command = [sys.executable, "-m", "neurocity.city_training", job.to_json()]
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads)} if job.threads else None
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,  # which Ctrl-C does not reach: a second signal leaves unsaved
                )
        except OSError as error:
            raise TrainingError(f"{job.part}: no process could be started: {error}") from None

    def result(self) -> Result | None:
        """See `Running`."""
        code = self._process.poll()
        if code is None:
            return None
        if code == 0:
            return Result()
        record = read_record(self._job.run_folder)
        # A job that is refused before it begins leaves the record as it was.
        is_news = record is not None and record.state == "failed" and record != self._before
        told = record.error if record is not None and is_news else ""
        result = Result(code if code > 0 else FAILURE, told or self._last_words(code))
        if code != INTERRUPTED:
            self._note(result)
        return result

    def _note(self, result: Result) -> None:
        """Say in the record that it failed, where it was killed and could not: others wait for it."""
        run = self._job.run_folder
        # Another command's process may be at work on it.
        with contextlib.suppress(TrainingError), only_one(run, patience=0.0):
            record = read_record(run)
            if record is not None and record.state == "training":
                failed = replace(record, state="failed", error=result.error, exit_code=result.code)
                write_record(run, failed)

    def stop(self) -> None:
        """See `Running`."""
        self._process.send_signal(signal.SIGINT)  # which does nothing once it has ended

    def end(self) -> None:
        """See `Running`."""
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self, code: int) -> str:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"ended by {how}: {_last_line(self._log) or 'nothing printed'} ({self._log})"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
