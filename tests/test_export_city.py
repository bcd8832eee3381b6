"""A trained city exported: parts are proved, the composed city is compared, and one block is replaced."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import city_borders
from export.checks import require
from export.city.parts import open_part, shown_of_coarse, trained_parts
from export.city.proof import compare_with_definition
from export.cli import main
from neurocity.city.manifest import City, read_city, write_city
from neurocity.city.renderer import CityRenderer
from neurocity.city_training.job import Job, parts_of
from neurocity.city_training.options import COARSE, PartOptions
from neurocity.city_training.part import train_part
from neurocity.errors import ExportError, ParityError
from neurocity.model_repository import open_version


def train(folder: Path, part: str, **changes: object) -> None:
    values = ("training.rays_per_batch=256", "training.steps_per_epoch=2", "training.square_side=1")
    options = PartOptions(**{"steps": 4, "set_": values, "device": "cpu", **changes})
    train_part(Job(city=folder, part=part, options=options, threads=1, overwrite=True))


def export(folder: Path, *words: str) -> int:
    return main(["city", str(folder), *words])


@pytest.fixture(scope="module")
def town(planned_town: City, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A city of which all parts are trained but the last block, and exported without it."""
    folder = tmp_path_factory.mktemp("city") / "town"
    write_city(folder, planned_town)
    for part in parts_of(planned_town)[:-1]:
        train(folder, part)
    assert export(folder, "--allow-missing") == 0
    return folder


def digests(city: City) -> dict[str, str]:
    models = {block.id: block.model for block in city.blocks} | {COARSE: city.coarse.model}
    return {part: model.artefact.sha256 for part, model in models.items() if model is not None}


def test_a_city_has_the_parts_that_are_trained(town: Path) -> None:
    city = read_city(town)
    assert list(digests(city)) == [*(block.id for block in city.blocks[:-1]), COARSE]
    assert city.blocks[-1].model is None
    assert city.coarse.model is not None
    for block in city.blocks[:-1]:
        assert block.model is not None
        for model in (block.model, *block.coarser):
            version = open_version(town / model.folder)
            version.verify(version.manifest.artefact)
        assert block.model.figures["parity_psnr_db"] > 90.0
        low, high = (list(block.model.box[side : side + 2]) for side in (0, 3))
        cell = city.ground.box(block.cells[0])
        assert low >= [at - 1e-3 for at in cell[:2]]
        assert high <= [at + 1e-3 for at in cell[3:5]]
        assert [each.voxel_side for each in block.coarser] == sorted(
            each.voxel_side for each in block.coarser
        )
    assert city.coarse.model.figures["composed_psnr_db"] > 0.0
    light = CityRenderer(town, 2**26)
    assert light.city == city


def test_what_is_not_trained_is_named(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (town / "city.json").read_bytes()
    assert export(town) == 1
    assert f"not trained: {read_city(town).blocks[-1].id}" in capsys.readouterr().err
    assert (town / "city.json").read_bytes() == before


def test_what_was_trained_by_another_plan_is_not_exported(town: Path) -> None:
    city = read_city(town)
    first, *others = city.blocks
    x0, *rest = first.training_box
    moved = replace(first, training_box=(x0 - 1.0, *rest))
    with pytest.raises(ExportError, match=f"another plan or with another coarse model: {first.id};"):
        trained_parts(town, replace(city, blocks=(moved, *others)))


def test_one_block_that_is_trained_anew_is_one_new_digest(town: Path, tmp_path: Path) -> None:
    folder = tmp_path / "town"
    shutil.copytree(town, folder)
    before = digests(read_city(folder))
    part = read_city(folder).blocks[0].id
    train(folder, part, seed=5)
    assert export(folder, "--allow-missing", "--skip-photographs") == 0
    after = digests(read_city(folder))
    assert {name for name in after if after[name] != before[name]} == {part}
    model = read_city(folder).block(part).model
    assert model is not None
    assert model.version == 2


def test_the_composed_city_is_held_to_its_definition(town: Path, tmp_path: Path) -> None:
    city = read_city(town)
    records, _ = trained_parts(town, city)
    sources = {part: open_part(town, city, part, record) for part, record in records.items()}
    blocks = tuple(part for part in sources if part != COARSE)
    coarse = sources[COARSE]

    def checks(folder: Path) -> None:
        parts = [shown_of_coarse(coarse.model, city, blocks), *(sources[part].model for part in blocks)]
        renderer = CityRenderer(folder, 2**28)
        info = coarse.checkpoint.info
        require(compare_with_definition(renderer, parts, coarse.model, info, lambda *_: None))

    checks(town)
    # A city that shows a cut from afar where the block itself belongs is another one.
    first = city.blocks[0]
    assert first.coarser
    wrong = replace(first, model=first.coarser[-1], coarser=())
    write_city(tmp_path / "wrong", replace(city, blocks=(wrong, *city.blocks[1:])))
    (tmp_path / "wrong" / "models").symlink_to(town / "models")
    with pytest.raises(ParityError, match=f"border {first.id}"):
        checks(tmp_path / "wrong")


def test_the_benchmark_of_borders(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = town / "runs" / COARSE / "checkpoints" / "last.ckpt"
    city_borders.main(city_borders.Arguments(town, checkpoints=(checkpoint,)))
    rows = [line.split("│")[2:5] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert rows[1] == rows[2]
    assert rows[0] != rows[1]


def test_a_city_without_a_coarse_model_is_no_city(
    planned_town: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_city(tmp_path / "town", planned_town)
    assert export(tmp_path / "town", "--allow-missing") == 1
    assert "not trained: coarse" in capsys.readouterr().err
