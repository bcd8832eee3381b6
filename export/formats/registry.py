"""The formats that can be exported: each module of `export/formats/` is one, under the name of its file.

Listing them imports none of them, so the command line answers before torch is loaded.
"""

import importlib
import pkgutil

import export.formats
from export.format import Format
from neurocity.errors import MissingDependencyError, UnsupportedError


def format_names() -> tuple[str, ...]:
    """Names of the known formats, sorted."""
    modules = {module.name for module in pkgutil.iter_modules(export.formats.__path__)}
    return tuple(sorted(modules - {"registry"}))


def get_format(name: str) -> Format:
    """The format of that name.

    Raises UnsupportedError for an unknown name, MissingDependencyError when a package it needs is absent.
    """
    if name not in format_names():
        raise UnsupportedError(f"format {name!r} is not known, known: {', '.join(format_names())}")
    try:
        module = importlib.import_module(f"{export.formats.__name__}.{name}")
    except ModuleNotFoundError as error:
        raise missing_dependency(error, f"format {name!r}") from error
    found: Format = module.FORMAT
    return found


def missing_dependency(error: ModuleNotFoundError, user: str) -> MissingDependencyError:
    """`error` as a message that says what to install; a missing module of our own stays what it is, a bug."""
    package = (error.name or "").partition(".")[0]
    if package in ("", "export", "neurocity"):
        raise error
    return MissingDependencyError(
        f"{user} needs the package {package!r}, which is not installed; "
        "pip install 'neurocity[cpu]' brings it"
    )
