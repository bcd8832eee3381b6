"""Files and folders that are written beside their place and moved there when they are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def published(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A hidden place beside `path` to write a file, or the files of a folder, which is moved to `path` at the
    end of the block; after an exception nothing of it is left, and `path` is as it was."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial{path.suffix}")
    try:
        if folder:
            partial.mkdir()
        yield partial
        if folder and path.is_dir():
            path.rmdir()
        partial.replace(path)
    finally:
        if folder:
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
