"""Runs a stage of an export in a process of its own, and says what became of it whatever happens there."""

import json
import os
import select
import shlex
import signal
import site
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from export.job.exit_codes import FAILURE
from export.job.stage import GRACE_SECONDS, Stage
from export.repository.publish import remove_abandoned
from neurocity.contract import MANIFEST_FILE, SceneManifest, manifest_from_json

_POLL_SECONDS = 0.5
_LAST_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a stage shipped nothing: class and message of the error, and the exit code that it stands for."""

    kind: str
    message: str
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """What became of a stage.

    status: `kept` means that the version was there already and is what the stage would have made.
    manifest: of the version, where it was shipped or kept. command: repeats the stage alone.
    everywhere: the failure has nothing to do with the format, so that other stages would fail likewise.
    """

    stage: Stage
    status: Literal["shipped", "kept", "failed", "not run"]
    command: str
    seconds: float = 0.0
    manifest: SceneManifest | None = None
    failure: Failure | None = None
    everywhere: bool = False


def run_in_process(stage: Stage, progress: Callable[[str, int, int], None], folder: Path) -> StageOutcome:
    """Runs the stage to its end. `folder` keeps the model's views from one stage to the next, and a log.

    Never raises because of what the process does. When the caller is interrupted, the process and all that
    it has started are ended first.
    """
    started = time.monotonic()
    last: dict[str, Any] = {}
    log = folder / "printed.txt"
    try:
        with (
            log.open("wb") as output,
            _running(replace(stage, kept_views=folder), output) as (process, events),
        ):
            for event in _listen(process, events):
                if "doing" in event:
                    progress(event["doing"], event["done"], event["total"])
                else:
                    last = event
            code = process.wait()
    finally:
        if "folder" not in last:
            with suppress(OSError):  # there may be no repository
                remove_abandoned(stage.config.out)
    seconds = time.monotonic() - started
    if "folder" in last:
        path = Path(last["folder"]) / MANIFEST_FILE
        return StageOutcome(
            stage=stage,
            status="kept" if last["kept"] else "shipped",
            command=repeat_command(stage),
            seconds=seconds,
            manifest=manifest_from_json(path.read_text(), str(path)),
        )
    failure = Failure(**last["error"]) if "error" in last else _crash(code, log, repeat_command(stage))
    return StageOutcome(
        stage=stage,
        status="failed",
        command=repeat_command(stage),
        seconds=seconds,
        failure=failure,
        everywhere=last.get("everywhere", False),
    )


def repeat_command(stage: Stage) -> str:
    """The command line that repeats a stage in the foreground."""
    return shlex.join(["python", "-X", "faulthandler", "-m", "export.job.stage", *stage.words()])


@contextmanager
def _running(stage: Stage, output: IO[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The stage's process, and the descriptor to read its events from; both are gone afterwards.

    It leads a group of its own, which compilers that it starts belong to and Ctrl-C does not reach.
    """
    read, write = os.pipe()
    command = [sys.executable, "-X", "faulthandler", "-m", "export.job.stage", *stage.words()]
    # The stage imports the very code that this process runs, wherever it was started.
    own = str(Path(__file__).parents[2])
    paths = [os.environ.get("PYTHONPATH", "")]
    if own not in site.getsitepackages():  # where it is found anyhow, behind the standard library
        paths.insert(0, own)
    try:
        process = subprocess.Popen(
            [*command, "--events", str(write)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
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


def _listen(process: subprocess.Popen[bytes], events: int) -> Iterator[dict[str, Any]]:
    """The events until the stage has closed its end, or has ended while a child of it holds that open."""
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
        for line in lines:
            yield json.loads(line)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # all of its members have ended
        os.killpg(process.pid, number)


def _crash(code: int, log: Path, command: str) -> Failure:
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
        f"  this repeats it alone: {command}",
        *(["  the last that it printed:", *(f"    {line}" for line in last)] if last else []),
    ]
    return Failure(kind="Crash", message="\n".join(lines), exit_code=FAILURE)
