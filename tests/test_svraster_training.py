"""Training of SVRaster on photographs of a sphere: learning, adapting, resuming; both loops."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from neurocity.checkpoint import load_checkpoint, read_content
from neurocity.data.datasets import TrainingRays, Views, training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import CheckpointError, ConfigError, TrainingError
from neurocity.svraster.core import SVRasterConfig
from neurocity.svraster.lightning_trainer import (
    SVRasterLightningConfig,
    SVRasterLightningModule,
    create_lightning_trainer,
    train_svraster_lightning,
)
from neurocity.svraster.trainer import SVRasterTrainer, SVRasterTrainerConfig
from neurocity.svraster.training import unbounded_init
from neurocity.svraster.training.losses import total_variation
from neurocity.svraster.training.near_field import near_distance
from neurocity.training.callbacks import VoxelStatisticsCallback
from neurocity.training.data import SceneDataModule

STEPS = 8
"""Of an epoch; voxels change after each."""
MODEL = SVRasterConfig.preset(
    "cpu", scene_bounds=(-1.5, -1.5, -1.5, 1.5, 1.5, 1.5), max_octree_levels=5, base_resolution=8, sh_degree=1
)
TRAINING: dict[str, Any] = {"steps_per_epoch": STEPS, "rays_per_batch": 256, "hull_resolution": 8}
QUIET: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "gpus": 0}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def datasets(sphere: Path) -> tuple[TrainingRays, Views]:
    return training_datasets(load_scene(sphere), batches=STEPS)


def lightning_config(**changes: Any) -> SVRasterLightningConfig:
    return SVRasterLightningConfig.preset("cpu", **{**TRAINING, **changes})


def trainer_of(datasets: tuple[TrainingRays, Views], out: Path, epochs: int, **options: Any) -> Any:
    config = options.pop("config", lightning_config())
    return create_lightning_trainer(
        config, *datasets, model_config=MODEL, max_epochs=epochs, checkpoint_dir=out, **QUIET, **options
    )


@pytest.fixture(scope="module")
def uninterrupted(datasets: tuple[TrainingRays, Views], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs, with a checkpoint after each."""
    out = tmp_path_factory.mktemp("svraster")
    keep = pl.callbacks.ModelCheckpoint(out, filename="{step}", save_top_k=-1)
    trainer_of(datasets, out, 4, callbacks=[keep], config=lightning_config(scheduler_type="none")).fit()
    return out


def content(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    names = ("state_dict", "current_model_state", "optimizer_states", "voxel_training", "global_step")
    return {name: loaded[name] for name in names}


def same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return bool(one == two)


def test_it_learns_the_sphere_and_puts_voxels_where_it_is(datasets: tuple[TrainingRays, Views]) -> None:
    config = trainer_config(
        max_steps=120,
        steps_per_epoch=24,
        rays_per_batch=1024,
        hull_resolution=16,
        pruning_threshold=0.02,
        final_pruning_threshold=0.04,
    )
    trainer = SVRasterTrainer(MODEL, config, *datasets)
    hull, before = len(trainer.model.voxel_level), trainer.evaluate()
    figures: list[float] = []
    model = trainer.train(lambda run: figures.append(run.evaluate()))
    assert len(figures) == 5
    assert figures[-1] > max(before + 6.0, 22.0), figures
    assert hull < 16**3, "the start is the visual hull"
    assert int(model.voxel_level.max()) == 5
    distance = ((model.voxel_low + 0.5 / model.voxel_scale - 0.5) * model.root_side).norm(dim=0)
    assert float(distance[model.voxel_level == 5].median()) < 1.2, "around a sphere of radius 1"


def test_a_stopped_run_goes_on_exactly_across_adaptations(
    datasets: tuple[TrainingRays, Views], uninterrupted: Path, tmp_path: Path
) -> None:
    sizes = set()
    for epochs in (1, 2, 3):
        path = uninterrupted / f"step={epochs * STEPS}.ckpt"
        sizes.add(len(content(path)["state_dict"]["model.voxel_level"]))
    assert len(sizes) == 3, "voxels change after every epoch"
    keep = pl.callbacks.ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1)
    trainer = trainer_of(
        datasets, tmp_path, 4, callbacks=[keep], config=lightning_config(scheduler_type="none")
    )
    trainer.fit(ckpt_path=uninterrupted / f"step={2 * STEPS}.ckpt")
    name = f"step={4 * STEPS}.ckpt"
    whole, resumed = content(uninterrupted / name), content(tmp_path / name)
    for part in whole:
        assert same(whole[part], resumed[part]), part
    assert not same(whole, content(uninterrupted / f"step={3 * STEPS}.ckpt")), "the check can fail"


def test_voxels_are_counted_without_being_asked(datasets: tuple[TrainingRays, Views], tmp_path: Path) -> None:
    trainer = trainer_of(datasets, tmp_path, 1)
    trainer.fit()
    assert any(isinstance(callback, VoxelStatisticsCallback) for callback in trainer.callbacks)


def test_averages_have_the_voxels_of_the_model(uninterrupted: Path) -> None:
    end = content(uninterrupted / f"step={4 * STEPS}.ckpt")
    average, current = end["state_dict"], end["current_model_state"]
    assert torch.equal(average["model.voxel_cell"], current["model.voxel_cell"])
    assert average["model.shs"].shape == current["model.shs"].shape
    assert not torch.equal(average["model.sh0"], current["model.sh0"])


def trainer_config(**changes: Any) -> SVRasterTrainerConfig:
    return SVRasterTrainerConfig.preset("cpu", **{**TRAINING, **changes})


def test_the_classic_loop_takes_the_steps_that_lightning_takes(
    datasets: tuple[TrainingRays, Views], uninterrupted: Path
) -> None:
    config = trainer_config(max_steps=4 * STEPS, scheduler_type="none", use_ema=False)
    classic = SVRasterTrainer(MODEL, config, *datasets)
    classic.train()
    weights = content(uninterrupted / f"step={4 * STEPS}.ckpt")["current_model_state"]
    for name, value in classic.model.state_dict().items():
        assert torch.equal(value, weights[f"model.{name}"]), name


def test_both_loops_average_the_weights_alike(sphere: Path, tmp_path: Path) -> None:
    """Over the first ten steps, which all count, later ones, and voxels that change in between."""
    steps, epochs = 5, 5
    rays, views = training_datasets(load_scene(sphere), batches=steps)
    trainer_of((rays, views), tmp_path, epochs, config=lightning_config(ema_decay=0.6)).fit()
    lightning = content(tmp_path / "last.ckpt")
    config = trainer_config(max_steps=epochs * steps, steps_per_epoch=steps, ema_decay=0.6)
    classic = SVRasterTrainer(MODEL, config, rays, views)
    classic.train()
    assert classic.average is not None
    for name, value in classic.average.state_dict().items():
        assert torch.equal(value, lightning["state_dict"][f"model.{name}"]), name
    assert not torch.equal(classic.average.sh0, classic.model.sh0), "the check can fail"


def test_checkpoints_of_one_loop_open_in_the_other(
    datasets: tuple[TrainingRays, Views], uninterrupted: Path, tmp_path: Path
) -> None:
    config = trainer_config(max_steps=4 * STEPS, scheduler_type="none")
    classic = SVRasterTrainer(MODEL, config, *datasets)
    classic.load(uninterrupted / f"step={3 * STEPS}.ckpt")
    assert classic.step == 3 * STEPS
    classic.train()
    weights = content(uninterrupted / f"step={4 * STEPS}.ckpt")["current_model_state"]
    for name, value in classic.model.state_dict().items():
        assert torch.equal(value, weights[f"model.{name}"]), name
    path = tmp_path / "classic.ckpt"
    classic.save(path, {"val/psnr": classic.evaluate()})
    module = SVRasterLightningModule.load_from_checkpoint(path, weights_only=True)
    assert classic.average is not None
    for name, value in classic.average.state_dict().items():
        assert torch.equal(value, module.model.state_dict()[name]), name
    opened = load_checkpoint(path)
    assert opened.step == 4 * STEPS
    assert read_content(path)["hyper_parameters"]["metrics"] == {"val/psnr": classic.evaluate()}
    again = SVRasterTrainer(MODEL, config, *datasets)
    again.load(path)
    assert again.evaluate() == pytest.approx(classic.evaluate())


def test_a_checkpoint_of_another_model_is_refused(
    datasets: tuple[TrainingRays, Views], uninterrupted: Path
) -> None:
    other = SVRasterTrainer(dataclasses.replace(MODEL, sh_degree=0), trainer_config(max_steps=1), *datasets)
    with pytest.raises(CheckpointError, match="this trainer's model is"):
        other.load(uninterrupted / f"step={STEPS}.ckpt")


def test_nothing_to_see_or_to_evaluate_on_is_an_error(datasets: tuple[TrainingRays, Views]) -> None:
    beside = dataclasses.replace(MODEL, scene_bounds=(40.0, 40.0, 40.0, 41.0, 41.0, 41.0))
    with pytest.raises(TrainingError, match="is seen by the cameras as opaque"):
        SVRasterTrainer(beside, trainer_config(max_steps=1), *datasets)
    blind = SVRasterTrainer(MODEL, trainer_config(max_steps=1), datasets[0])
    with pytest.raises(ConfigError, match="val_dataset: got None"):
        blind.evaluate()
    with pytest.raises(ConfigError, match="max_steps: got 0"):
        SVRasterTrainerConfig(max_steps=0)


@pytest.mark.parametrize("preset", ["paper", "guide"])
def test_all_losses_train_in_bfloat16_contexts_too(preset: str, datasets: tuple[TrainingRays, Views]) -> None:
    changes = {**TRAINING, "distortion_start": 0.0, "square_side": 16, "rays_per_batch": 512}
    config = (
        SVRasterLightningConfig.preset("paper", **changes)
        if preset == "paper"
        else SVRasterLightningConfig(optimizer_type="adamw", gradient_clip_val=0.5, **changes)
    )
    module = train_svraster_lightning(
        model_config=MODEL,
        lightning_config=config,
        train_dataset=datasets[0],
        val_dataset=datasets[1],
        max_epochs=1,
        precision="bf16-mixed",
        enable_checkpointing=False,
        **QUIET,
    )
    assert all(bool(parameter.isfinite().all()) for parameter in module.model.parameters())
    assert module.model.density.dtype == torch.float32
    assert bool((module.model.sh0 != 0.0).any())


@pytest.fixture
def opaque_rays(datasets: tuple[TrainingRays, Views]) -> TrainingRays:
    """Of an unbounded scene."""
    rays = datasets[0].to(torch.device("cpu"))
    rays.rgba = rays.rgba.clone()
    rays.rgba[:, 3] = 255
    rays.unbounded, rays.points = True, torch.tensor([[0.1, 0.2, 0.9], [90.0, 0.0, 0.0]])
    return rays


def unbounded_trainer(rays: TrainingRays, resolution: int = 8, **changes: Any) -> SVRasterTrainer:
    model = dataclasses.replace(MODEL, outside_levels=2, base_resolution=resolution, max_octree_levels=6)
    model_config = model.for_scene(MODEL.scene_bounds, True)
    return SVRasterTrainer(model_config, trainer_config(max_steps=STEPS, **changes), rays, None)


def test_an_opaque_unbounded_scene_begins_with_what_the_cameras_see(opaque_rays: TrainingRays) -> None:
    trainer = unbounded_trainer(opaque_rays)
    model = trainer.model
    assert 0 < len(model.voxel_level) < 8**3 + 2 * (16**3 - 8**3) * 8
    raw = model.density.detach()
    at_point = raw[model.voxel_points[int(raw[model.voxel_points].mean(1).argmax())]]
    assert float(at_point.min()) > float(raw.median()) + 2.0, "half opaque at the sparse point alone"
    origins = torch.zeros(1, 3)
    with torch.no_grad():
        assert float(model.render(origins.t(), -torch.eye(3)[:, :1]).opacity) < 0.5, "all is almost clear"
    first = trainer.train_step()
    for _ in range(STEPS - 1):
        last = trainer.train_step()
    assert last.mse < first.mse


def test_voxels_before_the_cameras_of_an_unbounded_scene_are_no_finer(
    opaque_rays: TrainingRays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cameras stand outside of the box, where voxels begin as fine as cameras see them."""
    monkeypatch.setattr(unbounded_init, "RAYS", 2**13)
    trainers = [
        unbounded_trainer(opaque_rays, resolution=32, near_neighbors=neighbors) for neighbors in (0, 4)
    ]
    numbers = []
    for model in (trainer.model for trainer in trainers):
        center = model.root_low + model.root_side * (model.voxel_low + 0.5 / model.voxel_scale).t()
        before = torch.cdist(center, opaque_rays.origins).amin(1) < 0.5
        numbers.append(int(before.sum()))
    assert numbers[1] < 0.5 * numbers[0]
    all_alike, trainer = trainers
    near = near_distance(opaque_rays.origins, 4)
    assert trainer._training.rays.near == near > 0.0 == all_alike._training.rays.near
    trainer.save(tmp_path / "near.ckpt")
    all_alike.load(tmp_path / "near.ckpt")
    assert all_alike._training.rays.near == near, "goes on as it began"


def test_densities_of_unbounded_scenes_have_a_smoothing_of_their_own(opaque_rays: TrainingRays) -> None:
    found = []
    for weight in (0.0, 1e-3):
        trainer = unbounded_trainer(
            opaque_rays, unbounded_total_variation_weight=weight, total_variation_weight=1e3
        )
        found.append(float(trainer.train_step().loss.detach()))
    start = unbounded_trainer(opaque_rays).model
    variation = float(total_variation(start.density, start.voxel_points).detach())
    assert found[1] - found[0] == pytest.approx(1e-3 * variation, rel=1e-3)
    assert variation > 1.0


def test_the_data_module_gives_squares_of_rays(datasets: tuple[TrainingRays, Views], tmp_path: Path) -> None:
    trainer = trainer_of(datasets, tmp_path, 1)
    assert isinstance(trainer.data, SceneDataModule)
    assert trainer.module.square_side == 8
