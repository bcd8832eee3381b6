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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import tyro
from rich.console import Console

import export.commands
from export.formats.registry import format_names
from export.job.console import ConsoleProgress, print_error, print_json, print_outcomes
from export.job.destination import Destination, open_destination
from export.job.job import Job
from export.job.outcome import Outcome
from export.job.process import run_in_process
from export.job.request import ExportRequest
from neurocity.errors import NeuroCityError
from neurocity.exit_codes import INTERRUPTED, exit_code

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
    with ExitStack() as held:
        try:
            request = tyro.cli(
                ExportRequest,
                args=words,
                prog="neurocity-export",
                config=(tyro.conf.FlagCreatePairsOff,),
                description=_description(),
            )
            destination = held.enter_context(open_destination(request.out, force=request.force))
            jobs = request.jobs(destination.folder)
            if request.name is None:
                messages.print(f"scene {jobs[0].name}", markup=False, highlight=False)
            destination.prepare(jobs)  # before any begins, so that no version is made in vain
        except NeuroCityError as error:
            print_error(messages, str(error))
            if "--json" in words:
                print_json([], exit_code(error), error)
            return exit_code(error)
        outcomes: list[Outcome] = []
        interrupted = 0
        try:
            _run(jobs, destination, request.fail_fast, messages, outcomes)
        except _Interrupted as interruption:
            interrupted = interruption.exit_code
            print_error(messages, f"interrupted; {jobs[len(outcomes)].label} was not finished")
    outcomes += [Outcome(job=job, status="not run") for job in jobs[len(outcomes) :]]
    code = interrupted or next((outcome.exit_code for outcome in outcomes if outcome.error), 0)
    if request.json:
        print_json(outcomes, code)
    else:
        print_outcomes(outcomes)
    return code


class _Interrupted(BaseException):
    """Ctrl-C, or a signal that asks the command to end."""

    def __init__(self, code: int) -> None:
        self.exit_code = code


def _run(
    jobs: Sequence[Job],
    destination: Destination,
    fail_fast: bool,
    messages: Console,
    outcomes: list[Outcome],
) -> None:
    """Does jobs in order and adds to `outcomes`. Raises _Interrupted, with the running job ended."""
    with (
        _signals_interrupt(),
        tempfile.TemporaryDirectory(prefix="neurocity-export-") as folder,
        ConsoleProgress(messages) as progress,
    ):
        for job in jobs:
            outcome = destination.put(run_in_process(job, progress, Path(folder)))
            outcomes.append(outcome)
            if not outcome.error:
                continue
            where = "" if outcome.everywhere else f"{job.label}: "
            print_error(messages, where + outcome.error)
            if fail_fast or outcome.everywhere:
                return


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise _Interrupted."""

    def on_signal(number: int, _frame: object) -> None:
        raise _Interrupted(INTERRUPTED - signal.SIGINT + number)

    handlers = {}
    if threading.current_thread() is threading.main_thread():  # Python sets handlers nowhere else
        handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
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
