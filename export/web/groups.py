"""Files of blocks: each a script with compressed bytes in base64."""

import base64
import binascii
import hashlib
import re
import zlib

import numpy as np

from export.web.blocks import planned
from export.web.contents import Contents
from export.web.header import Block, Group
from export.web.numbers.gzip_planes import gzip_planes
from export.web.numbers.planes import constants_to_planes, deltas, harmonics_to_planes
from neurocity.errors import ManifestError

FOLDER = "groups"
_SCRIPT = re.compile(rb'neurocityGroup\((\d+), "([A-Za-z0-9+/=]*)"\);\n')


def pack_groups(contents: Contents) -> tuple[tuple[Group, ...], dict[str, bytes]]:
    """The groups of a scene, and their files by name; equal scenes give equal bytes."""
    payload = _Payload(contents)
    groups, files = [], {}
    for number, blocks in enumerate(planned(contents)):
        planes = [payload.planes(block) for block in blocks]
        packed = gzip_planes(planes)
        name = group_file(number)
        content = files[name] = b'neurocityGroup(%d, "%s");\n' % (number, base64.b64encode(packed))
        groups.append(
            Group(
                file=name,
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                packed=len(packed),
                unpacked=sum(len(plane) for block in planes for plane in block),
                blocks=tuple(blocks),
            )
        )
    return tuple(groups), files


def group_file(number: int) -> str:
    """Where a group is in the folder."""
    return f"{FOLDER}/{number:02}.js"


def address_of_file(name: str, sha256: str) -> str:
    """Where the page asks for a file, below its own address: a group by a name that belongs to its bytes."""
    return f"{name}?sha256={sha256}" if name.startswith(f"{FOLDER}/") else name


def unpack_group(number: int, group: Group, content: bytes) -> bytes:
    """The bytes of a group's blocks. Raises ManifestError when the file is not the one of the header."""
    where = group.file
    if len(content) != group.bytes:
        raise ManifestError(f"{where}: has {len(content)} bytes, the header says {group.bytes}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != group.sha256:
        raise ManifestError(f"{where}: has SHA-256 {digest}, the header says {group.sha256}")
    script = _SCRIPT.fullmatch(content)
    if script is None or int(script[1]) != number:
        raise ManifestError(f'{where}: expected one line neurocityGroup({number}, "...");')
    try:
        reader = zlib.decompressobj(wbits=31)
        # No more than is announced: a few bytes can stand for very many.
        unpacked = reader.decompress(base64.b64decode(script[2], validate=True), group.unpacked + 1)
    except (binascii.Error, zlib.error) as error:
        raise ManifestError(f"{where}: cannot be decompressed ({error})") from None
    if len(unpacked) != group.unpacked or not reader.eof:
        raise ManifestError(f"{where}: is not the {group.unpacked} bytes that the header says")
    return unpacked


class _Payload:
    """Bytes of blocks, asked for in their order."""

    def __init__(self, contents: Contents) -> None:
        cells = contents.cells
        child, inner = cells.masks()
        # The root's parent, which does not exist, is before all others.
        self._masks = [np.concatenate([np.ones(1, np.uint8), mask]) for mask in (child, inner)]
        self._masks[1][0] = cells.inner[0]
        self._contents = contents
        self._constants = constants_to_planes(contents.constants, cells)
        self._harmonics = harmonics_to_planes(contents.harmonics, cells)
        self._voxel_points = 0
        self._inner_points = [0] * len(contents.inner_points)

    def planes(self, block: Block) -> list[bytes]:
        """As docs/web.md says."""
        first, last = block.first_parent + 1, block.first_parent + 1 + block.parents
        begin = self._voxel_points
        end = self._voxel_points = begin + block.voxel_points
        inner_begin = self._inner_points[block.level]
        inner_end = self._inner_points[block.level] = inner_begin + block.inner_points
        here = slice(block.first_cell, block.first_cell + block.cells)
        constants, harmonics = self._constants[here], self._harmonics[here]
        if self._contents.scales is not None:  # low bytes, then high ones
            constants = np.stack([constants & 255, constants >> 8], axis=2).astype(np.uint8)
        return [
            *(mask[first:last].tobytes() for mask in self._masks),
            _bytes(deltas(self._contents.voxel_points[begin:end])),
            _bytes(deltas(self._contents.inner_points[block.level][inner_begin:inner_end])),
            *map(_bytes, constants.reshape(block.cells, -1).T),
            *map(_bytes, harmonics.reshape(block.cells, -1).T),
        ]


def _bytes(plane: np.ndarray) -> bytes:
    """Little-endian."""
    return plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes()
