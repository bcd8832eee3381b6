"""What bits cost and are worth in the format web: bytes of a scene's files, and how near its pictures are.

Pictures are of the held-out views, over the scene's background, of the files decoded and rendered by the
compiled kernels, against the model rendered by the same.

python -m benchmarks.web_sizes CHECKPOINT
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from benchmarks.machine import facts
from export.bits import FLOATS, Bits
from export.formats.web import FORMAT
from export.job.job import Job
from export.job.manifest import embedded_manifest
from export.parity.rays import view_rays
from export.renderer import kernel_renderer
from export.web.contents import Contents
from export.web.folder import scene_files
from export.web.header import FILE, read_header
from neurocity.checkpoint import Checkpoint, load_checkpoint
from neurocity.contract import to_json
from neurocity.kernels.scene import SceneData, open_scene
from neurocity.light import Float32, over_background, psnr
from neurocity.svraster.core import SVRaster

_ROWS = (Bits(8, 9, 5), Bits(), Bits(8, 11, 7), Bits(8, 12, 8), Bits(8, 16, 8), FLOATS)

_QUALITY = "| PSNR, dB: worst, mean | largest error of 255 |"


@dataclass(frozen=True)
class Arguments:
    """Pack a scene in several precisions."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Of SVRaster."""
    views: int = 5
    """Held-out views to judge by, the first ones."""


def main() -> None:
    """Print the tables."""
    arguments = tyro.cli(Arguments, description=__doc__)
    checkpoint = load_checkpoint(arguments.checkpoint)
    model = checkpoint.model
    assert isinstance(model, SVRaster)
    views = checkpoint.info.views[: arguments.views]
    print(
        f"{facts()}; {len(model.voxel_level):,} voxels, degree {model.config.sh_degree}, {len(views)} views\n"
    )
    compare(checkpoint, model, arguments.views)


def compare(checkpoint: Checkpoint, model: SVRaster, views: int) -> None:
    """Print the tables, row by row."""
    job = Job(checkpoint=Path("x"), name="scene", format="web")
    manifest = to_json(embedded_manifest(checkpoint, job, FORMAT, {}))
    expected = _pictures(model.scene_data(), checkpoint, views)
    print(f"| bits | MB of files | MB over gzip | B per voxel {_QUALITY}")
    print("|---" * 6 + "|", flush=True)
    chosen: tuple[Mapping[str, bytes], Contents] | None = None
    for bits in _ROWS:
        files, decoded = scene_files(model.kernel_data(), manifest, bits)
        if bits == Bits():
            chosen = files, decoded
        zipped = sum(len(gzip.compress(content, 6)) for content in files.values())
        name = "floats" if bits.floats else f"{bits.density} {bits.constant} {bits.harmonics}"
        size = sum(map(len, files.values()))
        per_voxel = zipped / len(model.voxel_level)
        quality = _quality(_pictures(decoded.scene_data(), checkpoint, views), expected)
        print(f"| {name} | {size / 1e6:.2f} | {zipped / 1e6:.2f} | {per_voxel:.1f} | {quality} |", flush=True)
    assert chosen is not None
    files, decoded = chosen
    print(f"\n| groups | levels to | MB of files | share {_QUALITY}")
    print("|---" * 6 + "|", flush=True)
    groups = read_header(files[FILE]).groups
    ends = np.cumsum([len(files[FILE]), *(group.bytes for group in groups)])[1:]
    for number, (group, end) in enumerate(zip(groups, ends, strict=True), start=1):
        level = group.blocks[-1].level
        if number < len(groups) and groups[number].blocks[0].level == level:
            continue  # the level is not whole
        quality = _quality(_pictures(decoded.scene_data(level), checkpoint, views), expected)
        share = f"{end / ends[-1]:.1%}".replace("%", " %")
        print(f"| {number} | {level} | {end / 1e6:.2f} | {share} | {quality} |", flush=True)


def _pictures(data: SceneData, checkpoint: Checkpoint, views: int) -> list[Float32]:
    render = kernel_renderer(open_scene(data))
    lights = [render(view_rays(view)) for view in checkpoint.info.views[:views]]
    return [over_background(light.rgb, light.opacity, checkpoint.info.background) for light in lights]


def _quality(got: list[Float32], expected: list[Float32]) -> str:
    values = [psnr(*pair) for pair in zip(got, expected, strict=True)]
    error = max(float(np.abs(a - b).max()) for a, b in zip(got, expected, strict=True))
    return f"{min(values):.1f}, {np.mean(values):.1f} | {255 * error:.2f}"


if __name__ == "__main__":
    main()
