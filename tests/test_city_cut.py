"""`neurocity city cut`: a native model becomes a city of blocks, whose files compose to its picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from svraster_scene import BOX
from test_city_composing import district, landscape

from benchmarks.native_models import write_native
from neurocity.cameras import Camera
from neurocity.city import cutting
from neurocity.city.artefacts import find_model, open_model
from neurocity.city.composing import Around, Part, compose
from neurocity.city.ground import Rectangle
from neurocity.city.manifest import Box, City, read_city
from neurocity.cli import main
from neurocity.commands import city_cut
from neurocity.contract import SceneInfo
from neurocity.errors import ManifestError
from neurocity.kernels.scene import open_scene, render_rays
from neurocity.kernels.voxels import VoxelScene
from neurocity.poses import look_at
from neurocity.renderers.opening import open_renderer
from neurocity.svraster.core import SVRaster
from neurocity.svraster.native import scene_data


def written(folder: Path, model: SVRaster, bounds: Box = BOX) -> Path:
    """The model as a native artefact in a repository."""
    info = SceneInfo(
        bounds=bounds,
        up=(0.0, 0.0, 1.0),
        background=None if model.sky_enabled else (1.0, 1.0, 1.0),
        views=(),
        dataset_fingerprint="",
        origin=(1000.0, 2000.0, 0.0),
    )
    return write_native(folder, "whole", scene_data(model, np.float16), info)


def render(folder: Path, city: City, camera: Camera) -> np.ndarray:
    """The city's picture, from its files."""
    assert city.coarse.model is not None
    blocks = {}
    for cell, block in city.owners.items():
        assert block.model is not None
        scene = VoxelScene(open_model(folder, block.model))
        blocks[cell] = Part(city.ground.box(cell), lambda scene=scene: scene)  # type: ignore[misc]
    rectangle = Rectangle.around(city.owners)
    around = Around(open_model(folder, city.coarse.model), city.ground, rectangle)
    light = compose(blocks, around, city.ground, camera.rays(), threads=1)
    assert light is not None
    return np.concatenate([light.rgb, light.opacity[:, None]], axis=1)


@pytest.mark.parametrize(("model", "size"), [(district, 0.75), (landscape, 0.8)])
def test_the_blocks_of_a_city_compose_to_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model, size
) -> None:
    """Whatever the coarse model lacks in the cells: what is around them is seen in it alone."""
    monkeypatch.setattr(city_cut, "COARSE_LEVELS", 0)
    whole = model()
    source = written(tmp_path / "repository", whole)
    out = tmp_path / "town"
    assert main(["city", "cut", str(source), "--out", str(out), "--block-size", str(size)]) == 0
    city = read_city(out)
    assert len(city.blocks) > 3
    assert city.ground.cell_side == 0.75
    assert city.unbounded is (model is landscape)
    assert city.origin == (1000.0, 2000.0, 0.0)
    beside = {block.id: block.neighbours for block in city.blocks}
    assert all(name in beside[other] for name, others in beside.items() for other in others)
    camera = Camera.from_fov_y(look_at((3.0, 2.5, 2.5), (0.0, -0.5, 1.0), (0.0, 0.0, 1.0)), 40, 30, 60.0)
    light = render_rays(open_scene(scene_data(whole, np.float16)), camera.rays())
    assert light is not None
    expected = np.concatenate([light.rgb, light.opacity[:, None]], axis=1)
    assert expected.std() > 0.05
    coarse = city.coarse.model
    assert coarse is not None
    assert len(open_model(out, coarse).tensors["records"]) < len(
        scene_data(whole, np.float16).tensors["records"]
    )
    np.testing.assert_array_equal(render(out, city, camera), expected)
    # A block is an artefact like any: its manifest and its place are those of a model repository.
    assert city.blocks[0].model is not None
    version = find_model(out, city.blocks[0].model)
    version.require_whole()
    assert version.manifest.info.background is not None
    assert open_renderer(version.path.parent, "cpu").render(camera).opacity.max() > 0.1


def test_a_block_that_is_not_the_city_s_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "repository", district())
    out = tmp_path / "town"
    assert main(["city", "cut", str(source.parent), "--out", str(out), "--block-size", "1.5"]) == 0
    assert "cells of 1.5 units" in capsys.readouterr().out
    model = read_city(out).blocks[0].model
    assert model is not None
    artefact = out / model.folder / model.artefact.name
    content = bytearray(artefact.read_bytes())
    content[-1] ^= 1
    artefact.write_bytes(content)
    with pytest.raises(ManifestError, match="has SHA-256"):
        open_model(out, model)
    other = replace(model, artefact=replace(model.artefact, sha256="0" * 64))
    with pytest.raises(ManifestError, match="the city's file says 000000000000; replace the block"):
        open_model(out, other)
    assert main(["city", "cut", str(source), "--out", str(out), "--block-size", "1.5"]) == 2
    assert "has a city; name another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "message"), [("0", "block_size: got 0.0"), ("0.02", "voxels are larger than a cell")]
)
def test_sizes_that_cut_voxels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str, message: str
) -> None:
    source = written(tmp_path / "repository", district())
    out = tmp_path / "town"
    assert main(["city", "cut", str(source), "--out", str(out), "--block-size", size]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_what_nobody_could_use_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that no scene has, what a cut has left that did not end, and more blocks than anybody wants."""
    source = written(tmp_path / "repository", district())

    def refused(out: Path) -> str:
        assert main(["city", "cut", str(source), "--out", str(out), "--block-size", "0.75"]) == 2
        assert not (out / "city.json").exists()
        return capsys.readouterr().err.replace("\n", " ")

    assert "got 'my city', expected lower-case letters" in refused(tmp_path / "my city")
    (tmp_path / "town" / "models").mkdir(parents=True)
    assert "the models of a cut that did not end; remove it, or name another" in refused(tmp_path / "town")
    monkeypatch.setattr(cutting, "MOST_CELLS", 3)
    assert "cells of 0.75 units have voxels, expected 3 at most; blocks twice as" in refused(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "my city").exists()
