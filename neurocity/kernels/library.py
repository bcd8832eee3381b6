"""The compiled library for this processor, and its functions.

A function `nc_<name>` takes a pointer to a structure of its own and one to `work.Work`; any number of threads
call it with the same two. ctypes releases the interpreter's lock during the call.
"""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

from neurocity.errors import MissingDependencyError
from neurocity.kernels import build

VARIABLE = "NEUROCITY_KERNELS"
"""Environment variable: a kind of processor to run the kernels of, or a library's file."""

_BUILD = "build the kernels with `python -m neurocity.kernels.build`"


@cache
def library() -> ctypes.CDLL:
    """The library of kernels for this processor.

    Raises MissingDependencyError when it was not built, was built of other sources, or cannot be loaded, and
    where there is none for this machine.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen and os.sep in chosen:
        return _load(Path(chosen))
    kinds = _processors()
    if chosen and chosen not in kinds:
        raise MissingDependencyError(f"{VARIABLE}: got {chosen!r}, known here: {', '.join(kinds)}, or a file")
    best = this_processor()
    if chosen and kinds.index(chosen) > kinds.index(best):
        raise MissingDependencyError(f"{VARIABLE}: got {chosen!r}, this processor is of kind {best}")
    return _load(build.LIBRARIES / build.library_file(chosen or best))


def this_processor() -> str:
    """The kind of this processor, of `build.processors`. Raises MissingDependencyError as `library` does."""
    kinds = _processors()
    place: int = _load(build.LIBRARIES / build.library_file(kinds[0])).nc_processor()
    if place < 0:
        raise MissingDependencyError(f"kernels: this processor is plainer than {kinds[0]}")
    return kinds[min(place, len(kinds) - 1)]


def function(name: str) -> Any:
    """The C function of that name, which takes pointers."""
    found = getattr(library(), name)
    found.restype = ctypes.c_int32
    return found


def _processors() -> tuple[str, ...]:
    try:
        return build.processors()
    except build.BuildError as error:
        raise MissingDependencyError(str(error)) from None


def _load(path: Path) -> ctypes.CDLL:
    if not path.is_file():
        raise MissingDependencyError(f"kernels: {path} is not there; {_BUILD}")
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.nc_sources.restype = ctypes.c_char_p
    except (OSError, AttributeError) as error:  # cut off, of another machine, or another library
        raise MissingDependencyError(f"kernels: {path} cannot be loaded ({error}); {_BUILD}") from None
    if loaded.nc_sources().decode() != build.source_digest():
        raise MissingDependencyError(f"kernels: {path} was built of other sources than these; {_BUILD}")
    return loaded
