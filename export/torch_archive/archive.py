"""PyTorch's archives (zip files), written again with less in them, and AOTInductor packages (`.pt2`) read.

A package has libraries, metadata, and too much else: PyTorch packs the C++ sources with their compiler
commands beside the library that is made of them. Nothing reads these later, and they name folders of the
exporting machine; so do the file names that the library keeps for its error messages.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from neurocity.errors import ManifestError

LIBRARY = ".so"
_METADATA = "_metadata.json"
_GPU_KERNELS = (".cubin", ".fatbin", ".hsaco")
"""What a package for a GPU has beside its library, which loads them by their names."""
_KEPT = (f".wrapper{_METADATA}", *_GPU_KERNELS, "archive_format", "archive_version", "byteorder")


def rewritten(archive: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The archive with every record as `change` gives it for its name and data; None leaves it out.

    Records are sorted by name, so that equal ones make equal archives.
    """
    reader = torch._C.PyTorchFileReader(io.BytesIO(archive))
    written = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(written)
    for record in sorted(reader.get_all_records()):
        data = change(record, reader.get_record(record))
        if data is not None:
            writer.write_record(record, data, len(data))
    writer.write_end_of_file()
    return written.getvalue()


def stripped(archive: bytes, folders: Iterable[str]) -> bytes:
    """The archive with what running it needs, and without the names of `folders`.

    Equal libraries and metadata give equal bytes.
    """
    hidden = sorted({folder.rstrip("/").encode() for folder in folders}, key=len, reverse=True)

    def change(record: str, data: bytes) -> bytes | None:
        if record.endswith(LIBRARY):
            for folder in hidden:  # as many characters of `./././`: a library cannot be made shorter
                data = data.replace(folder, (b"./" * len(folder))[: len(folder)])
            return data
        return data if record.endswith(_KEPT) else None

    return rewritten(archive, change)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of the model in the package, read without loading its library.

    Raises ManifestError when the file is no such package.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(_METADATA))
            metadata: dict[str, str] = json.loads(archive.read(name))
    except (zipfile.BadZipFile, ValueError) as error:
        raise ManifestError(f"{path}: not a package of one AOTInductor model ({error})") from None
    return metadata


def source_records(path: Path) -> list[str]:
    """Names of the records that hold source code."""
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if name.endswith((".cpp", ".h", ".py", ".cu"))]


def imported_symbols(path: Path, pattern: str) -> list[str]:
    """Names in the libraries of the package, sorted, that match the regular expression as a whole."""
    symbols: set[bytes] = set()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(LIBRARY):
                symbols.update(re.findall(rb"(?<=\0)" + pattern.encode() + rb"(?=\0)", archive.read(name)))
    return sorted(symbol.decode() for symbol in symbols)
