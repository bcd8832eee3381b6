"""PNG files in strips of rows, which are filtered and compressed each by itself (RFC 2083, 1950 and 1951).

Strips follow from the picture's size alone, so that equal pictures are equal bytes whoever did the work. Each
is a chunk of IDAT, and all are one zlib stream: a strip's deflate blocks end at a byte (sync flush), and its
checksum is combined with those before it.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL.PngImagePlugin import PngInfo

from neurocity.light import Bytes
from neurocity.pictures.steps import Steps, do, strips

STRIP_PIXELS = 2**15
"""Of one strip: 2 ms of a processor. Of a picture 2048 wide it is 16 rows, and one above them, made again."""

LEVEL, STRATEGY = 1, zlib.Z_RLE
"""In PNG's filtered differences zlib finds little more than runs: to look for runs alone takes less time than
any other way, and pictures become as small as by level 6. An 800x800 picture of lego, CPU time: 24 ms and
350 KiB; level 1 27 ms and 392 KiB, level 3 32 ms and 382 KiB, level 6 62 ms and 351 KiB."""

UNFILTERED_BYTES = 2**8
"""To look for the filters of so few takes longer than all else of their picture, and saves tens of bytes."""

Pixels = npt.NDArray[Any]


class PixelRows(NamedTuple):
    """Pixels that are made when they are asked for: [H, W, 3] of uint8, or [H, W] of uint8 or uint16.

    rows: gives those of a slice of rows; it may be asked by several threads at the same time.
    """

    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    rows: Callable[[slice], Pixels]


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB = 0, 2
_NUMBER = struct.Struct(">I").pack
_ZLIB_HEADER = b"\x78\x01"
_LAST_BLOCK = b"\x03\x00"
_ADLER_MODULUS = 65521


class _Strip(NamedTuple):
    """A strip's chunk, and the Adler-32 and the length of what was compressed."""

    chunk: bytes
    adler: int
    length: int


def png(pixels: PixelRows, notes: Mapping[str, str]) -> Steps[bytes]:
    """The work of a PNG file that has the notes in text chunks."""
    height, width = pixels.shape[:2]
    made = yield [partial(_strip, pixels, part) for part in strips(height, width, STRIP_PIXELS)]
    (data,) = yield [partial(_file, pixels, notes, made)]
    file: bytes = data
    return file


def encode_png(pixels: Pixels) -> bytes:
    """A PNG file of pixels that are there."""
    return do(png(PixelRows(pixels.shape, pixels.dtype, pixels.__getitem__), {}))


def _strip(pixels: PixelRows, part: slice) -> _Strip:
    above = min(part.start, 1)
    made = pixels.rows(slice(part.start - above, part.stop))
    if made.dtype == np.uint16:
        made = made.astype(">u2").view(np.uint8)
    lines = made.reshape(len(made), -1)
    step = lines.shape[1] // pixels.shape[1]
    # The row above the first of all, and what is left of each row's first pixel, are zero.
    padded = np.zeros((len(lines) + 1 - above, step + lines.shape[1]), np.uint8)
    padded[1 - above :, step:] = lines
    filtered = _filtered(padded, step).data
    compress = zlib.compressobj(LEVEL, zlib.DEFLATED, *zlib_room(filtered.nbytes), STRATEGY)
    packed = compress.compress(filtered) + compress.flush(zlib.Z_SYNC_FLUSH)
    header = b"" if above else _ZLIB_HEADER
    return _Strip(_chunk(b"IDAT", header, packed), zlib.adler32(filtered), filtered.nbytes)


def zlib_room(length: int) -> tuple[int, int]:
    """zlib's window (negative: without a header) and memory for so many bytes; to set up more takes time.

    What comes out is that of the largest: all of a shorter strip is in both.
    """
    bits = length.bit_length()
    return -min(max(bits, 9), zlib.MAX_WBITS), min(max(bits - 6, 1), 9)


def _filtered(padded: Bytes, step: int) -> Bytes:
    """Rows but for the first, each behind the number of its filter (RFC 2083, section 6).

    The filter is the one whose differences, as signed numbers, are least in sum (section 9.6); there is none
    where all rows together have no more than `UNFILTERED_BYTES`.
    padded: rows of bytes, with a pixel before the first of each. step: bytes of a pixel.

    Notation: x is a byte, a the one of the pixel to its left, b the one above it, c the one to the left of b.
    """
    if padded.size <= UNFILTERED_BYTES:  # the zero before a row says so
        return np.ascontiguousarray(padded[1:, step - 1 :])
    x, a, b, c = padded[1:, step:], padded[1:, :-step], padded[:-1, step:], padded[:-1, :-step]
    height, width = x.shape
    choices = np.empty((5, height, width), np.uint8)
    choices[0] = x
    np.subtract(x, a, out=choices[1])
    np.subtract(x, b, out=choices[2])
    np.subtract(x, (a & b) + ((a ^ b) >> 1), out=choices[3])  # their mean, without a ninth bit
    np.subtract(x, _paeth(a, b, c), out=choices[4])
    magnitudes = np.abs(choices.view(np.int8)).view(np.uint8)  # of -128 too: 128
    chosen = magnitudes.sum(-1, dtype=np.uint32).argmin(0)
    filtered = np.empty((height, 1 + width), np.uint8)
    filtered[:, 0] = chosen
    filtered[:, 1:] = choices[chosen, np.arange(height)]
    return filtered


def _paeth(a: Bytes, b: Bytes, c: Bytes) -> Bytes:
    """That of a, b and c which is nearest to a + b - c; the first of those that are equally near."""
    from_a = np.subtract(b, c, dtype=np.int16)
    from_b = np.subtract(a, c, dtype=np.int16)
    from_c = np.abs(from_a + from_b)
    from_a, from_b = np.abs(from_a), np.abs(from_b)
    return np.where(from_a <= np.minimum(from_b, from_c), a, np.where(from_b <= from_c, b, c))


def _file(pixels: PixelRows, notes: Mapping[str, str], made: Sequence[_Strip]) -> bytes:
    height, width, *colours = pixels.shape
    bits, colour = 8 * np.dtype(pixels.dtype).itemsize, _RGB if colours else _GRAY
    text = PngInfo()
    for name, value in notes.items():
        text.add_text(name, value)
    adler = 1
    for strip in made:
        adler = _combined(adler, strip.adler, strip.length)
    return b"".join(
        [
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)),
            *(_chunk(kind, data) for kind, data, *_ in text.chunks),
            *(strip.chunk for strip in made),
            _chunk(b"IDAT", _LAST_BLOCK, _NUMBER(adler)),
            _chunk(b"IEND"),
        ]
    )


def _chunk(kind: bytes, *data: bytes) -> bytes:
    body = b"".join(data)
    return b"%b%b%b%b" % (_NUMBER(len(body)), kind, body, _NUMBER(zlib.crc32(body, zlib.crc32(kind))))


def _combined(before: int, after: int, length: int) -> int:
    """Adler-32 of two pieces, from that of each, and the length of the second (RFC 1950, section 8.2)."""
    low_before, high_before = before & 0xFFFF, before >> 16
    low_after, high_after = after & 0xFFFF, after >> 16
    low = (low_before + low_after - 1) % _ADLER_MODULUS
    high = (high_before + high_after + length * (low_before - 1)) % _ADLER_MODULUS
    return high << 16 | low
