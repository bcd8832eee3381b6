"""Blocks of a planned city trained apart: what is around a block, what it begins with, and what is kept."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from svraster_scene import random_rays

from neurocity.cameras import Rays
from neurocity.city.manifest import Block, City, Coarse, Ground, read_city, write_city
from neurocity.city_training.job import Job, job_digest, parts_of
from neurocity.city_training.layout import (
    block_config,
    clipped,
    coarse_config,
    coarse_voxels,
    place_of_region,
    take_over,
)
from neurocity.city_training.options import COARSE, PartOptions
from neurocity.city_training.part import train_part
from neurocity.city_training.record import Record, read_record, write_record
from neurocity.city_training.stamps import Stamps
from neurocity.city_training.state import is_trained
from neurocity.city_training.surroundings import Region, Surroundings, region_of
from neurocity.cli import main
from neurocity.commands import city_train
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError, TrainingError
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.light import Light
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.training import module

BOX = (-1.5, -2.0, -0.5, 1.5, 1.0, 2.5)
TINY = ("training.rays_per_batch=256", "training.steps_per_epoch=2", "training.square_side=1")


def options(**changes: object) -> PartOptions:
    return PartOptions(**{"steps": 2, "set_": TINY, "device": "cpu", **changes})


@pytest.fixture(scope="module")
def trained(planned_town: City, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planned city whose coarse model and first block are trained."""
    folder = tmp_path_factory.mktemp("trained") / "town"
    write_city(folder, planned_town)
    for part in parts_of(planned_town)[:2]:
        train_part(Job(city=folder, part=part, options=options(), threads=1))
    return folder


GROUND = Ground(low=BOX[:3], side=BOX[3] - BOX[0], level=1)
BLOCK = Block(id="x0-y1", cells=((0, 1),), training_box=(BOX[0], 0.05, BOX[2], 0.1, BOX[4], BOX[5]))


def landscape() -> SVRaster:
    """An unbounded coarse model of random voxels, with a sky."""
    city = City(name="town", ground=GROUND, blocks=(), coarse=Coarse(box=BOX), unbounded=True)
    config = replace(SVRasterConfig.preset("cpu"), sh_degree=1, outside_levels=2)
    model = SVRaster(coarse_config(city, config))
    generator = torch.Generator().manual_seed(3)
    kept = torch.rand(len(model.voxel_level), generator=generator) < 0.1
    model.set_voxels(model.voxel_level[kept], model.voxel_cell[kept])
    model.requires_grad_(False)
    model.density.copy_(2.0 * torch.randn(model.density.shape, generator=generator))
    for values in (model.sh0, model.shs):
        values.copy_(torch.randn(values.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def coarse() -> SVRaster:
    return landscape()


@pytest.fixture(scope="module")
def region() -> Region:
    return region_of(GROUND, BLOCK)


def light_of(data: SceneData, rays: Rays) -> Light:
    return render_rays(open_scene(data), rays)


def test_a_region_is_the_training_box_in_whole_steps(region: Region) -> None:
    step = GROUND.cell_side / 8
    box = np.array(region.box).reshape(2, 3)
    wanted = np.array(BLOCK.training_box).reshape(2, 3)
    assert (box[0] <= wanted[0] + 1e-9).all()
    assert (box[1] >= wanted[1] - 1e-9).all()
    assert (np.abs(box - wanted) < step).all()
    on_grid = (box[:, :2] - BOX[:2]) / step
    np.testing.assert_allclose(on_grid, np.round(on_grid), atol=1e-9)


def test_a_block_that_begins_as_the_coarse_model_makes_its_picture(coarse: SVRaster, region: Region) -> None:
    """C_f + T_f (C_b + T_b C_k), for eyes over, beside, inside and far from the region."""
    city = City(name="town", ground=GROUND, blocks=(BLOCK,), coarse=Coarse(box=BOX), unbounded=True)
    block = SVRaster(block_config(city, replace(SVRasterConfig.preset("cpu"), sh_degree=1)))
    chosen, level, cell = place_of_region(coarse, GROUND, region)
    block.set_voxels(level, cell)
    block.requires_grad_(False)
    take_over(block, coarse, chosen)
    origins, directions = random_rays(block, seed=1, count=1000)
    rays = Rays(origins.t().contiguous().numpy(), directions.t().contiguous().numpy())
    seen = Surroundings(coarse.scene_data(), region).seen(rays, threads=1)
    own = light_of(block.eval().scene_data(), rays)
    left = seen.left * (1.0 - own.opacity)
    composed = seen.before + seen.left[:, None] * own.rgb + left[:, None] * seen.behind.rgb
    whole = light_of(coarse.scene_data(), rays)
    met = region.met_by(rays)
    assert met.sum() > 1000
    assert ((seen.left < 0.5) & (own.opacity > 0.01))[met].sum() > 20
    # A ray ends where 1e-4 of its light is left: of each part by itself here.
    np.testing.assert_allclose(composed[met], whole.rgb[met], atol=5e-4)


def test_clipped_models_are_the_model(coarse: SVRaster) -> None:
    cells = [(0, 0), (1, 1)]
    parts = [clipped(coarse, GROUND, cells), clipped(coarse, GROUND, cells, without=True)]
    assert sum(len(part.voxel_level) for part in parts) == len(coarse.voxel_level)
    down = Rays(np.array([[-0.4, -0.3, 3.0]], np.float32), np.array([[0.0, 0.0, -1.0]], np.float32))
    whole, part = (light_of(model.scene_data(), down).depth for model in (coarse, parts[0]))
    assert whole.shape == part.shape
    with pytest.raises(TrainingError, match="no voxels"):
        clipped(parts[0], GROUND, [(1, 0)])


def test_a_coarse_model_ends_between_regions() -> None:
    ground = Ground(low=(0.0, 0.0, 0.0), side=64.0, level=3)
    city = City(
        name="town", ground=ground, blocks=(), coarse=Coarse(box=(8, 8, 0, 56, 56, 8)), unbounded=True
    )
    model = SVRaster(coarse_config(city, SVRasterConfig.preset("cpu")))
    level, cell = coarse_voxels(model, ground, city.coarse.box)
    model.set_voxels(level, cell)  # which refuses voxels that overlap
    side = model.root_side * 2.0 ** -level.double()
    assert float(side.min()) == ground.cell_side / 8
    filled = float((side**3).sum())
    assert filled == pytest.approx(model.root_side**3)


def test_too_many_cells_are_refused_before_anything_is_trained() -> None:
    ground = Ground(low=(0.0, 0.0, 0.0), side=2.0**12, level=12)
    city = City(name="town", ground=ground, blocks=(), coarse=Coarse(box=BOX), unbounded=True)
    with pytest.raises(ConfigError, match="larger blocks"):
        coarse_config(city, SVRasterConfig.preset("cpu"))


def test_what_is_trained_is_not_trained_again(trained: Path) -> None:
    city = read_city(trained)
    for part in parts_of(city)[:2]:
        job = Job(city=trained, part=part, options=options(), threads=1)
        before = read_record(job.run_folder)
        assert before is not None
        assert (before.state, before.step, before.attempts) == ("trained", 2, 1)
        assert train_part(job) == before
    first = Job(city=trained, part=parts_of(city)[1], options=options(seed=1), threads=1)
    with pytest.raises(ConfigError, match="--overwrite"):
        train_part(first)


def test_a_longer_budget_goes_on_from_the_last_checkpoint(trained: Path, tmp_path: Path) -> None:
    """Also of a block, although the coarse model with which it began was asked for as long as that."""
    folder = tmp_path / "town"
    shutil.copytree(trained, folder)
    coarse = Job(city=folder, part=COARSE, options=options(steps=3), threads=1)
    assert train_part(coarse) == read_record(trained / "runs" / COARSE)
    part = parts_of(read_city(folder))[1]
    record = train_part(Job(city=folder, part=part, options=options(steps=3), threads=1))
    assert (record.step, record.attempts) == (3, 2)


def test_the_last_checkpoint_is_of_the_last_step_whatever_its_views_say(
    planned_town: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = iter(range(90, 0, -1))
    monkeypatch.setattr(module, "image_metrics", lambda *_: {"psnr": float(next(falling)), "ssim": 0.5})
    write_city(tmp_path / "town", planned_town)
    job = Job(city=tmp_path / "town", part=COARSE, options=options(steps=10), threads=1)
    assert train_part(job).step == 10


def test_blocks_need_the_coarse_model(planned_town: City, tmp_path: Path) -> None:
    write_city(tmp_path / "town", planned_town)
    job = Job(city=tmp_path / "town", part=planned_town.blocks[0].id, options=options(), threads=1)
    with pytest.raises(TrainingError, match="coarse model is not trained"):
        train_part(job)


def test_slurm_gets_scripts_that_train_each_part_once(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["city", "train", str(trained), "--runner", "slurm", "--minutes", "9", "--cpus", "4"]
    assert main([*words, "--set", "model.max_voxels=10"]) == 0
    line = capsys.readouterr().out.strip()
    coarse, blocks = (trained / "slurm" / name for name in ("coarse.sbatch", "blocks.sbatch"))
    assert (
        line
        == f"sbatch --kill-on-invalid-dep=yes --dependency=afterok:$(sbatch --parsable {coarse}) {blocks}"
    )
    number = len(read_city(trained).blocks)
    assert f"#SBATCH --array=1-{number}\n" in blocks.read_text()
    for script in (coarse, blocks):
        assert "#SBATCH --cpus-per-task=4\n" in script.read_text()
        assert "#SBATCH --signal=B:TERM@" in script.read_text(), "or else job steps alone are told"
        assert "--minutes 9.0 --set model.max_voxels=10 --index" in script.read_text()
        subprocess.run(["sh", "-n", script], check=True)


def test_slurm_trains_the_coarse_model_before_a_block_alone(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["city", "train", str(trained), "--runner", "slurm", "--minutes", "9"]
    assert main([*words, "--only", read_city(trained).blocks[0].id, "--retries", "3"]) == 0
    assert "coarse.sbatch" in capsys.readouterr().out
    for script in ("coarse.sbatch", "blocks.sbatch"):
        assert "--retries 3 " in (trained / "slurm" / script).read_text()
    assert "#SBATCH --array=1\n" in (trained / "slurm" / "blocks.sbatch").read_text()


def test_slurm_is_asked_for_what_a_preset_needs_and_no_more(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["city", "train", str(trained), "--runner", "slurm", "--minutes", "9"]
    for preset, asked in (("cpu", []), ("paper", ["#SBATCH --gpus-per-task=1"])):
        assert main([*words, "--preset", preset]) == 0
        script = (trained / "slurm" / "blocks.sbatch").read_text()
        # How many processors this machine has says nothing of those that train.
        assert [line for line in script.splitlines() if "-per-task" in line] == asked
    assert main([*words, "--gpus", "0.5"]) == 2
    assert "got 0.5, expected a whole number" in capsys.readouterr().err


def test_a_part_by_its_number(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["city", "train", str(trained), "--steps", "2", "--device", "cpu", "--set", *TINY]
    assert main([*words, "--index", "1"]) == 0
    assert f"{parts_of(read_city(trained))[1]}: is trained already" in capsys.readouterr().err
    assert main([*words, "--index", "1", "--seed", "7"]) == 2
    assert "index 0" in (told := capsys.readouterr().err)
    assert "was trained by another plan or options" in told
    assert main([*words, "--index", "99"]) == 2
    assert "expected 0 to" in capsys.readouterr().err
    assert main([*words, "--only", "x9-y9"]) == 1
    assert "the city has x0-y0" in capsys.readouterr().err


def test_a_coarse_model_of_another_budget_that_nobody_trains_is_told(
    planned_town: City, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(city_train, "FAILED_SECONDS", 0.0)
    folder = tmp_path / "town"
    write_city(folder, planned_town)
    asked = options(steps=2)
    (folder / "weights.ckpt").touch()
    record = Record(
        part=COARSE,
        state="trained",
        digest=job_digest(planned_town, COARSE, asked),
        steps=3,
        checkpoint="weights.ckpt",
    )
    write_record(folder / "runs" / COARSE, record)
    words = city_train.option_words(asked)
    assert main(["city", "train", str(folder), *words, "--index", "1"]) == 2
    assert "trained for 3 steps, expected 2 steps" in capsys.readouterr().err


def test_photographs_in_the_place_of_others_are_not_those_that_were_trained_on(
    trained: Path, tmp_path: Path
) -> None:
    folder, data = tmp_path / "town", tmp_path / "photographs"
    shutil.copytree(trained, folder)
    city = read_city(folder)
    shutil.copytree(city.data, data)
    part = parts_of(city)[1]
    job = Job(city=folder, part=part, options=options(data=data), threads=1)
    assert is_trained(city, job, Stamps(city, job.options)), "copies are the same"
    scene = load_scene(data, unbounded=city.unbounded, origin=city.origin)
    (frame,) = [frame for frame in scene.splits["train"] if frame.name == city.block(part).photographs[0]]
    Image.fromarray(255 - frame.load_image()[..., :3]).save(frame.image_path)
    assert not is_trained(city, job, Stamps(city, job.options))
    with pytest.raises(ConfigError, match="other photographs of the same names; --overwrite"):
        train_part(job)
    assert train_part(replace(job, overwrite=True)).attempts == 2
    shutil.rmtree(data)
    assert is_trained(city, job, Stamps(city, job.options)), "nothing is known of them"


def test_a_part_whose_weights_are_gone_is_trained_again(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "town"
    shutil.copytree(trained, folder)
    job = Job(city=folder, part=COARSE, options=options(), threads=1)
    city = read_city(folder)
    stamps = Stamps(city, job.options)
    assert is_trained(city, job, stamps)
    record = read_record(job.run_folder)
    assert record is not None
    (folder / record.checkpoint).unlink()
    assert not is_trained(city, job, stamps)


def test_what_a_coarse_model_that_failed_says_reaches_its_blocks(
    planned_town: City, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(city_train, "FAILED_SECONDS", 0.0)
    folder = tmp_path / "town"
    write_city(folder, planned_town)
    write_record(folder / "runs" / COARSE, Record(part=COARSE, state="failed", digest="", error="no light"))
    assert main(["city", "train", str(folder), "--steps", "2", "--index", "1"]) == 1
    assert "has failed: no light" in capsys.readouterr().err


def test_training_needs_an_end(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["city", "train", str(trained)]) == 2
    assert "minutes, steps: got neither" in capsys.readouterr().err
    text = json.dumps({"part": "x", "state": "dreaming", "digest": "", "schema_version": 1})
    (trained / "runs" / "x").mkdir()
    (trained / "runs" / "x" / "record.json").write_text(text)
    with pytest.raises(Exception, match="expected training, trained or failed"):
        read_record(trained / "runs" / "x")
