"""The training guide's snippets, one by one, for every family on a tiny scene."""

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.profilers import PyTorchProfiler
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_families import tiny_model, tiny_training
from torch.utils.data import DataLoader
from training_states import differences, state

from neurocity.checkpoint import load_checkpoint
from neurocity.data.datasets import TrainingRays, Views, training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError, MissingDependencyError
from neurocity.families import FAMILIES
from neurocity.svraster.core import SVRasterConfig
from neurocity.svraster.lightning_trainer import SVRasterLightningConfig
from neurocity.training.api import train_any_model
from neurocity.training.callbacks import RenderingCallback, VoxelStatisticsCallback

STEPS = 4

pytestmark = [
    # What Lightning and torch say of so small a machine and run, and of TorchScript's end.
    pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker processes:UserWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
    pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The PyTorch Profiler default schedule will be overridden:UserWarning"),
    pytest.mark.filterwarnings(
        "ignore:Precision bf16-mixed is not supported by the model summary:UserWarning"
    ),
    pytest.mark.filterwarnings("ignore:The dirpath has changed from:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Steps are too small to gain from several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def datasets(sphere: Path) -> tuple[TrainingRays, Views]:
    return training_datasets(load_scene(sphere), batches=STEPS, rays_per_batch=64)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's paths are relative."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def part(family: str, name: str) -> Any:
    """What a guide's reader imports from the family's `lightning_trainer`."""
    return getattr(importlib.import_module(f"neurocity.{family}.lightning_trainer"), name)


def module_of(family: str, **changes: Any) -> pl.LightningModule:
    pl.seed_everything(0, verbose=False)
    kind = FAMILIES[family].lightning_module_class()
    return kind(model_config=tiny_model(family), lightning_config=tiny_training(family, **changes))


def loaders(datasets: tuple[TrainingRays, Views], **options: Any) -> tuple[DataLoader, DataLoader]:
    train, val = (DataLoader(dataset, batch_size=1, **options) for dataset in datasets)
    return train, val


def trainer(**options: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(**{"accelerator": "cpu", "max_epochs": 1, **quiet, **options})


def without_checkpoints(**options: Any) -> pl.Trainer:
    return trainer(enable_checkpointing=False, **options)


def scalars(folder: Path, name: str) -> list[float]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def rays(count: int = 37) -> tuple[torch.Tensor, torch.Tensor]:
    targets = torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    origins = torch.tensor([[0.2, -4.0, 0.3]]).repeat(count, 1)
    return origins, torch.nn.functional.normalize(targets - origins, dim=1)


def test_the_guides_own_configuration() -> None:
    model_config = SVRasterConfig(
        max_octree_levels=12, base_resolution=64, scene_bounds=(-2.0, -2.0, -2.0, 2.0, 2.0, 2.0)
    )
    given: dict[str, Any] = {
        "model_config": model_config,
        "learning_rate": 1e-3,
        "weight_decay": 1e-5,
        "optimizer_type": "adamw",
        "scheduler_type": "cosine",
        "gradient_clip_val": 0.5,
        "gradient_clip_algorithm": "norm",
        "use_ema": True,
        "ema_decay": 0.999,
        "enable_subdivision": True,
        "subdivision_start_epoch": 10,
        "subdivision_interval": 5,
        "subdivision_threshold": 0.01,
        "enable_pruning": True,
        "pruning_start_epoch": 20,
        "pruning_interval": 10,
        "pruning_threshold": 0.001,
    }
    lightning_config = SVRasterLightningConfig(**given)
    assert {name: getattr(lightning_config, name) for name in given} == given


def test_configuration_and_training_in_one_call(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    train_in_one_call = part(family, f"train_{family}_lightning")
    given = {
        "model_config": tiny_model(family),
        "lightning_config": tiny_training(
            family,
            learning_rate=1e-3,
            weight_decay=1e-5,
            optimizer_type="adamw",
            scheduler_type="cosine",
            gradient_clip_val=0.5,
            gradient_clip_algorithm="norm",
            use_ema=True,
            ema_decay=0.999,
        ),
        "train_dataset": datasets[0],
        "val_dataset": datasets[1],
    }
    trained = train_in_one_call(**given, max_epochs=2, gpus=0, enable_progress_bar=False)
    assert not trained.training
    assert trained.validation_metrics["val/psnr"] > 5.0
    (last,) = Path("logs").rglob("last.ckpt")
    saved = load_checkpoint(last)
    assert (saved.family, saved.step) == (family, 2 * STEPS)
    assert len(saved.info.views) == len(datasets[1])
    weights = torch.load(last, weights_only=True)["state_dict"]
    assert differences(weights, dict(trained.state_dict())) == [], "they are the averaged ones"
    if not torch.cuda.is_available():
        with pytest.raises(MissingDependencyError, match="gpus=0 trains on the CPU"):
            train_in_one_call(**given, max_epochs=1, gpus=1)


def test_the_single_entry_for_all(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    trained = train_any_model(
        family,
        lightning_config=tiny_training(family),
        train_dataset=datasets[0],
        val_dataset=datasets[1],
        max_epochs=1,
        gpus=0,
        logger=False,
        enable_checkpointing=False,
        callbacks=[],
        enable_progress_bar=False,
    )
    assert isinstance(trained, FAMILIES[family].lightning_module_class())


def test_a_hand_made_trainer_with_everything(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    best = ModelCheckpoint(
        dirpath="checkpoints",
        monitor="val/psnr",
        mode="max",
        save_top_k=3,
        save_last=True,
        filename="best-{epoch:02d}-{val/psnr:.3f}",
    )
    voxels = [VoxelStatisticsCallback(every_n_epochs=1)] if family == "svraster" else []
    hand_made = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=1,
        num_nodes=1,
        strategy="auto",
        precision="bf16-mixed",
        sync_batchnorm=True,
        callbacks=[
            best,
            EarlyStopping(monitor="val/psnr", patience=20, mode="max"),
            LearningRateMonitor(logging_interval="step"),
            RenderingCallback("pictures"),
            *voxels,
        ],
        logger=TensorBoardLogger("logs", name="lego", version="v1"),
        log_every_n_steps=2,
        profiler=PyTorchProfiler(dirpath="profiles", filename="profile", export_to_chrome=True),
        enable_model_summary=True,
        enable_progress_bar=False,
    )
    many = {"num_workers": 8, "pin_memory": True, "persistent_workers": True}
    hand_made.fit(module_of(family), *loaders(datasets, **many))
    assert hand_made.global_step == 2 * STEPS
    logs = Path("logs/lego/v1")
    logged = ["train/loss", "train/psnr", "val/loss", "val/psnr", "val/ssim", "train/gradient_norm"]
    for name in (*logged, "train/seconds"):
        assert all(np.isfinite(scalars(logs, name))), name
        assert scalars(logs, name), name
    assert min(scalars(logs, "train/gradient_norm")) > 0.0
    assert any(name.startswith("lr-Adam") for name in _names(logs)), "the learning rate"
    assert any(name.startswith("voxel_stats/") for name in _names(logs)) == (family == "svraster")
    assert list(Path("profiles").iterdir())
    with Image.open(next(Path("pictures").iterdir())) as picture:
        assert picture.height == datasets[1].frames[0].camera.height
    loaded = FAMILIES[family].lightning_module_class().load_from_checkpoint(best.best_model_path)
    assert loaded.scene is not None
    assert loaded.scene.dataset_fingerprint == datasets[0].scene.fingerprint()


def _names(logs: Path) -> list[str]:
    events = EventAccumulator(str(logs))
    events.Reload()
    return events.Tags()["scalars"]


@pytest.mark.parametrize(
    "options",
    [
        {"fast_dev_run": True},
        {"limit_train_batches": 0.5, "limit_val_batches": 0.5, "precision": "bf16-mixed"},
    ],
    ids=["fast_dev_run", "limits"],
)
def test_short_runs(options: dict[str, Any], family: str, datasets: tuple[TrainingRays, Views]) -> None:
    short = without_checkpoints(**options)
    short.fit(module_of(family), *loaders(datasets))
    assert short.global_step == (1 if "fast_dev_run" in options else STEPS // 2)


def test_training_resumes_exactly(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    def fit(folder: str, resume: str | None = None) -> Path:
        keep = ModelCheckpoint(dirpath=folder, filename="{epoch}", save_top_k=-1, save_last=True)
        trainer(max_epochs=3, callbacks=[keep]).fit(module_of(family), *loaders(datasets), ckpt_path=resume)
        return Path(folder) / "last.ckpt"

    whole = fit("whole")
    resumed = fit("resumed", "whole/epoch=0.ckpt")
    assert differences(state(whole), state(resumed)) == []


def test_sweeps(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    create_lightning_trainer = part(family, "create_lightning_trainer")
    for number, (rate, optimizer) in enumerate([(1e-3, "adam"), (1e-2, "adamw")]):
        config = tiny_training(family, learning_rate=rate, optimizer_type=optimizer)
        made = create_lightning_trainer(
            config,
            datasets[0],
            datasets[1],
            experiment_name=f"exp_{number}",
            max_epochs=1,
            enable_progress_bar=False,
        )
        if number == 0:
            made.fit()
        else:
            made.fit(module_of(family, learning_rate=rate, optimizer_type=optimizer))
        assert float(made.callback_metrics["val/psnr"]) > 0.0
        assert Path(f"logs/exp_{number}/version_0/checkpoints/last.ckpt").is_file()


def test_a_compiled_module_trains_and_renders(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    plain, module = module_of(family), module_of(family)
    without_checkpoints().fit(plain, *loaders(datasets))
    without_checkpoints().fit(torch.compile(module, backend="eager"), *loaders(datasets))
    assert differences(dict(plain.state_dict()), dict(module.state_dict())) == []
    with torch.no_grad():
        expected = plain.eval()(*rays())
        rendered = torch.compile(plain, backend="eager")(*rays())
    for name, value, other in zip(expected._fields, expected, rendered, strict=True):
        torch.testing.assert_close(other, value, atol=1e-6, rtol=1e-6, msg=name)


def best_module(family: str, datasets: tuple[TrainingRays, Views]) -> Any:
    """A module in eval mode, from the checkpoint that a training kept."""
    keep = ModelCheckpoint(dirpath="checkpoints", filename="best")
    trainer(callbacks=[keep]).fit(module_of(family), *loaders(datasets))
    module = FAMILIES[family].lightning_module_class().load_from_checkpoint("checkpoints/best.ckpt")
    module.eval()
    return module


def test_deployment_from_python(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    module = best_module(family, datasets)
    core_model = module.model
    ray_origins, ray_directions = rays()
    with torch.no_grad():
        outputs = core_model(ray_origins, ray_directions)
    assert float(outputs.opacity.max()) > 0.0
    torch.jit.script(module.model).save("model.pt")
    with torch.no_grad():
        scripted = torch.jit.load("model.pt")(ray_origins, ray_directions)
    for name, value, script in zip(outputs._fields, outputs, scripted, strict=True):
        torch.testing.assert_close(script, value, atol=1e-5, rtol=1e-5, msg=name)


def test_deployment_with_onnx_from_python(datasets: tuple[TrainingRays, Views]) -> None:
    """The call is that of `test_every_family.test_it_survives_onnx`, which every family passes."""
    module = best_module("instant_ngp", datasets)
    ray_origins, ray_directions = rays()
    with torch.no_grad():
        outputs = module.model(ray_origins, ray_directions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module.model, (ray_origins, ray_directions), "model.onnx")
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    feed = dict(
        zip(
            [entry.name for entry in session.get_inputs()],
            (ray_origins.numpy(), ray_directions.numpy()),
            strict=True,
        )
    )
    for name, value, onnx in zip(outputs._fields, outputs, session.run(None, feed), strict=True):
        torch.testing.assert_close(torch.from_numpy(onnx), value, atol=1e-4, rtol=1e-4, msg=name)


def test_weights_and_biases(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    pytest.importorskip("wandb", reason="needs the package wandb: pip install 'neurocity[wandb]'")
    from pytorch_lightning.loggers import WandbLogger  # noqa: PLC0415, an extra

    logger = WandbLogger(project=f"neurocity-{family}", name="tiny", tags=["test"], offline=True)
    without_checkpoints(logger=logger, log_every_n_steps=1).fit(module_of(family), *loaders(datasets))
    assert float(logger.experiment.summary["val/psnr"]) > 0.0
    logger.experiment.finish()


def test_contradicting_configurations_are_refused(family: str, datasets: tuple[TrainingRays, Views]) -> None:
    kind = FAMILIES[family].lightning_module_class()
    other = FAMILIES[family].config_class().preset("paper")
    with pytest.raises(ConfigError, match="but the lightning_config holds"):
        kind(model_config=other, lightning_config=tiny_training(family))
    with pytest.raises(ConfigError, match="model_config: got none"):
        kind()
    with pytest.raises(ConfigError, match="float16 trains on GPUs only"):
        part(family, "create_lightning_trainer")(
            tiny_training(family), *datasets, gpus=0, precision="16-mixed"
        )
