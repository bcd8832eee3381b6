"""Sweeps: one training for each of several configurations, and which was best."""

import csv
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from neurocity.data.datasets import TrainingRays, Views
from neurocity.errors import ConfigError, TrainingInterruptedError
from neurocity.training.api import create_lightning_trainer
from neurocity.training.budget import TrainingClock
from neurocity.training.config import TrainingConfig

SUMMARY = "summary.csv"

_Config = TypeVar("_Config", bound=TrainingConfig)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What became of one configuration.

    psnr: in dB, of the validation that was best by it. ssim: of the last validation. Both are NaN when it
    failed. steps: of the optimiser. seconds: of training. checkpoint: the best one. error: why it failed, or
    empty.
    """

    name: str
    config: TrainingConfig
    psnr: float = math.nan
    ssim: float = math.nan
    steps: int = 0
    seconds: float = 0.0
    checkpoint: str = ""
    error: str = ""


def grid(base: _Config, values: Mapping[str, Sequence[Any]]) -> list[_Config]:
    """`base` with every combination of the values of some fields, the last field changing fastest.

    Raises ConfigError for a field that the configuration does not have or a value that it refuses.
    """
    known = [item.name for item in fields(base)]
    if unknown := [name for name in values if name not in known]:
        raise ConfigError(
            f"grid: {type(base).__name__} has no {', '.join(unknown)}; it has {', '.join(known)}"
        )
    combinations = itertools.product(*values.values())
    return [replace(base, **dict(zip(values, combination, strict=True))) for combination in combinations]


def run_sweep(
    configs: Iterable[TrainingConfig],
    train_dataset: TrainingRays,
    val_dataset: Views,
    *,
    out: Path | str,
    max_epochs: int = 100,
    show: bool = True,
    **options: Any,
) -> list[Experiment]:
    """Train each configuration and return the experiments, best `val/psnr` first.

    configs: of any families; `grid` makes them. out: new folder; experiment `exp_N` logs and keeps its
    checkpoints in a folder of that name, and `summary.csv` is written after each. show: a bar, and the table
    at the end. options: as `create_lightning_trainer` takes them (`gpus`, `model_config`, `precision`, ...).

    An experiment that fails is a row with its error, and the sweep goes on; Ctrl-C ends it.
    Raises ConfigError when there is nothing to train or `out` holds another sweep.
    """
    configs, out = list(configs), Path(out)
    if not configs:
        raise ConfigError("configs: got none, expected at least one configuration")
    if (out / SUMMARY).exists():
        raise ConfigError(f"out: {out} already holds a sweep; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    experiments: list[Experiment] = []
    with Progress(console=Console(stderr=True), disable=not show) as progress:
        task = progress.add_task("experiments", total=len(configs))
        for index, config in enumerate(configs):
            name = f"exp_{index}"
            progress.update(task, description=f"{name} of {len(configs)}")
            settings = {"max_epochs": max_epochs, **options, "enable_progress_bar": False}
            try:
                settings["logger"] = TensorBoardLogger(out, name=name, version="")
                settings["checkpoint_dir"] = out / name / "checkpoints"
                trainer = create_lightning_trainer(config, train_dataset, val_dataset, **settings)
                trainer.fit()
                experiment = _outcome(name, config, trainer)
            except TrainingInterruptedError:
                raise
            except Exception as error:
                # Out of memory, a loss that is not finite, a configuration that no model can have: the others
                # are worth having.
                experiment = Experiment(name=name, config=config, error=f"{type(error).__name__}: {error}")
            experiments.append(experiment)
            experiments.sort(key=lambda it: -math.inf if math.isnan(it.psnr) else it.psnr, reverse=True)
            rows = _rows(experiments)
            with (out / SUMMARY).open("w", newline="") as file:
                csv.writer(file).writerows([rows[0], *(row.values() for row in rows)])
            progress.advance(task)
    if show:
        table = Table(*(name for name in rows[0] if name != "checkpoint"))
        for row in rows:
            table.add_row(*(text for name, text in row.items() if name != "checkpoint"))
        Console().print(table)
    return experiments


def _outcome(name: str, config: TrainingConfig, trainer: pl.Trainer) -> Experiment:
    keeper = trainer.checkpoint_callback
    clocks = [callback for callback in trainer.callbacks if isinstance(callback, TrainingClock)]  # type: ignore[attr-defined]
    assert isinstance(keeper, ModelCheckpoint), "build_trainer makes one"
    score = keeper.best_model_score
    return Experiment(
        name=name,
        config=config,
        psnr=math.nan if score is None else float(score),
        ssim=float(trainer.callback_metrics.get("val/ssim", math.nan)),
        steps=trainer.global_step,
        seconds=clocks[0].seconds,
        checkpoint=keeper.best_model_path,
    )


def _rows(experiments: Sequence[Experiment]) -> list[dict[str, str]]:
    """By column, what tells each experiment's configuration apart, and its figures."""
    configs = [experiment.config for experiment in experiments]
    names = dict.fromkeys(["config", *(item.name for config in configs for item in fields(config))])
    varied = [name for name in names if len({_value(config, name) for config in configs}) > 1]
    return [
        {
            "experiment": experiment.name,
            **{name: _value(experiment.config, name) for name in varied},
            "psnr": f"{experiment.psnr:.2f}",
            "ssim": f"{experiment.ssim:.4f}",
            "steps": str(experiment.steps),
            "seconds": f"{experiment.seconds:.1f}",
            "checkpoint": experiment.checkpoint,
            "error": experiment.error,
        }
        for experiment in experiments
    ]


def _value(config: TrainingConfig, name: str) -> str:
    return type(config).__name__ if name == "config" else str(getattr(config, name, ""))
