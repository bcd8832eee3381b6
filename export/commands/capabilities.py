"""Say which family can be exported to which format and precision on this machine, and why not otherwise.

Also called as `neurocity-export --capabilities`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import tyro
from rich.console import Console
from rich.table import Table

from export.job.capabilities import capabilities


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The command line."""

    json: bool = False
    """Print one JSON document: a list with a reason wherever something is not offered."""


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
    columns = list(dict.fromkeys((item.format, item.precision) for item in found))
    reasons = list(dict.fromkeys(item.reason for item in found if item.reason))
    table = Table("family", *(" ".join(column) for column in columns))
    for family in dict.fromkeys(item.family for item in found):
        cells = [item for item in found if item.family == family]
        table.add_row(
            family,
            *("yes" if item.offered else f"no ({reasons.index(item.reason) + 1})" for item in cells),
        )
    output = Console()
    output.print(table)
    for number, reason in enumerate(reasons, start=1):
        output.print(f"({number}) {reason}", markup=False, highlight=False, soft_wrap=True)
    return 0
