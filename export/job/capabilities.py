"""Which family can be exported to which format in which precision, on this machine, and why not otherwise.

Nothing is listed here: a format says what it needs by what its module imports and by `check_machine`, and by
its tolerances which precisions are verified. Families offer all of them, see `neurocity.family`.
"""

from dataclasses import dataclass
from typing import Any, get_args

from export.format import Precision, check_offered
from export.formats.registry import format_names, get_format, missing_dependency
from export.job.job import ExportOptions
from neurocity.errors import NeuroCityError
from neurocity.exit_codes import exit_code
from neurocity.families import FAMILIES, Family


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


def capabilities() -> tuple[Capability, ...]:
    """Every family in every format and precision, in this order."""
    return tuple(
        _capability(family, format_name, precision)
        for family in FAMILIES.values()
        for format_name in format_names()
        for precision in get_args(Precision)
    )


def _capability(family: Family, format_name: str, precision: str) -> Capability:
    found: dict[str, Any] = {"family": family.name, "format": format_name, "precision": precision}
    try:
        _require(family, format_name, precision)
    except NeuroCityError as error:
        return Capability(**found, reason=str(error), exit_code=exit_code(error))
    return Capability(**found)


def _require(family: Family, format_name: str, precision: str) -> None:
    """Raises what an export would be refused with: UnsupportedError or MissingDependencyError."""
    check_offered(get_format(format_name), precision, ExportOptions.engine)
    try:
        family.model_class()
    except ModuleNotFoundError as error:
        raise missing_dependency(error, f"family {family.name!r}") from error
