"""One thing that was verified: what was got, what was expected, and whether that is good enough."""

from collections.abc import Sequence
from dataclasses import dataclass

from neurocity.errors import ParityError


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`name` says what was measured, `where` on what (a view, a set of rays, the file)."""

    name: str
    where: str
    got: float | int | str
    expected: str
    passed: bool

    def __str__(self) -> str:
        got = f"{self.got:.4g}" if isinstance(self.got, float) else str(self.got)
        return f"{self.where}: {self.name}: got {got}, expected {self.expected}"


def at_most(name: str, where: str, got: float, limit: float) -> Check:
    """Passes when got <= limit; NaN never passes."""
    return Check(name=name, where=where, got=got, expected=f"at most {limit:g}", passed=bool(got <= limit))


def at_least(name: str, where: str, got: float, limit: float) -> Check:
    """Passes when got >= limit; NaN never passes."""
    return Check(name=name, where=where, got=got, expected=f"at least {limit:g}", passed=bool(got >= limit))


def equal(name: str, where: str, got: float | int | str, expected: float | int | str) -> Check:
    """Passes when both are the same."""
    return Check(name=name, where=where, got=got, expected=str(expected), passed=got == expected)


def require(checks: Sequence[Check]) -> None:
    """Raises ParityError that lists the checks which failed, if there are any."""
    if failed := [f"  {check}" for check in checks if not check.passed]:
        summary = f"{len(failed)} of {len(checks)} checks failed, nothing was shipped"
        raise ParityError("\n".join([summary, *failed]))
