"""Training in one call, for every family."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from neurocity.data.datasets import TrainingRays, Views
from neurocity.errors import ConfigError
from neurocity.families import FAMILIES, Family, find_family
from neurocity.training.config import TrainingConfig
from neurocity.training.data import SceneDataModule
from neurocity.training.module import RadianceFieldModule
from neurocity.training.trainer import ConfiguredTrainer, build_trainer


def train_any_model(
    family: str,
    *,
    train_dataset: TrainingRays,
    val_dataset: Views | None,
    model_config: Any = None,
    lightning_config: Any = None,
    gpus: int = 1,
    resume_from: str | Path | None = None,
    **options: Any,
) -> RadianceFieldModule:
    """Train a model and return its module in eval mode, with the averaged weights where it keeps them.

    family: a name of `neurocity.families.FAMILIES`. train_dataset, val_dataset: `training_datasets` makes
    both of a scene. model_config, lightning_config: the family's; `lightning_config.model_config` may stand
    in for the first. resume_from: a checkpoint to go on from, exactly. gpus, options: as
    `create_lightning_trainer` takes them.
    Raises ConfigError, DataError, TrainingError, and MissingDependencyError when GPUs are asked for that are
    not there.
    """
    kind = find_family(family).lightning_config_class()
    if lightning_config is None:
        lightning_config = kind()
    elif not isinstance(lightning_config, kind):
        raise ConfigError(
            f"lightning_config: got a {type(lightning_config).__name__}, expected a {kind.__name__} for "
            f"{family}"
        )
    options = {"experiment_name": family, **options, "model_config": model_config, "gpus": gpus}
    trainer = create_lightning_trainer(lightning_config, train_dataset, val_dataset, **options)
    trainer.fit(ckpt_path=resume_from)
    return trainer.module.eval()


def create_lightning_trainer(
    config: TrainingConfig,
    train_dataset: TrainingRays,
    val_dataset: Views | None,
    *,
    experiment_name: str = "exp_0",
    max_epochs: int = 100,
    model_config: Any = None,
    gpus: int | None = None,
    **options: Any,
) -> ConfiguredTrainer:
    """A trainer whose `fit()` trains a model of `config`'s family on the datasets.

    It logs to `logs/<experiment_name>/version_N`, with the checkpoints beside. An epoch has as many
    steps as the training dataset has batches. gpus: how many; 0 trains on the CPU, None on a GPU where
    there is one.
    options: `logger`, `callbacks`, `checkpoint_dir`, and whatever else `pl.Trainer` takes (`precision`,
    `strategy`, `devices`, `num_nodes`, `profiler`, ...).
    Raises ConfigError, DataError, and MissingDependencyError when GPUs are asked for that are not there.
    """
    family = _family_of(config)
    for name, dataset, kind in (("train", train_dataset, TrainingRays), ("val", val_dataset, Views)):
        if not isinstance(dataset, kind) and not (dataset is None and name == "val"):
            raise ConfigError(
                f"{name}_dataset: got a {type(dataset).__name__}, expected {kind.__name__}, as "
                "neurocity.data.datasets.training_datasets makes it; for other data make a pl.Trainer"
            )
    pl.seed_everything(config.seed, workers=True, verbose=False)
    module = family.lightning_module_class()(model_config, config)
    options = {"logger": TensorBoardLogger("logs", name=experiment_name), **options}
    if gpus is None:
        gpus = min(torch.cuda.device_count(), 1)
    data = SceneDataModule(train_dataset, val_dataset)
    return build_trainer(module, data, gpus=gpus, max_epochs=max_epochs, **options)


def _family_of(config: TrainingConfig) -> Family:
    for family in FAMILIES.values():
        if isinstance(config, family.lightning_config_class()):
            return family
    known = ", ".join(family.lightning_config_class().__name__ for family in FAMILIES.values())
    raise ConfigError(f"config: got a {type(config).__name__}, expected one of {known}")
