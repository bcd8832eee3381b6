"""`neurocity-export CHECKPOINT`: arguments in, exit code out.

0 all formats shipped or kept, 1 failure, 2 wrong usage, 3 an artefact is not equal to the model, 4 a model or
format that is not supported, 5 a package or device that is missing, 130 interrupted. With several formats,
those that pass are shipped, and the code is that of the first that did not.

A first word that is the name of a module in `export/commands/` (`neurocity-export inspect ...`) is that
command instead.
"""

import ast
import importlib
import pkgutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console

import export.commands
from export.formats.registry import format_names
from export.job.console import ConsoleProgress, print_error, print_json, print_outcomes
from export.job.exit_codes import INTERRUPTED, exit_code
from export.job.process import StageOutcome, repeat_command, run_in_process
from export.job.request import ExportRequest
from export.job.stage import Stage
from export.repository.publish import refuse_overwrite
from neurocity.errors import NeuroCityError

__all__ = ["exit_code", "main"]

_CAPABILITIES = "--capabilities"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if _CAPABILITIES in words:
        words.remove(_CAPABILITIES)
        words.insert(0, "capabilities")
    if words and words[0] in commands():
        module = importlib.import_module(f"{export.commands.__name__}.{words[0].replace('-', '_')}")
        code: int = module.main(words[1:])
        return code
    return _export(words)


def commands() -> dict[str, str]:
    """What each subcommand does, in the first line of its module, by name. Imports none of them."""
    found = {}
    for folder in map(Path, export.commands.__path__):
        for module in pkgutil.iter_modules([str(folder)]):
            text = ast.get_docstring(ast.parse((folder / f"{module.name}.py").read_text())) or ""
            found[module.name.replace("_", "-")] = text.partition("\n")[0]
    return found


def _export(words: list[str]) -> int:
    messages = Console(stderr=True)
    as_json = "--json" in words
    try:
        request = tyro.cli(
            ExportRequest,
            args=words,
            prog="neurocity-export",
            config=(tyro.conf.FlagCreatePairsOff,),
            description=_description(),
        )
        stages = request.stages()
        if request.name is None:
            messages.print(f"scene {stages[0].config.name}", markup=False, highlight=False)
        for stage in stages:
            if not request.resume:
                config = stage.config
                refuse_overwrite(config.out, stage.folder.parent.name, config.version, force=config.force)
    except NeuroCityError as error:
        print_error(messages, str(error))
        if as_json:
            print_json([], exit_code(error), error)
        return exit_code(error)
    outcomes: list[StageOutcome] = []
    interrupted = 0
    try:
        _run(stages, request.fail_fast, messages, outcomes)
    except _Interrupted as interruption:
        interrupted = interruption.exit_code
        print_error(messages, f"interrupted; {stages[len(outcomes)].label} was not finished")
    outcomes += [
        StageOutcome(stage=stage, status="not run", command=repeat_command(stage))
        for stage in stages[len(outcomes) :]
    ]
    failures = [outcome.failure.exit_code for outcome in outcomes if outcome.failure is not None]
    code = interrupted or next(iter(failures), 0)
    if as_json:
        print_json(outcomes, code)
    else:
        print_outcomes(Console(), outcomes)
    return code


class _Interrupted(BaseException):
    """Ctrl-C, or a signal that asks the command to end."""

    def __init__(self, code: int) -> None:
        self.exit_code = code


def _run(stages: Sequence[Stage], fail_fast: bool, messages: Console, outcomes: list[StageOutcome]) -> None:
    """Runs stages in order and adds to `outcomes`. Raises _Interrupted, with the running stage ended."""

    def on_signal(number: int, _frame: object) -> None:
        raise _Interrupted(INTERRUPTED - signal.SIGINT + number)

    handlers = {}
    if threading.current_thread() is threading.main_thread():  # Python sets handlers nowhere else
        handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="neurocity-export-") as folder,
            ConsoleProgress(messages) as progress,
        ):
            for stage in stages:
                outcome = run_in_process(stage, progress, Path(folder))
                outcomes.append(outcome)
                if outcome.failure is None:
                    continue
                where = "" if outcome.everywhere else f"{stage.label}: "
                print_error(messages, where + outcome.failure.message)
                if fail_fast or outcome.everywhere:
                    return
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _description() -> str:
    others = "\n".join(f"  neurocity-export {name}: {text}" for name, text in commands().items())
    return (
        "Exports a trained scene into a Triton model repository; each artefact is verified against the model "
        f"before it is shipped. Formats: {', '.join(format_names())}, or all.\n\n"
        f"Other commands, each with its own --help:\n{others}"
    )


if __name__ == "__main__":
    sys.exit(main())
