"""A folder that one process uses at a time."""

import fcntl
from pathlib import Path
from typing import TextIO

from neurocity.errors import ConfigError


def take_folder(folder: Path, name: str) -> TextIO:
    """Make a folder and take it for this process until the file that is given back is closed.

    name: what the error calls it. Raises ConfigError when it cannot be written, or another process has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise ConfigError(f"{name}: {folder} cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ConfigError(f"{name}: another process uses {folder}; give each its own folder") from None
    return lock
