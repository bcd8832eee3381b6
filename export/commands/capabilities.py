"""Say which family can be exported to which format and precision on this machine, and why not otherwise.

Also called as `neurocity-export --capabilities`. Nothing is listed here: a format says what it needs by what
its module imports and by `check_machine`, by `check_model` which families it takes, and by its tolerances
which precisions are verified.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import get_args

import tyro
from rich.console import Console
from rich.table import Table

from export.format import Precision, check_offered
from export.formats.registry import format_names, get_format, missing_dependency
from export.job.job import ExportOptions
from neurocity.errors import NeuroCityError
from neurocity.exit_codes import exit_code
from neurocity.families import FAMILIES, Family


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The command line."""

    json: bool = False
    """Print one JSON document: a list with a reason wherever something is not offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A family, format and precision. reason: why an export would fail, with which exit code; or empty."""

    family: str
    format: str
    precision: str
    reason: str = ""
    exit_code: int = 0

    @property
    def offered(self) -> bool:
        """Whether an export can be made."""
        return not self.reason


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parsed = tyro.cli(
        Arguments,
        args=arguments,
        prog="neurocity-export --capabilities",
        config=(tyro.conf.FlagCreatePairsOff,),
        description="Says which family can be exported to which format and precision on this machine.",
    )
    found = capabilities()
    if parsed.json:
        print(json.dumps([{**asdict(item), "offered": item.offered} for item in found], indent=2))
        return 0
    reasons = list(dict.fromkeys(item.reason for item in found if item.reason))
    Console().print(_table(found, reasons))
    for number, reason in enumerate(reasons, start=1):
        print(f"({number}) {reason}")
    return 0


def capabilities() -> tuple[Capability, ...]:
    """Every family in every format and precision, in this order."""
    return tuple(
        _capability(family, format_name, precision)
        for family in FAMILIES.values()
        for format_name in format_names()
        for precision in get_args(Precision)
    )


def _capability(family: Family, format_name: str, precision: str) -> Capability:
    found = Capability(family=family.name, format=format_name, precision=precision)
    try:
        check_offered(get_format(format_name), family.model_class(), precision, ExportOptions.engine)
    except ModuleNotFoundError as error:
        refusal: NeuroCityError = missing_dependency(error, f"family {family.name!r}")
    except NeuroCityError as error:
        refusal = error
    else:
        return found
    return replace(found, reason=str(refusal), exit_code=exit_code(refusal))


def _table(found: Sequence[Capability], reasons: Sequence[str]) -> Table:
    """A row for each format and precision, and a column for each family: four of them fit in 80 columns."""
    table = Table("format", *dict.fromkeys(item.family for item in found))
    for row in dict.fromkeys((item.format, item.precision) for item in found):
        cells = [item for item in found if (item.format, item.precision) == row]
        marks = ("yes" if item.offered else f"no ({reasons.index(item.reason) + 1})" for item in cells)
        table.add_row(" ".join(row), *marks)
    return table
