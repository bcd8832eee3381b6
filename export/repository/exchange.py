"""Exchanging two folders in one step, which the standard library has no call for."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def exchange(first: Path, second: Path) -> None:
    """Swaps two paths of one file system, atomically where Linux and the file system can (renameat2).

    Elsewhere (NFS, macOS) in three renames, undone if one fails; between them a reader may for an instant
    find nothing at `second`. Raises OSError.
    """
    if not _exchange_atomically(first, second):
        aside = first.with_name(f"{first.name}.replaced")
        second.rename(aside)
        try:
            first.rename(second)
        except OSError:
            aside.rename(second)
            raise
        aside.rename(first)


def _exchange_atomically(first: Path, second: Path) -> bool:
    """Whether it was done; False when the system or the file system does not offer it."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))
