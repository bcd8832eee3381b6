"""Runs a stage in a process of its own, and says what became of it whatever happens there."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu.settings import Stage
from export.speed.profile import own_code

ABSENT = 5
"""Exit code of a stage for which this machine has no package, compiler or device."""


def run_stage(stage: Stage, out: Path, seconds: float) -> dict[str, Any]:
    """The stage's record: `stage`, `task`, `status`, `seconds` that it took, its values and its figures.

    status: done, absent (the machine has not what it takes), failed, out of time. In the last three cases
    `reason` says why. Its output is kept in OUT/logs. seconds: after which it is ended, with all it started.
    """
    name = stage.name.replace(" ", "-")
    log, figures = out / "logs" / f"{name}.txt", out / "logs" / f"{name}.json"
    log.parent.mkdir(parents=True, exist_ok=True)
    figures.unlink(missing_ok=True)
    command = [sys.executable, "-X", "faulthandler", "-m", "benchmarks.gpu.task"]
    command += [stage.task, json.dumps(stage.values), str(figures)]
    environment = own_code()
    if stage.values.get("quick"):
        # Small steps gain nothing from threads, which wait for each other where the machine is busy.
        environment["OMP_NUM_THREADS"] = "1"
    if stage.task == "kernels" and stage.values["device"] == "cpu":
        environment["TRITON_INTERPRET"] = "1"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    record = {"stage": stage.name, "task": stage.task, "seconds": round(time.monotonic() - began, 1)}
    record |= {key: stage.values[key] for key in ("family", "format") if key in stage.values}
    if code is None:
        return record | {"status": "out of time", "reason": f"ended after {seconds:.0f} s"}
    if code == 0:
        return record | {"status": "done"} | json.loads(figures.read_text())
    lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
    reason = f"killed by signal {-code}" if code < 0 else lines[-1]
    return record | {"status": "absent" if code == ABSENT else "failed", "reason": reason}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the process and what it started, such as compilers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
