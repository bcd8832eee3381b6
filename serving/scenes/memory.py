"""Memory of this process, as scenes come and go."""

import ctypes
from pathlib import Path

STATUS = Path("/proc/self/status")


def own_memory() -> int:
    """Bytes of memory of this process that are no file's: Linux's RssAnon; 0 elsewhere."""
    try:
        text = STATUS.read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("RssAnon:"))


def return_freed_memory() -> None:
    """Give what was freed back to the system, where the C library is one that keeps it: glibc. Blocks.

    It keeps what lies below anything that is in use, for each thread by itself; versions that come and go
    leave ever more of it. https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
