"""The check of a machine with a GPU: every family trained, exported, compared with the CPU and timed.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --device cpu --quick

Stages are processes with a time limit, and nothing that one does stops the others. docs/deploy.md says what
the machine has to have; what it lacks is said.
"""

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import tyro

from benchmarks.gpu import tables
from benchmarks.gpu.plan import FULL_SIZES, QUICK_SIZES, stages
from benchmarks.gpu.process import run_stage
from benchmarks.gpu.settings import Arguments, Stage

DATA = Path(os.environ.get("NEUROCITY_DATA") or Path(__file__).parents[3] / "shared" / "data")
LEAST_SECONDS = 5.0
"""A stage is not begun with less time than that."""


def main() -> int:
    """Prints rows as they come and the tables at the end; 1 if anything failed, or was left out for time."""
    arguments = tyro.cli(Arguments, description=__doc__)
    check = Check(arguments)
    for record in check.records():
        check.keep(record)
    text = check.text()
    print(f"\n{text}", flush=True)
    good = ("done", "absent")
    return int(not all(each["status"] in good and each.get("equal", True) for each in check.found.values()))


class Check:
    """One run of the check. found: records by the stage's name."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.data = _data(arguments)
        self.sizes = QUICK_SIZES if arguments.quick else FULL_SIZES
        self.end = time.monotonic() + 60.0 * arguments.minutes
        self.found: dict[str, dict[str, Any]] = {}
        for name in ("runs", "artefacts", "views", "logs"):
            shutil.rmtree(arguments.out / name, ignore_errors=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "results.jsonl").write_text("")

    def records(self) -> Iterator[dict[str, Any]]:
        """The record of every stage, as soon as it has ended."""
        plan = stages(self.arguments, self.data)
        for beside, group in groupby(plan, lambda stage: stage.beside):
            if not beside:
                yield from map(self._record, group)
                continue
            with ThreadPoolExecutor(self.arguments.beside) as pool:
                yield from pool.map(self._record, list(group))

    def keep(self, record: dict[str, Any]) -> None:
        """Remember a record, and write it where it is not lost when the machine goes."""
        self.found[record["stage"]] = record
        with (self.arguments.out / "results.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        (self.arguments.out / "table.md").write_text(self.text())
        print(self._line(record), flush=True)

    def text(self) -> str:
        """The tables of what there is by now."""
        sentence = self.found.get("environment", {}).get("sentence", "no environment")
        command = shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]])
        return tables.document(
            self.found.values(), self.sizes, f"`{command}`, data {self.data.name}: {sentence}."
        )

    def _record(self, stage: Stage) -> dict[str, Any]:
        values = {key: stage.values[key] for key in ("family", "format") if key in stage.values}
        skipped = {"stage": stage.name, "task": stage.task, **values, "seconds": 0.0}
        for name in stage.after:
            status = self.found[name]["status"]
            if status != "done":
                status = status if status == "absent" else "not run"
                return skipped | {"status": status, "reason": f"without {name}", "follows": name}
        left = self.end - time.monotonic()
        if left < LEAST_SECONDS:
            return skipped | {"status": "not run", "reason": f"{self.arguments.minutes:g} minutes are over"}
        return run_stage(stage, self.arguments.out, min(stage.seconds, left))

    def _line(self, record: dict[str, Any]) -> str:
        line = tables.remark(record)
        if not line and record["task"] == "train":
            line = tables.training_row(record)
        elif not line and record["task"] in tables.RENDERING:
            line = tables.rendering_row(record, self.found.get(tables.writer(record)))
        elif not line and record["task"] == "kernels":
            line = "\n          ".join(tables.kernel_rows(record))
        return f"{record['seconds']:6.1f} s  {line or record['stage']}"


def _data(arguments: Arguments) -> Path:
    """The dataset; where it is not there it is made."""
    if arguments.data is not None:
        if not arguments.data.is_dir():
            raise SystemExit(f"--data: {arguments.data} is no folder")
        return arguments.data
    lego = DATA / "lego_400"
    return lego if lego.is_dir() and not arguments.quick else arguments.out / "city"
