"""Text files as other programs and systems write them."""

import codecs
from pathlib import Path

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, or UTF-16 with a byte order mark, which is left out.

    Bytes that are not UTF-8 become half characters (surrogates), as in names of files on Linux; `Files` finds
    out in which encoding they name a file. Raises OSError, and UnicodeDecodeError on broken UTF-16.
    """
    data = path.read_bytes()
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding, "strict" if encoding == "utf-16" else "surrogateescape")


def printable(name: str) -> str:
    """`name` without the half characters that stand for bytes which are not UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
