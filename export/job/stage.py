"""One format in one precision, exported in a process of its own: `python -m export.job.stage CHECKPOINT ...`.

`neurocity-export` starts one for each pair, so that a converter that crashes takes nothing else with it. The
same command line, typed by hand, repeats a stage in front of a debugger. With `--events` the process writes
JSON lines into that file descriptor, for the command to read:

    {"doing": what, "done": n, "total": m}     progress, any number of times
    {"kept": bool, "folder": path}             the end: the version's folder, and whether it was there before
    {"error": {...}, "everywhere": bool}       the end: why not, and whether all stages would fail so
"""

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from export.formats.registry import missing_dependency
from export.job.config import ExportConfig
from export.job.console import ConsoleProgress, print_error
from export.job.exit_codes import INTERRUPTED, exit_code
from neurocity.contract import model_name
from neurocity.errors import CheckpointError, ConfigError, NeuroCityError

GRACE_SECONDS = 10.0
"""What a stage that is told to end gets for it."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The command line of a stage."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """The checkpoint to export."""
    config: Annotated[ExportConfig, tyro.conf.OmitArgPrefixes]
    resume: bool = False
    """Keep the version that is there already, if it is what this would make."""
    kept_views: Path | None = None
    """Folder for the model's renders of the held-out views, shared with other stages."""
    events: int | None = None
    """File descriptor to write progress and outcome into, as JSON lines; without it, they are printed."""

    def __post_init__(self) -> None:
        if len(self.config.formats) != 1:
            raise ConfigError(f"formats: got {' '.join(self.config.formats)}, a stage exports one")

    @property
    def label(self) -> str:
        """How messages name the stage: its format, with the precision behind unless it is fp32."""
        return stage_label(self.config.formats[0], self.config.precision)

    @property
    def folder(self) -> Path:
        """The version folder that it writes."""
        config = self.config
        return config.out / model_name(config.name, config.formats[0], config.precision) / str(config.version)

    def words(self) -> list[str]:
        """The arguments of `python -m export.job.stage` that mean this stage; events are not among them."""
        words = [str(self.checkpoint)]
        for record in (self.config, self):
            for field in fields(record):
                if field.name in ("checkpoint", "config", "events"):
                    continue
                value = getattr(record, field.name)
                if field.default is MISSING or value != field.default or field.name == "formats":
                    words += _option(field.name, value)
        return words


def stage_label(format_name: str, precision: str) -> str:
    """See `Stage.label`."""
    return format_name if precision == "fp32" else f"{format_name} {precision}"


@dataclass(frozen=True, kw_only=True)
class StageEnd:
    """How a stage ended: with a version, which was `kept` or is new, or with an error.

    everywhere: the error has nothing to do with the format, so that other stages would meet it too.
    """

    kept: bool = False
    error: NeuroCityError | None = None
    everywhere: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stage and returns its exit code, which `neurocity-export` would have with it alone."""
    messages = Console(stderr=True)
    try:
        stage = tyro.cli(
            Stage, args=arguments, prog="python -m export.job.stage", config=(tyro.conf.FlagCreatePairsOff,)
        )
        if stage.events is not None:
            return _run_for_the_command(stage, stage.events)
        with ConsoleProgress(messages) as progress:
            end = run_stage(stage, progress)
    except ConfigError as error:
        end = StageEnd(error=error)
    except KeyboardInterrupt:
        return INTERRUPTED
    if end.error is not None:
        print_error(messages, str(end.error))
        return exit_code(end.error)
    print(f"{'kept' if end.kept else 'wrote'} {stage.folder}")
    return 0


def run_stage(stage: Stage, progress: Callable[[str, int, int], None]) -> StageEnd:
    """Exports, unless what is there already may stay."""
    (name,) = stage.config.formats

    def labelled(doing: str, done: int, total: int) -> None:
        progress(doing.replace(f"{name}: ", f"{stage.label}: ", 1), done, total)

    try:
        try:
            from export.job.resume import present_version  # noqa: PLC0415
            from export.job.run import export_checkpoint  # noqa: PLC0415, torch only when it is needed
        except ModuleNotFoundError as error:
            raise missing_dependency(error, "neurocity-export") from error
        if not stage.checkpoint.is_file():
            raise CheckpointError(f"{stage.checkpoint}: no such file")
    except NeuroCityError as error:
        return StageEnd(error=error, everywhere=True)
    try:
        if stage.resume and present_version(stage.config, stage.checkpoint) is not None:
            return StageEnd(kept=True)
    except NeuroCityError as error:
        return StageEnd(error=error)
    try:
        result = export_checkpoint(stage.checkpoint, stage.config, labelled, kept_views=stage.kept_views)
    except NeuroCityError as error:
        return StageEnd(error=error, everywhere=True)
    return StageEnd(error=next(iter(result.errors), None))


def _run_for_the_command(stage: Stage, events: int) -> int:
    # What this process starts itself, such as a compiler, shall not keep the command waiting for its end.
    os.set_inheritable(events, False)
    threading.Thread(target=_end_with_the_command, args=(events,), daemon=True).start()

    def send(event: dict[str, Any]) -> None:
        try:
            os.write(events, (json.dumps(event) + "\n").encode())
        except BrokenPipeError:  # nobody waits for this export any more
            raise SystemExit(INTERRUPTED) from None

    end = run_stage(stage, lambda doing, done, total: send({"doing": doing, "done": done, "total": total}))
    if end.error is None:
        send({"kept": end.kept, "folder": str(stage.folder)})
        return 0
    code = exit_code(end.error)
    told = {"kind": type(end.error).__name__, "message": str(end.error), "exit_code": code}
    send({"error": told, "everywhere": end.everywhere})
    return code


def _end_with_the_command(events: int) -> None:
    """Ends this process and what it has started when nobody reads its events any more."""
    poll = select.poll()
    poll.register(events, 0)
    poll.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGINT)
        time.sleep(GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)


def _option(name: str, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if value is True:
        return [option]
    return [option, *map(str, value)] if isinstance(value, tuple) else [option, str(value)]


if __name__ == "__main__":
    sys.exit(main())
