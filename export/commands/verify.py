"""`neurocity-export verify PLACE`: the proof of an export, repeated where the artefact is to run.

Needs the version, in a folder or in object storage, and the artefact's own runtime (or a Triton server that
has it, or the host of files where a folder for browsers is published), nothing else. Exit codes: 0 equal to
the model, 3 not equal, 1 a file is broken, or a server, the host or the storage fails, 2 wrong usage, 4 what
--url names renders nothing, 5 a package or device is missing.
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
from export.job.published import verify_published
from export.parity.triton_client import open_on_server
from export.parity.verify import verify
from export.repository.fetch import stored
from export.repository.host import Host, is_host
from neurocity.errors import ConfigError, ExportError, NeuroCityError, ParityError
from neurocity.exit_codes import exit_code
from neurocity.model_repository import Version, newest_version_folder, open_version
from neurocity.object_store import is_url, shown

_NOT_EQUAL = exit_code(ParityError())


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    folder: Annotated[str, tyro.conf.Positional]
    """A version folder of a model repository, or a model's folder, of which the newest version is meant; also
    its URL in object storage."""
    url: str | None = None
    """HOST:PORT of a Triton server's gRPC endpoint, whose model of that name and version is asked; or
    https://HOST/PATH/ where a folder of the format web is published, whose files are read from there."""
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
            f"device: got {parsed.device} beside --url, but a Triton server decides itself where a model "
            "runs, and a published folder is read on the CPU"
        )
    if not is_url(parsed.folder):
        return _verified(newest_version_folder(Path(parsed.folder)), parsed)
    kind, versions = stored(parsed.folder)
    if kind == "repository":
        raise ExportError(
            f"{shown(parsed.folder)}: is a repository, expected REPOSITORY/MODEL or a version of it"
        )
    with versions[-1].fetched() as folder:
        return _verified(folder, parsed)


def _verified(folder: Path, parsed: Arguments) -> tuple[Version, tuple[Check, ...]]:
    version = open_version(folder)
    version.require_whole()
    if parsed.url is not None and is_host(parsed.url):
        return version, verify_published(Host(parsed.url), version)
    if parsed.url is not None:
        render, served = open_on_server(parsed.url, version.manifest)
        return version, (*served, *verify(render, version))
    target = get_format(version.manifest.format)
    with foreign_errors(ExportError, f"{version.artefact}: cannot be opened here"):
        opened = target.open(version.artefact, parsed.device or "cpu")
    return version, verify(opened, version)


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
    place: str = parsed.device or "cpu"
    if parsed.url is not None:
        place = shown(parsed.url) if is_host(parsed.url) else f"the Triton server {parsed.url}"
    print(f"{len(version.files)} files are as they were shipped")
    counted = f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed"
    model = f"{version.manifest.model_name} version {version.manifest.version} on {place}"
    preview = "preview" in version.manifest.parity
    nearness = "as near to its model as a preview has to be" if preview else "equal to its model"
    print(f"{model} is {'not ' if failed else ''}{nearness}: {counted}")
