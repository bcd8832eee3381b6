"""A made-up scene that is larger than what was trained here, as a web folder, and what Chromium shows of it.

    python -m benchmarks.web_large OUT --side 1024
    python -m benchmarks.web_large OUT --side 4096 --rows 256

Hills of side x rows small voxels, one thick, in the middle of an unbounded scene: shells and a sky around,
16 levels of octree with 4096 voxels along a side. What Chromium shows of the files is compared with what the
compiled kernels draw of them. OUT is then a folder for `python -m benchmarks.web`.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import torch
import tyro

from benchmarks.machine import facts
from export.bits import Bits
from export.formats.web import FORMAT
from export.job.job import Job
from export.job.manifest import embedded_manifest
from export.parity.metrics import psnr_db
from export.parity.rays import view_rays
from export.renderer import kernel_renderer
from export.web.folder import folder_files, read_folder
from export.web.header import FILE, read_header
from neurocity.cameras import Camera
from neurocity.checkpoint import Checkpoint
from neurocity.contract import SceneInfo, View, to_json
from neurocity.kernels.scene import open_scene
from neurocity.light import over_background
from neurocity.poses import look_at
from neurocity.svraster.config import SVRasterConfig
from neurocity.svraster.core import SVRaster

_BOUNDS: Final = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
_VIEWS: Final = {
    "above": ((1.6, -1.4, 1.2), (0.0, 0.0, 0.0)),
    "on the ground": ((-0.1, -0.02, 0.12), (0.4, 0.02, 0.04)),
    "close": ((0.2, -0.01, 0.1), (0.23, 0.0, 0.07)),
}
"""Name -> eye, target."""


@dataclass(frozen=True)
class Arguments:
    """Make a large scene, and draw it."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Where the web folder is written."""
    side: int = 1024
    """Voxels along a side of the scene's box, a power of two."""
    rows: int = 1024
    """Rows of them that there are hills on, in the middle."""


def main() -> None:
    """Write the folder, and print what was drawn of it."""
    arguments = tyro.cli(Arguments, description=__doc__)
    model, info = hills(arguments.side, min(arguments.rows, arguments.side)), _info()
    checkpoint = Checkpoint(
        family="svraster", model=model, model_config=None, info=info, step=0, sha256="0" * 64
    )
    manifest = to_json(
        embedded_manifest(checkpoint, Job(checkpoint=Path("x"), name="hills", format="web"), FORMAT, {})
    )
    began = time.perf_counter()
    files = folder_files(model.kernel_data(), manifest, Bits())
    seconds = time.perf_counter() - began
    for name, content in files.items():
        (arguments.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (arguments.folder / name).write_bytes(content)
    levels = read_header(files[FILE]).levels
    cells = sum(level.cells for level in levels)
    size = sum(map(len, files.values())) / 1e6
    print(
        f"{facts()}; {len(model.voxel_level):,} voxels, {cells:,} cells, {len(levels) - 1} levels, "
        f"{size:.1f} MB in {len(files)} files, packed in {seconds:.0f} s\n"
    )
    print("| view | drawn by | PSNR against the kernels, dB |\n|---|---|---|")
    drawn = FORMAT.draw_shipped(arguments.folder / FILE, info.views)
    render = kernel_renderer(open_scene(read_folder(arguments.folder)[1].scene_data()))
    for view, (rgb, opacity) in zip(info.views, drawn.pictures, strict=True):
        light = render(view_rays(view))
        pictures = (over_background(*pair, info.background) for pair in ((rgb, opacity), light[::2]))
        print(f"| {view.name} | {drawn.by} {drawn.instead_of} | {psnr_db(*pictures):.1f} |")


def hills(side: int, rows: int) -> SVRaster:
    """The scene; its colours and densities change from place to place as those of trained ones do."""
    depth = side.bit_length() - 1
    config = SVRasterConfig(max_octree_levels=max(depth, 1), base_resolution=2, sh_degree=2)
    model = SVRaster(config.for_scene(_BOUNDS, unbounded=True))
    outside = model.config.bounds_level
    first = 2 ** (outside - 1) * side - side // 2  # the box is in the middle of the octree
    x, y = torch.meshgrid(torch.arange(side), torch.arange(rows) + (side - rows) // 2, indexing="ij")
    height = 0.5 + 0.05 * torch.sin(x * 12.0 / side) * torch.cos(y * 9.0 / side)
    cells = torch.stack([x, y, (height * side).long()], dim=-1).view(-1, 3) + first
    middles = model.voxel_low + 0.5 / model.voxel_scale - 0.5
    is_shell = (middles.abs() * model.root_side > 1.0).any(dim=0)
    model.set_voxels(
        torch.cat([model.voxel_level[is_shell], torch.full((side * rows,), outside + depth)]),
        torch.cat([model.voxel_cell[is_shell], cells]),
    )
    shells, generator = int(is_shell.sum()), torch.Generator().manual_seed(0)
    waves = (torch.sin(x * 31.0 / side), torch.sin(y * 23.0 / side), torch.cos((x + y) * 17.0 / side))
    with torch.no_grad():
        model.density.fill_(-9.0)
        model.density[model.voxel_points[shells:].unique()] = 2.0
        model.sh0[shells:] = torch.stack(waves).reshape(3, -1).t()
        model.shs.copy_(0.1 * torch.randn(model.shs.shape, generator=generator))
    return model.eval().requires_grad_(False)


def _info() -> SceneInfo:
    return SceneInfo(
        bounds=_BOUNDS,
        up=(0.0, 0.0, 1.0),
        background=None,
        views=tuple(_view(name, eye, target) for name, (eye, target) in _VIEWS.items()),
        dataset_fingerprint="0" * 64,
    )


def _view(name: str, eye: tuple[float, float, float], target: tuple[float, float, float]) -> View:
    return Camera.from_fov_y(look_at(eye, target, (0.0, 0.0, 1.0)), 240, 160, 50.0).to_view(name)


if __name__ == "__main__":
    main()
