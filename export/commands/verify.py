"""`neurocity-export verify DIR`: the proof of an export, repeated where the artefact is to run.

Needs the version folder and the artefact's own runtime (or a Triton server that has it), nothing else.
Exit codes: 0 equal to the model, 3 not equal, 1 a file is broken or the server fails, 2 wrong usage, 5 a
package or device is missing.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from export.checks import Check
from export.format import foreign_errors
from export.formats.registry import get_format
from export.job.console import print_error
from export.parity.triton_client import open_on_server
from export.parity.verify import verify
from neurocity.errors import ConfigError, ExportError, NeuroCityError, ParityError
from neurocity.exit_codes import exit_code
from neurocity.model_repository import Version, newest_version_folder, open_version

_NOT_EQUAL = exit_code(ParityError())


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A version folder of a model repository, or a model's folder, of which the newest version is meant."""
    url: str | None = None
    """HOST:PORT of a Triton server's gRPC endpoint; its model of that name and version is asked."""
    device: Literal["cpu", "cuda"] | None = None
    """Where the artefact runs; cpu unless --url is given."""
    json: bool = False
    """Print the checks as JSON."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parsed = tyro.cli(
        Arguments,
        args=arguments,
        prog="neurocity-export verify",
        config=(tyro.conf.FlagCreatePairsOff,),
        description="Repeats the proof of an export from its golden rays and images, without data or model.",
    )
    try:
        version, checks = _run(parsed)
    except NeuroCityError as error:
        print_error(Console(stderr=True), str(error))
        if parsed.json:
            print(json.dumps({"passed": False, "error": str(error)}, indent=2))
        return exit_code(error)
    passed = all(check.passed for check in checks)
    if parsed.json:
        print(json.dumps(_document(version, checks, parsed), indent=2))
    else:
        _print(version, checks, parsed)
    return 0 if passed else _NOT_EQUAL


def _run(parsed: Arguments) -> tuple[Version, tuple[Check, ...]]:
    if parsed.url is not None and parsed.device is not None:
        raise ConfigError(
            f"device: got {parsed.device} beside --url, but a Triton server decides itself where a model runs"
        )
    version = open_version(newest_version_folder(parsed.folder))
    version.require_whole()
    if parsed.url is not None:
        render, served = open_on_server(parsed.url, version.manifest)
        return version, (*served, *verify(render, version))
    target = get_format(version.manifest.format)
    with foreign_errors(ExportError, f"{version.artefact}: cannot be opened here"):
        render = target.open(version.artefact, parsed.device or "cpu")
    return version, verify(render, version)


def _document(version: Version, checks: tuple[Check, ...], parsed: Arguments) -> dict[str, Any]:
    rows = [asdict(check) for check in checks]
    for row in rows:
        if isinstance(row["got"], float) and not math.isfinite(row["got"]):
            row["got"] = str(row["got"])  # JSON has no such numbers
    return {
        "model": version.manifest.model_name,
        "version": version.manifest.version,
        "ran_on": parsed.url or parsed.device or "cpu",
        "passed": all(check.passed for check in checks),
        "checks": rows,
    }


def _print(version: Version, checks: tuple[Check, ...], parsed: Arguments) -> None:
    for check in checks:
        print(f"{'ok    ' if check.passed else 'FAILED'} {check}")
    failed = sum(not check.passed for check in checks)
    place = f"the Triton server {parsed.url}" if parsed.url else parsed.device or "cpu"
    print(f"{len(version.files)} files are as they were shipped")
    counted = f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed"
    model = f"{version.manifest.model_name} version {version.manifest.version} on {place}"
    print(f"{model} is {'not ' if failed else ''}equal to its model: {counted}")
