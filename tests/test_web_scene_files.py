"""Scenes as files of the format web: what is packed comes out again, and is the model's picture."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures_export import tiny_info
from svraster_scene import random_model, random_rays

from export.bits import FLOATS, Bits
from export.web import blocks
from export.web.contents import Contents
from export.web.decode import read_contents
from export.web.folder import scene_files
from export.web.header import FILE, header_script, read_header
from export.web.numbers.gzip_planes import gzip_planes
from export.web.octree.cells import cells_of
from export.web.pack import contents_of
from neurocity.cameras import Rays
from neurocity.contract import ArtefactFile, SceneManifest, to_json
from neurocity.errors import ConfigError, ManifestError, UnsupportedError
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.light import Light, psnr
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.octree import grid_points

MANIFEST = to_json(
    SceneManifest(
        scene="tiny",
        version=1,
        family="svraster",
        format="web",
        precision="fp32",
        checkpoint_sha256="0" * 64,
        artefact=ArtefactFile(name=FILE, sha256="", bytes=0),
        info=tiny_info(),
    )
)
MANY = Bits(8, 16, 8)


def deep_model() -> SVRaster:
    """Unbounded, before a sky, with voxels of every level to the sixteenth, around one point."""
    config = SVRasterConfig(
        scene_bounds=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0),
        unbounded=True,
        sky=True,
        max_octree_levels=12,
        base_resolution=2,
        outside_levels=4,
        sh_degree=1,
        samples_per_voxel=3,
    )
    model = SVRaster(config)
    octants = torch.cartesian_prod(*[torch.arange(2)] * 3)
    cell, levels, cells = torch.zeros(3, dtype=torch.int64), [], []
    for level in range(1, 17):
        children = 2 * cell + octants
        chosen = (5 * level) % 8 if level > 1 else 0
        rest = children if level == 16 else children[torch.arange(8) != chosen]
        cells.append(rest)
        levels.append(torch.full((len(rest),), level))
        cell = children[chosen]
    model.set_voxels(torch.cat(levels), torch.cat(cells))
    torch.manual_seed(0)
    with torch.no_grad():
        model.density.copy_(2.0 * torch.randn(len(model.density)) - 6.0)
        model.sh0.normal_()
        model.shs.normal_(std=0.3)
        for weights in model.sky_net.parameters():
            weights.normal_(std=0.3)
    return model


MODELS: dict[str, Callable[[], SVRaster]] = {
    "degree 0": lambda: random_model(sh_degree=0, samples_per_voxel=2),
    "degree 1": lambda: random_model(seed=1, sh_degree=1, samples_per_voxel=3),
    "degree 2": lambda: random_model(seed=2, depth=5, sh_degree=2),
    "degree 3": lambda: random_model(seed=3, sh_degree=3),
    "level 16": deep_model,
}


@pytest.fixture(params=MODELS, scope="module")
def model(request) -> SVRaster:
    return MODELS[request.param]()


def rendered(data: SceneData, model: SVRaster) -> Light:
    """Rays from everywhere, along axes and in planes too, and towards the smallest voxel."""
    origins, directions = (part.t() for part in random_rays(model, count=64))
    finest = int(model.voxel_level.argmax())
    aim = model.root_low + model.root_side * (model.voxel_low[:, finest] + 0.5 / model.voxel_scale[finest])
    to_finest = torch.nn.functional.normalize(aim - origins, dim=1)
    rays = torch.cat([origins, origins]), torch.cat([directions, to_finest])
    light = render_rays(
        open_scene(data), Rays(*(part.numpy().astype(np.float32) for part in rays)), threads=1
    )
    assert light is not None
    return light


def packed(model: SVRaster, bits: Bits = MANY) -> tuple[dict[str, bytes], Contents]:
    """The files, and what was decoded of them, which `scene_files` compares with what was packed."""
    return scene_files(model.kernel_data(), MANIFEST, bits)


def test_floats_are_the_model_to_the_last_bit(model):
    _, decoded = packed(model, FLOATS)
    for got, expected in zip(
        rendered(decoded.scene_data(), model), rendered(model.scene_data(), model), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_quantised_numbers_are_the_nearest_to_the_model(model):
    _, decoded = packed(model)
    scales = decoded.scales
    assert scales is not None
    data = model.kernel_data().tensors
    _, voxel = cells_of(data["children"])
    drawn = ~decoded.cells.inner
    step, low = float(scales.density.step), float(scales.density.low)
    raw = data["density"][data["voxel_points"][voxel]].clip(low, None)
    assert np.abs(decoded.corner_densities()[drawn] - raw).max() < 0.5001 * step + 1e-5
    colours = decoded.coefficients()[drawn]
    assert (np.abs(colours[:, 0] - data["sh0"][voxel]) < 0.5001 * scales.constant.step + 1e-6).all()
    assert (np.abs(colours[:, 1:] - data["shs"][voxel]) < 0.5001 * scales.harmonics.step + 1e-6).all()
    got, expected = rendered(decoded.scene_data(), model), rendered(model.scene_data(), model)
    assert psnr(got.rgb, expected.rgb) > 25.0, "voxels are large, and many of them opaque"


def test_what_is_decoded_is_what_was_packed(model):
    files, decoded = packed(model)
    contents = contents_of(model.kernel_data(), MANY)
    assert contents.differences(decoded) == []
    assert contents.harmonics.dtype == np.int8
    assert contents.constants.dtype == np.uint16
    changed = replace(decoded, constants=decoded.constants ^ np.uint16(1))
    assert contents.differences(changed) == ["constants"]
    assert packed(model)[0] == files, "equal models give equal bytes"


def test_levels_may_be_cut_into_several_groups(monkeypatch):
    model = random_model(seed=4, depth=6)
    _, whole = packed(model)
    monkeypatch.setattr(blocks, "FIRST_CELLS", 64)
    monkeypatch.setattr(blocks, "GROUP_BYTES", 4096)
    files, pieces = packed(model)
    header = read_header(files[FILE])
    levels = [group.blocks[0].level for group in header.groups[1:]]
    assert len(set(levels)) < len(levels)
    assert all(len(group.blocks) == 1 for group in header.groups[1:])
    assert whole.differences(pieces) == []
    first = sum(block.cells for block in header.groups[0].blocks)
    assert first <= sum(level.cells for level in header.levels) / blocks.FIRST_SHARE


def test_a_prefix_of_the_files_is_a_coarser_picture():
    """Values vary slowly, as in scenes: of random ones nothing can be said coarsely."""
    config = SVRasterConfig(scene_bounds=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0), base_resolution=16, sh_degree=0)
    model = SVRaster(config)
    places = model.voxel_low + 0.5 / model.voxel_scale
    points = grid_points(model.voxel_level, model.voxel_cell)[1].float() / 2**16
    with torch.no_grad():
        model.density.copy_(-1.0 - 20.0 * ((points - 0.5).norm(dim=1) - 0.3).abs())
        model.sh0.copy_(2.0 * (places.t() - 0.5))
    _, decoded = packed(model)
    expected = rendered(model.scene_data(), model)
    errors = [
        float(np.abs(rendered(decoded.scene_data(level), model).opacity - expected.opacity).mean())
        for level in range(1, 5)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 < errors[0]
    assert errors[-2] < 0.1
    black = Light(*map(np.zeros_like, expected))
    coarse = rendered(decoded.scene_data(3), model)
    assert psnr(coarse.rgb, expected.rgb) > psnr(black.rgb, expected.rgb) + 6.0


def test_numbers_have_as_many_bits_as_are_asked_for():
    model = random_model(seed=5, depth=5)
    sizes = {}
    for bits in (Bits(5, 8, 4), Bits(), MANY, FLOATS):
        files, decoded = packed(model, bits)
        sizes[bits] = sum(map(len, files.values()))
        if not bits.floats:
            assert decoded.voxel_points.max() == 2**bits.density - 1
            assert decoded.constants.max() == 2**bits.constant - 1
            assert np.abs(decoded.harmonics).max() == 2 ** (bits.harmonics - 1) - 1
    assert list(sizes.values()) == sorted(sizes.values())


@pytest.mark.parametrize("bits", [(9, 10, 6), (8, 17, 6), (8, 10, 2), (32, 10, 6), (0, 0, 0)])
def test_other_bits_are_refused(bits):
    with pytest.raises(ConfigError, match=r"expected density 4 to 8, constant 6 to 16, harmonics 3 to 8"):
        Bits(*bits)


def test_a_model_without_voxels_is_refused():
    model = random_model()
    model.set_voxels(model.voxel_level[:0], model.voxel_cell[:0])
    with pytest.raises(UnsupportedError, match="it has no voxels; train it first"):
        packed(model)


def test_planes_are_a_gzip_file_that_everybody_reads():
    generator = np.random.default_rng(0)
    planes = [generator.binomial(4, 0.5, size).astype(np.uint8).tobytes() for size in (0, 1, 300, 70_000)]
    packed_planes = gzip_planes([planes, [b""], planes[::-1]])
    assert gzip.decompress(packed_planes) == b"".join([*planes, *planes[::-1]])
    assert len(packed_planes) < 0.3 * len(gzip.decompress(packed_planes))


def _truncated(files: dict[str, bytes]) -> None:
    files["groups/00.js"] = files["groups/00.js"][:-20]


def _exchanged(files: dict[str, bytes]) -> None:
    content = bytearray(files["groups/00.js"])
    content[60] = ord("A") if content[60] != ord("A") else ord("B")
    files["groups/00.js"] = bytes(content)


def _block(number: int, **changes: int) -> Callable[[dict[str, bytes]], None]:
    return _header(lambda data: data["groups"][0]["blocks"][number].update(changes))


def _header(change: Callable[[dict], object]) -> Callable[[dict[str, bytes]], None]:
    def damage(files: dict[str, bytes]) -> None:
        text = files[FILE].decode()
        begin, end = text.index("{"), text.rindex("}") + 1
        data = json.loads(text[begin:end])
        change(data)
        files[FILE] = (text[:begin] + json.dumps(data) + text[end:]).encode()

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncated, r"groups/00.js: has \d+ bytes, the header says \d+"),
        (_exchanged, r"groups/00.js: has SHA-256 \w+, the header says \w+"),
        (lambda files: files.update({FILE: b"{}"}), r"scene.js: expected one line neurocityScene"),
        (lambda files: files.update({FILE: b"neurocityScene({);\n"}), r"scene.js: not valid JSON"),
        (_header(lambda data: data.update(layout=2)), r"layout is 2, this release reads 1"),
        (_header(lambda data: data.pop("settings")), r"missing field among \['settings'\]"),
        (
            _header(lambda data: data["levels"][1].update(cells=9)),
            r"its counts of cells and points are not",
        ),
        (_header(lambda data: data["groups"][0].update(file="../x")), r"got '../x', expected 'groups/00.js'"),
        (_block(1, cells=0), r"cells: got 0, expected"),
        (
            _block(2, first_cell=3),
            r"the numbers of its blocks",
        ),
        (
            _block(2, cells=3),
            r"groups/00.js: has \d+ bytes, its",
        ),
        (_header(lambda data: data["bits"].update(density=9)), r"bits: got 9 16 8"),
        (_header(lambda data: data.update(density=None)), r"1 of 3 scales missing"),
        (_header(lambda data: data["settings"].update(sh_degree=1)), r"got 8 harmonics, expected 3"),
        (
            _header(lambda data: data["settings"].update(sh_degree=0.5)),
            r"sh_degree: got 0.5, expected",
        ),
        (_header(lambda data: data.update(sky=[1.0])), r"sky: got 1 numbers, expected 608"),
        (_header(lambda data: data["levels"].pop()), r"has a block of level 4, the deepest is another"),
        (_header(lambda data: data["groups"].clear()), r"level 0 is not one inner cell"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(damage, message):
    files, _ = packed(random_model(sh_degree=2))
    damage(files)
    with pytest.raises(ManifestError, match=message):
        read_contents(files.__getitem__)


def test_the_header_is_safe_in_a_page_and_comes_out_again():
    files, _ = packed(random_model())
    header = read_header(files[FILE])
    marked = replace(header, manifest=replace(header.manifest, tools={"x": "</script>\u2028"}))
    script = header_script(marked)
    assert b"</script>" not in script
    assert "\u2028" not in script.decode()
    assert read_header(script) == marked
