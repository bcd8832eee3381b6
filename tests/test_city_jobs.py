"""Jobs that train the parts of a city: tried again, told to end, killed, and refused."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_city_training import options
from waiting import wait_for

from neurocity.city.manifest import City, write_city
from neurocity.city_training import __main__ as one_job
from neurocity.city_training.job import Job
from neurocity.city_training.options import COARSE
from neurocity.city_training.record import Record, only_one, read_record, write_record
from neurocity.city_training.runners.local import LocalRunner, Process
from neurocity.city_training.runners.runner import Result, run_jobs
from neurocity.errors import ConfigError, TrainingError


def test_one_process_at_a_time_trains_a_part(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(TrainingError, match="another process"), only_one(tmp_path, 0.0):
        pass
    with only_one(tmp_path):
        pass


def test_jobs_travel_as_text(tmp_path: Path) -> None:
    job = Job(city=tmp_path, part="x0-y0", options=options(data=tmp_path, minutes=1.5, steps=None), threads=3)
    assert Job.from_json(job.to_json()) == job
    with pytest.raises(ConfigError, match="fields of a job"):
        Job.from_json("{}")


class Scripted:
    """A runner whose jobs end with the codes that are named for their part, one after another."""

    slots = 2

    def __init__(self, codes: dict[str, list[int]]) -> None:
        self.codes = {part: iter(of) for part, of in codes.items()}
        self.started: list[str] = []

    def start(self, job: Job) -> "Ended":
        self.started.append(job.part)
        return Ended(self.codes[job.part])


class Ended:
    def __init__(self, codes: Iterator[int]) -> None:
        self._code = next(codes)

    def result(self) -> Result:
        return Result(self._code, "broken" if self._code else "")

    def stop(self) -> None:
        """Nothing runs."""

    def end(self) -> None:
        """Nothing runs."""


def test_a_job_that_fails_is_tried_again_and_the_others_go_on(tmp_path: Path) -> None:
    codes = {"a": [1, 1, 1], "b": [0], "c": [1, 0], "d": [2]}
    runner, told = Scripted(codes), []
    jobs = [Job(city=tmp_path, part=part, options=options()) for part in codes]
    results = run_jobs(jobs, runner, retries=2, watch=lambda _, job, result: told.append((job, result)))
    assert {part: result.code for part, result in results.items()} == {"a": 1, "b": 0, "c": 0, "d": 2}
    assert {part: runner.started.count(part) for part in codes} == {"a": 3, "b": 1, "c": 2, "d": 1}
    assert {job.part for job, _ in told if job is not None} == set(codes)


def test_all_running_jobs_are_told_to_end_before_one_is_waited_for(tmp_path: Path) -> None:
    done: list[str] = []

    class Endless:
        slots = 0

        def start(self, _: Job) -> "Endless":
            return self

        def result(self) -> None:
            return None

        def stop(self) -> None:
            done.append("told")

        def end(self) -> None:
            done.append("waited for")

    def watch(*_: object) -> None:
        raise KeyboardInterrupt

    jobs = [Job(city=tmp_path, part=part, options=options()) for part in ("a", "b")]
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, Endless(), retries=0, watch=watch)
    assert done == ["told", "told", "waited for", "waited for"]


def test_a_job_that_is_refused_is_not_told_of_by_a_failure_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(city=tmp_path, part="a", options=options())
    write_record(job.run_folder, Record(part="a", state="failed", digest="", error="long ago"))
    program = tmp_path / "refuses"
    program.write_text("#!/bin/sh\necho no such plan\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    process = Process(job)
    result = wait_for(process.result)
    assert result.code == 2
    assert "no such plan" in result.error
    assert "long ago" not in result.error


def test_a_job_ends_when_the_command_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    parents, sent = iter([7, 7, 1]), []
    monkeypatch.setattr(one_job.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(one_job.os, "kill", lambda *call: sent.append((next(parents, None), *call)))
    monkeypatch.setattr(one_job.time, "sleep", lambda _: None)
    one_job._end_with(7)
    assert sent == [(None, os.getpid(), signal.SIGINT)]


def test_a_process_that_is_killed_leaves_a_record_of_its_failure(
    planned_town: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "town"
    write_city(folder, planned_town)
    program = tmp_path / "killed"
    program.write_text("#!/bin/sh\nkill -KILL $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    job = Job(city=folder, part=COARSE, options=options(), threads=1)
    write_record(job.run_folder, Record(part=COARSE, state="training", digest=""))
    process = LocalRunner(1).start(job)
    result = wait_for(process.result)
    record = read_record(job.run_folder)
    assert record is not None
    assert (record.state, record.error) == ("failed", result.error)
    assert "signal 9" in record.error
