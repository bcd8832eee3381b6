"""`city.json`: what is written is read again, and what is no city is refused with the place of the fault."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurocity.city.manifest import Block, City, CityModel, Coarse, Ground, read_city, write_city
from neurocity.contract import ArtefactFile, to_dict
from neurocity.errors import ManifestError, UnreadableError

GROUND = Ground(low=(-100.0, -100.0, -80.0), side=200.0, level=2)


def small_city() -> City:
    file = ArtefactFile(name="model.safetensors", sha256="ab" * 32, bytes=12)
    model = CityModel(
        folder="models/town-x0-y0_native/3",
        version=3,
        artefact=file,
        box=(-100.0, -100.0, 0.0, 0.0, -50.0, 30.0),
        voxel_side=0.5,
        figures={"psnr": 25.5},
    )
    coarser = replace(model, folder="models/town-x0-y0-1_native/3", voxel_side=1.0)
    blocks = (
        Block(
            id="x0-y0",
            cells=((0, 0), (1, 0)),
            training_box=(-105.0, -105.0, 0.0, 5.0, -45.0, 40.0),
            photographs=("a.png", "b.png"),
            neighbours=("x0-y1",),
            model=model,
            coarser=(coarser,),
        ),
        Block(
            id="x0-y1",
            cells=((0, 1),),
            training_box=(-105.0, -55.0, 0.0, -45.0, 5.0, 40.0),
            neighbours=("x0-y0",),
        ),
    )
    coarse = Coarse(box=(-100.0, -100.0, 0.0, 100.0, 100.0, 40.0), photographs=("a.png",))
    return City(
        name="town",
        ground=GROUND,
        blocks=blocks,
        coarse=coarse,
        origin=(500_000.25, 5_400_000.5, 0.0),
        crs="EPSG:25832",
        data="photos",
        unbounded=True,
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    city = small_city()
    path = write_city(tmp_path / "town", city)
    assert path.name == "city.json"
    assert read_city(tmp_path / "town") == city
    assert [each.name for each in (tmp_path / "town").iterdir()] == ["city.json"]
    assert city.owners[1, 0].id == "x0-y0"
    with pytest.raises(ManifestError, match="got 'x9-y9', the city has x0-y0, x0-y1"):
        city.block("x9-y9")


def test_a_city_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_city(tmp_path, small_city())
    before = (tmp_path / "city.json").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ManifestError, match=r"city\.json: cannot be written \(No space left on device\)"):
        write_city(tmp_path, small_city())
    assert (tmp_path / "city.json").read_bytes() == before
    assert len([*tmp_path.iterdir()]) == 1


def changed(path: str, value: Any) -> dict[str, Any]:
    """The small city's JSON with another value at a place such as blocks.0.id; `...` takes it away."""
    data: Any = to_dict(small_city())
    *way, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    place = data
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema_version", 7, "schema_version is 7, this release reads 1; plan the city again or update"),
        ("name", ..., "missing field"),
        ("name", "my city", "name: got 'my city', expected lower-case letters, digits, '_' and '-'"),
        (
            "blocks.0.coarser.0.folder",
            "models/town-x0-y0_native/3",
            "models: models/town-x0-y0_native/3 stands twice",
        ),
        ("colour", "red", "unknown field 'colour', known: blocks, coarse"),
        ("ground.side", -1.0, "ground.side: got -1.0, expected a number greater than 0"),
        ("ground.low", [0.0, 0.0], "ground.low: got 2 values, expected 3"),
        ("ground.level", 30, "ground.level: got 30, expected 0 to 12"),
        ("ground.up_axis", 3, "ground.up_axis: got 3, expected 0, 1 or 2"),
        ("ground.inner", 2, "ground.inner: got 2, expected 0 to 1"),
        ("origin", [0.0, 0.0, "x"], "origin.2.: got 'x', expected float"),
        ("up", [0.0, 0.0, 3.0], "up: got .*, expected a vector of length 1"),
        ("blocks.0.id", "a/b", "blocks.0..id: got 'a/b', expected letters, digits"),
        ("blocks.0.cells", [], "cells: got none, expected one at least"),
        ("blocks.0.cells", [[0, 0], [4, 0]], r"block x0-y0: got cell \[4, 0\], expected 0 to 3"),
        ("blocks.0.cells", [[0, 1]], r"cells: \(0, 1\) stands twice"),
        ("blocks.0.cells", [[0, 0.5]], "expected int"),
        ("blocks.1.id", "x0-y0", "blocks: x0-y0 stands twice"),
        (
            "blocks.1.neighbours",
            [],
            "block x0-y0: has the neighbour 'x0-y1', which is not there or has not it",
        ),
        ("blocks.1.neighbours", ["x0-y0", "x3-y3"], "has the neighbour 'x3-y3', which is not there"),
        ("blocks.0.training_box", [0.0] * 6, "training_box: got .*, expected x0 < x1"),
        ("blocks.0.model.folder", "../elsewhere", "folder: got '../elsewhere', expected a place below"),
        ("blocks.0.model.folder", "/tmp/elsewhere", "folder: got '/tmp/elsewhere', expected a place below"),
        ("blocks.0.model.version", 0, "version: got 0, expected a number of at least 1"),
        ("blocks.0.model.artefact.bytes", -1, "bytes: got -1"),
        ("blocks.0.coarser.0.voxel_side", 0.5, r"coarser: got voxels of \[0.5, 0.5\], expected larger"),
        ("blocks.0.model", None, "coarser: got voxels of"),
        ("coarse.box", [1.0, 0.0, 0.0, 0.0, 1.0, 1.0], "coarse.box: got .*, expected x0 < x1"),
    ],
)
def test_what_is_no_city_is_refused(tmp_path: Path, path: str, value: Any, message: str) -> None:
    (tmp_path / "city.json").write_text(json.dumps(changed(path, value)))
    with pytest.raises(ManifestError, match=message) as error:
        read_city(tmp_path)
    assert str(tmp_path / "city.json") in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "got a JSON list, expected an object"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "city.json").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_city(tmp_path)


def test_a_folder_without_a_city_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="`neurocity city plan` and `neurocity city cut` write it"):
        read_city(tmp_path)


def test_cells_of_the_inner_part_are_as_high_as_it() -> None:
    ground = Ground(low=(-80.0, -80.0, -80.0), side=160.0, level=5, inner=2)
    assert ground.range == (12, 19)
    assert ground.box((12, 19)) == (-20.0, 15.0, -20.0, -15.0, 20.0, 20.0)
    assert ground.holds((12, 19))
    assert not ground.holds((11, 12))
    assert Ground(low=(0.0, 0.0, 0.0), side=8.0, level=1, up_axis=0).box((1, 0)) == (
        0.0,
        4.0,
        0.0,
        8.0,
        8.0,
        4.0,
    )
