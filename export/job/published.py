"""A folder for browsers where it is published: a host of files has it, and gives it over HTTP."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from export.checks import Check, equal
from export.format import ForBrowsers, Format, foreign_errors
from export.formats.registry import get_format
from export.parity.verify import verify
from export.repository.host import Host
from neurocity.contract import file_sha256
from neurocity.errors import ExportError, NeuroCityError, UnsupportedError
from neurocity.model_repository import Version

_FORMAT: Final = "web"
_MOST_HEADER: Final = 64 << 20
"""Bytes of a header that are read before it is known what they should be."""


def verify_published(host: Host, version: Version) -> tuple[Check, ...]:
    """Whether the host has the files of that version that users need, and what these render.

    Raises UnsupportedError for a format that nobody publishes, StorageError when the host does not answer,
    and what `parity.verify` raises.
    """
    target = get_format(version.manifest.format)
    if not isinstance(target, ForBrowsers):
        raise UnsupportedError(
            f"url: got {host.url}, but {target.name} is no folder that hosts of files publish; expected "
            "HOST:PORT of the gRPC endpoint of a Triton server"
        )
    records = {file.name: file for file in (version.manifest.artefact, *version.manifest.files)}
    with tempfile.TemporaryDirectory(prefix="neurocity-export-") as place:
        folder, addresses = Path(place), target.published(version.manifest)
        missing = host.fetch(addresses, folder, {name: record.bytes for name, record in records.items()})
        checks = tuple(
            equal(
                "SHA-256",
                name,
                "none" if name in missing else file_sha256(folder / name),
                records[name].sha256,
            )
            for name in addresses
        )
        if not all(check.passed for check in checks):
            return checks
        with foreign_errors(ExportError, f"{host.url}: cannot be opened here"):
            render = target.open(folder / target.file_name, "cpu")
        return (*checks, *verify(render, version))


def inspect_published(
    host: Host, describe: Callable[[Path, Format], dict[str, Any]]
) -> dict[str, Any] | None:
    """What is published there; None where it is no folder for browsers. describe: an artefact's file.

    Raises StorageError when the host does not answer, and what `describe` raises.
    """
    target = get_format(_FORMAT)
    header = host.read(target.file_name, _MOST_HEADER)
    if header is None:
        return None
    with tempfile.TemporaryDirectory(prefix="neurocity-export-") as place:
        path = Path(place, target.file_name)
        path.write_bytes(header)
        try:
            found = describe(path, target)
            groups, problem = target.tensor_bytes(path), ""
            try:
                host.fetch({name: name for name in groups}, path.parent, groups)
                target.inspect(path)
            except NeuroCityError as error:
                problem = str(error).replace(place, host.url)
        except NeuroCityError as error:
            raise type(error)(str(error).replace(place, host.url)) from error
    size = len(header) + sum(groups.values())
    return found | {"kind": "published folder", "path": host.url, "bytes": size, "problem": problem}
