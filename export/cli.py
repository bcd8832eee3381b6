"""`neurocity-export CHECKPOINT --name NAME`: arguments in, exit code out.

0 all formats shipped, 1 failure, 2 wrong usage, 3 an artefact is not equal to the model, 4 a model or format
that is not supported, 5 a package or device that is missing. With several formats, those that pass are
shipped, and the code is that of the first that did not.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from export.config import ExportConfig
from export.console import ConsoleProgress, print_error, print_shipped
from export.registry import format_names, missing_dependency
from neurocity.errors import (
    ConfigError,
    MissingDependencyError,
    NeuroCityError,
    ParityError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from export.pipeline import FormatOutcome

_EXIT_CODES: tuple[tuple[type[NeuroCityError], int], ...] = (
    (ConfigError, 2),
    (ParityError, 3),
    (UnsupportedError, 4),
    (MissingDependencyError, 5),
    (NeuroCityError, 1),
)


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint (.ckpt) of `neurocity train`."""
    config: Annotated[ExportConfig, tyro.conf.OmitArgPrefixes]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    messages = Console(stderr=True)
    try:
        parsed = tyro.cli(
            Arguments,
            args=arguments,
            prog="neurocity-export",
            config=(tyro.conf.FlagCreatePairsOff,),
            description="Exports a trained scene into a Triton model repository; each artefact is verified "
            f"against the model before it is shipped. Formats: {', '.join(format_names())}.",
        )
        outcomes = _export(parsed, messages)
    except NeuroCityError as error:
        print_error(messages, str(error))
        return exit_code(error)
    errors = {outcome.format: outcome.error for outcome in outcomes if outcome.error is not None}
    for name, failure in errors.items():
        print_error(messages, f"{name}: {failure}")
    return next(map(exit_code, errors.values()), 0)


def exit_code(error: NeuroCityError) -> int:
    """The exit code that stands for an error."""
    return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))


def _export(arguments: Arguments, messages: Console) -> "tuple[FormatOutcome, ...]":
    try:
        from export.pipeline import export_checkpoint  # noqa: PLC0415, torch only when it is needed
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "neurocity-export") from error
    with ConsoleProgress(messages) as progress:
        result = export_checkpoint(arguments.checkpoint, arguments.config, progress)
    shipped = [outcome for outcome in result.outcomes if outcome.manifest is not None]
    output = Console()
    if shipped:
        print_shipped(output, [outcome.manifest for outcome in shipped if outcome.manifest is not None])
    for outcome in shipped:
        output.print(f"wrote {outcome.folder}", markup=False, highlight=False, soft_wrap=True)
    return result.outcomes


if __name__ == "__main__":
    sys.exit(main())
