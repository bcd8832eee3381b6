"""Say what a checkpoint, an artefact, a version folder or a model repository is.

0 described, 1 it cannot be read, or something is wrong with it, 2 wrong usage, 5 a package is missing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.console import Console

from export.job.console import print_error
from export.job.inspect import inspect_place
from neurocity.errors import NeuroCityError
from neurocity.exit_codes import FAILURE, exit_code


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The command line."""

    path: Annotated[str, tyro.conf.Positional]
    """A checkpoint, an artefact's file, a version folder, a model folder or a repository; the last
    three also by their URL in object storage, and a folder for browsers by that where it is published."""
    json: bool = False
    """Print one JSON document."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parsed = tyro.cli(
        Arguments,
        args=arguments,
        prog="neurocity-export inspect",
        config=(tyro.conf.FlagCreatePairsOff,),
        description="Says what a checkpoint, an artefact, a version folder or a model repository is.",
    )
    messages = Console(stderr=True)
    try:
        found = inspect_place(parsed.path)
    except NeuroCityError as error:
        print_error(messages, str(error))
        return exit_code(error)
    print(json.dumps(found, indent=2) if parsed.json else "\n".join(_lines(found)))
    problems = [item for item in (found, *found.get("versions", ())) if item.get("problem")]
    for item in problems:
        print_error(messages, f"{item['path']}: {item['problem']}")
    return FAILURE if problems else 0


def _lines(found: dict[str, Any], indent: str = "") -> list[str]:
    """`name: value` lines; tables of names to values are indented, tensors and versions have a line each."""
    lines = []
    for name, value in found.items():
        if name == "problem" or value == "":
            continue
        label = f"{indent}{name.replace('_', ' ')}:"
        if isinstance(value, dict):
            lines += [label, *_lines(value, indent + "  ")]
        elif name in ("inputs", "outputs"):
            lines += [label, *(f"{indent}  {_tensor(spec)}" for spec in value)]
        elif name == "versions":
            lines += [label, *(f"{indent}  {_version(version)}" for version in value)]
        else:
            lines.append(f"{label} {_plain(value)}")
    return lines


def _version(version: dict[str, Any]) -> str:
    if "scene" not in version:
        return f"{version['path']}: cannot be read"
    size = version["bytes"] / 2**20
    figures = f"{version['parity']['psnr_db']:.1f} dB" if "parity" in version else "not verified"
    state = "damaged" if version["problem"] else figures
    what = f"{version['family']} as {version['format']} in {version['precision']}"
    return f"{version['path']}: scene {version['scene']}, {what}, {size:.1f} MiB, {state}"


def _tensor(spec: dict[str, Any]) -> str:
    return f"{spec['name']} {spec['dtype']} [{', '.join(map(str, spec['shape']))}]"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value))
    if isinstance(value, float):
        # Whole numbers may be places in a country's grid, which have more digits than other figures.
        return f"{value:.0f}" if value.is_integer() else f"{value:g}"
    return str(value)
