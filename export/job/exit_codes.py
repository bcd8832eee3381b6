"""The exit codes of `neurocity-export` and its commands, and the errors that they stand for."""

from neurocity.errors import (
    ConfigError,
    MissingDependencyError,
    NeuroCityError,
    ParityError,
    UnsupportedError,
)

FAILURE = 1
INTERRUPTED = 130

_EXIT_CODES: tuple[tuple[type[NeuroCityError], int], ...] = (
    (ConfigError, 2),
    (ParityError, 3),
    (UnsupportedError, 4),
    (MissingDependencyError, 5),
    (NeuroCityError, FAILURE),
)


def exit_code(error: NeuroCityError) -> int:
    """The exit code that stands for an error."""
    return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
