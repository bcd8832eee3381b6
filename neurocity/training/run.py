"""A training run: scene in, checkpoints, logs and pictures out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from neurocity.checkpoint import read_content
from neurocity.data.datasets import TrainingRays, Views, training_datasets
from neurocity.data.scene import Scene
from neurocity.data.scene_info import scene_info
from neurocity.device import check_device
from neurocity.errors import ConfigError, MissingDependencyError
from neurocity.families import Family
from neurocity.training.budget import TrainingBudget
from neurocity.training.callbacks import ProgressLines, RenderingCallback
from neurocity.training.config import TrainingConfig
from neurocity.training.data import SceneDataModule
from neurocity.training.module import RadianceFieldModule
from neurocity.training.options import DataOptions, RunOptions
from neurocity.training.run_config import write_run_config
from neurocity.training.trainer import build_trainer


def train(
    family: Family,
    scene: Scene,
    model_config: Any,
    *,
    config: TrainingConfig,
    options: RunOptions,
    data: DataOptions | None = None,
    datasets: tuple[TrainingRays, Views] | None = None,
    callbacks: Sequence[Callback] = (),
    **lightning: Any,
) -> Path:
    """Train a family on a scene and return the last checkpoint, `<out>/checkpoints/last.ckpt`.

    Beside it stand the three best by `val/psnr`. A resumed run equals one that was never stopped. A longer
    budget lengthens it, and stretches the learning rate's schedule to the new end.

    data: what the scene was loaded by; when given, `<out>/config.yaml` says all that the run was asked for.
    datasets: training rays and held-out views, where they are not all of the scene's.
    callbacks: beside those that every run has. lightning: further options of `pl.Trainer`.

    Raises ConfigError, DataError, TrainingError (loss not finite, disk full), TrainingInterruptedError after
    SIGINT and SIGTERM, CheckpointError when `resume` is no checkpoint, and MissingDependencyError when a
    device or package is asked for and absent.
    """
    _check_box(model_config.scene_bounds, scene)
    gpus = _gpus(options)
    budget = TrainingBudget(max_steps=options.max_steps, max_minutes=options.max_minutes)
    _prepare_folder(options)
    if data is not None and is_first_process():
        write_run_config(family.name, data, model=model_config, training=config, options=options)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    rays, views = datasets or training_datasets(scene, seed=config.seed, batches=config.steps_per_epoch)
    info = scene_info(rays, views, model_config.scene_bounds)
    module = family.lightning_module_class()(model_config, config, info)
    if options.resume is not None:
        _check_same_model(options.resume, module, scene)
    trainer = build_trainer(
        module,
        SceneDataModule(rays, views),
        gpus=gpus,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        precision=options.precision,
        max_steps=-1,
        max_epochs=-1,
        default_root_dir=options.out,
        checkpoint_dir=options.last_checkpoint.parent,
        callbacks=[budget, *_callbacks(options), *callbacks],
        logger=_logger(options, family.name),
        enable_progress_bar=options.progress == "bar",
        **lightning,
    )
    try:
        trainer.fit(ckpt_path=options.resume, weights_only=True)
    finally:
        if isinstance(trainer.logger, WandbLogger):
            # Or else the next run of this process would go on with this one.
            trainer.logger.experiment.finish()
    return options.last_checkpoint


def _prepare_folder(options: RunOptions) -> None:
    """Make the folder of a run. Raises ConfigError when it cannot be written, or holds another run."""
    checkpoints = options.last_checkpoint.parent
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
        if options.resume is None and any(checkpoints.glob("*.ckpt")):
            raise ConfigError(
                f"{checkpoints} already holds checkpoints; choose another folder, or resume with "
                f"--resume {options.last_checkpoint}"
            )
        (checkpoints / ".partial").touch()
        (checkpoints / ".partial").unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"out: {options.out} cannot be written to ({error.strerror})") from None


def is_first_process() -> bool:
    """Whether this process is the one of several that writes files and speaks."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _check_box(box: Sequence[float], scene: Scene) -> None:
    """Raises ConfigError for a model whose box lies apart from the scene's: in other coordinates."""
    lows, highs = zip(box[:3], scene.bounds[:3], strict=True), zip(box[3:], scene.bounds[3:], strict=True)
    if any(max(low) >= min(high) for low, high in zip(lows, highs, strict=True)):
        raise ConfigError(
            f"model.scene_bounds: got {list(box)}, which does not meet the scene's box {list(scene.bounds)}; "
            f"both are relative to the scene's origin {list(scene.origin)}"
        )


def _check_same_model(resume: Path, module: RadianceFieldModule, scene: Scene) -> None:
    """Raises CheckpointError for a file that is no checkpoint, ConfigError for one of another model."""
    theirs = read_content(resume)["hyper_parameters"]
    their_origin = tuple((theirs["scene"] or {}).get("origin", (0.0, 0.0, 0.0)))
    if their_origin != scene.origin:
        raise ConfigError(
            f"resume: {resume} is of a scene with the origin {list(their_origin)}, the data now have "
            f"{list(scene.origin)}; train anew, or on the data as they were"
        )
    if theirs["family"] != module.family:
        raise ConfigError(f"resume: {resume} is of family {theirs['family']}, not {module.family}")
    before, now = theirs["model_config"], module.hparams["model_config"]
    changed = [
        f"{name} is {now[name]}, was {before.get(name)}" for name in now if now[name] != before.get(name)
    ]
    if changed:
        raise ConfigError(f"resume: {resume} has another model: {'; '.join(changed)}")


def _gpus(options: RunOptions) -> int:
    """How many GPUs the device stands for; never a silent other device."""
    if options.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: got {options.device!r}, expected auto, cpu or cuda")
    check_device(options.device)
    on_cpu = options.device == "cpu" or not torch.cuda.is_available()
    return 0 if on_cpu else options.devices


def _callbacks(options: RunOptions) -> list[Callback]:
    callbacks: list[Callback] = [RenderingCallback(options.out / "validation")]
    if options.early_stopping_patience is not None:
        callbacks.append(
            EarlyStopping(monitor="val/psnr", mode="max", patience=options.early_stopping_patience)
        )
    if options.progress == "lines":
        callbacks.append(ProgressLines())
    return callbacks


def _logger(options: RunOptions, family: str) -> Logger:
    if options.logger == "tensorboard":
        return TensorBoardLogger(options.out, name="tensorboard", version="")
    if options.logger != "wandb":
        raise ConfigError(f"logger: got {options.logger!r}, expected tensorboard or wandb")
    try:
        return WandbLogger(
            project=f"neurocity-{family.replace('_', '-')}", name=options.out.name, save_dir=options.out
        )
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "logger wandb: the package wandb is missing: pip install 'neurocity[wandb]'"
        ) from error
