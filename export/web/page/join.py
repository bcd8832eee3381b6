"""Modules of JavaScript as one classic script: pages load no modules from `file://`.

Each module becomes a function, called in the order of imports, that gives what the module exports. Modules
import named exports of each other by relative paths, and export declarations that are never assigned again.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Final

from neurocity.errors import ExportError

_IMPORT: Final = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"(\.[^"]*)";?[ \t]*$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export\s+((?:async\s+)?function\*?|class|const)\s+(\w+)", re.MULTILINE)
_OTHER: Final = re.compile(r"^(?:import\b|export\b).*$|\bimport\s*[(.].*$", re.MULTILINE)


def joined(folder: Path, *entries: str, ending: str = "") -> str:
    """The script of the modules `entries` and all that they import, paths below `folder` with `/`.

    ending: statements that come last, and see what the entries export.

    Raises ExportError when a module is missing, imports in a circle, or imports and exports in another way.
    """
    modules: dict[str, str] = {}
    for entry in entries:
        _add(folder, entry, modules, ())
    names = {path: f"module{number}" for number, path in enumerate(modules)}
    parts = [_function(path, text, names) for path, text in modules.items()]
    if ending:
        parts += [f"const {{ {', '.join(_exports(modules[path]))} }} = {names[path]};" for path in entries]
    return "\n".join(['(() => {\n"use strict";', *parts, ending, "})();\n"])


def _add(folder: Path, path: str, modules: dict[str, str], importers: tuple[str, ...]) -> None:
    """Puts a module into `modules`, behind what it imports."""
    if path in importers:
        raise ExportError(
            f"{' imports '.join([*importers, path])}: a circle, which one script has no order for"
        )
    if path in modules:
        return
    try:
        text = (folder / path).read_text(encoding="utf-8")
    except OSError as error:
        asked = f", which {importers[-1]} imports" if importers else ""
        raise ExportError(f"{path}{asked}: cannot be read ({error.strerror})") from None
    for found in _IMPORT.finditer(text):
        _add(folder, _beside(path, found[2]), modules, (*importers, path))
    modules[path] = text


def _function(path: str, text: str, names: dict[str, str]) -> str:
    """The module as a statement."""

    def import_(found: re.Match[str]) -> str:
        wanted = ", ".join(name.strip().replace(" as ", ": ") for name in found[1].split(",") if name.strip())
        return f"const {{ {wanted} }} = {names[_beside(path, found[2])]};"

    body = _EXPORT.sub(r"\1 \2", _IMPORT.sub(import_, text))
    if other := _OTHER.search(body):
        raise ExportError(
            f"{path}: {other[0].strip()!r}: pages are joined of modules with `import {{ names }} from "
            '"./path.js"` and `export` before const, function and class'
        )
    exports = ", ".join(_exports(text))
    return f"// {path}\nconst {names[path]} = (() => {{\n{body.strip()}\nreturn {{ {exports} }};\n}})();"


def _exports(text: str) -> list[str]:
    return [found[2] for found in _EXPORT.finditer(text)]


def _beside(path: str, relative: str) -> str:
    """The path below the folder of what a module names."""
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / relative).parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
