"""The files of a scene as its contents, as docs/web.md says. They are not trusted: what the header says must
be true of every file."""

from collections.abc import Callable

import numpy as np

from export.web.block_reader import BlockReader
from export.web.blocks import Layout
from export.web.contents import Contents
from export.web.groups import group_file, unpack_group
from export.web.header import FILE, Header, read_header
from export.web.numbers.planes import constants_of_planes, harmonics_of_planes
from export.web.octree.lattice import Lattices
from neurocity.errors import ManifestError
from neurocity.kernels.checks import SKY_WEIGHTS

Read = Callable[[str], bytes]
"""The content of a file of the folder. Raises UnreadableError when it is not there."""


def read_contents(read: Read) -> tuple[Header, Contents]:
    """The header of a folder, and its scene.

    Raises ManifestError when a file is not what docs/web.md and the header say, and what `read` raises.
    """
    header = read_header(read(FILE))
    scales = header.scales
    degree = header.settings.get("sh_degree")
    if degree not in (0, 1, 2, 3):
        raise ManifestError(f"{FILE}: settings.sh_degree: got {degree}, expected 0 to 3")
    harmonics = (int(degree) + 1) ** 2 - 1
    if scales is not None and len(scales.harmonics.step) != harmonics:
        raise ManifestError(f"{FILE}: got {len(scales.harmonics.step)} harmonics, expected {harmonics}")
    if header.sky is not None and len(header.sky) != SKY_WEIGHTS:
        raise ManifestError(f"{FILE}: sky: got {len(header.sky)} numbers, expected {SKY_WEIGHTS}")
    blocks = BlockReader(header, Layout(scales is None, harmonics))
    for number, group in enumerate(header.groups):
        if group.file != group_file(number):
            raise ManifestError(
                f"{FILE}: groups[{number}].file: got {group.file!r}, expected {group_file(number)!r}"
            )
        blocks.take(group.file, group.blocks, unpack_group(number, group, read(group.file)))
    cells = blocks.cells()
    lattices = Lattices.of(cells)
    blocks.check_points(cells, lattices)
    return header, Contents(
        cells=cells,
        lattices=lattices,
        bits=header.bits,
        scales=scales,
        settings=header.settings,
        root_low=np.array(header.root_low, np.float32),
        sky=None if header.sky is None else np.array(header.sky, np.float32),
        voxel_points=np.concatenate(blocks.voxel_points),
        inner_points=tuple(map(np.concatenate, blocks.inner_points)),
        constants=constants_of_planes(np.concatenate(blocks.constants), cells),
        harmonics=harmonics_of_planes(np.concatenate(blocks.harmonics), cells),
    )
