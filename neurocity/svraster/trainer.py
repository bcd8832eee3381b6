"""Training of SVRaster without Lightning: the classic loop, for those who want to see it and change it."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from neurocity.checkpoint import hyper_parameters, read_content, write_content
from neurocity.data.datasets import TrainingRays, Views
from neurocity.data.scene_info import scene_info
from neurocity.errors import CheckpointError, ConfigError, TrainingError
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.training.config import SVRasterTrainingConfig
from neurocity.svraster.training.steps import Objective, VoxelTraining, parameter_groups
from neurocity.training.metrics import psnr
from neurocity.training.optimization import (
    build_optimizer,
    kept_average,
    learning_rate_factor,
    update_average,
)
from neurocity.training.views import on_device, render_view


@dataclass(frozen=True, kw_only=True)
class SVRasterTrainerConfig(SVRasterTrainingConfig):
    """Training of SVRaster without Lightning."""

    max_steps: int = 20_000
    """Optimiser steps of the training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "max_steps")
        if self.exposure:
            raise ConfigError(
                "exposure: got True, expected False; SVRasterLightningModule learns it, this loop does not"
            )


class SVRasterTrainer:
    """Trains an `SVRaster` on one device, as `SVRasterLightningModule` does; checkpoints fit both.

    train_dataset, val_dataset: `neurocity.data.datasets.training_datasets` makes both of a scene.
    model: with the weights that training goes on with. average: with their moving average, or None; what
    `evaluate` and checkpoints take where there is one. step: optimiser steps taken.
    """

    def __init__(
        self,
        model_config: SVRasterConfig,
        config: SVRasterTrainerConfig,
        train_dataset: TrainingRays,
        val_dataset: Views | None = None,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        self.rays = train_dataset.to(self.device)
        self.views = val_dataset
        self.scene = scene_info(train_dataset, val_dataset, model_config.scene_bounds)
        self.step = 0
        torch.manual_seed(config.seed)
        self.model = SVRaster(model_config).to(self.device)
        self.average = copy.deepcopy(self.model) if config.use_ema else None
        self._prepare()
        self._training.start(self.rays, self.optimizer, self._averages())

    def train(self, on_epoch: Callable[["SVRasterTrainer"], None] | None = None) -> SVRaster:
        """Take the steps that are left; returns the trained model in eval mode.

        on_epoch: called after every `steps_per_epoch` steps, and at the end.
        Raises TrainingError when the loss is not finite, or no voxel is left.
        """
        while self.step < self.config.max_steps:
            self.train_step()
            if on_epoch and (
                self.step % self.config.steps_per_epoch == 0 or self.step == self.config.max_steps
            ):
                on_epoch(self)
        return (self.average or self.model).eval()

    def train_step(self) -> Objective:
        """One step of the optimiser, and what is due after it."""
        config = self.config
        batch = self.rays.batch(self.step, config.rays_per_batch, config.square_side)
        factor = learning_rate_factor(config, step=self.step, progress=self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        result = self._training.objective(batch, batch["noise"][:, :3], self.progress)
        if not math.isfinite(result.loss.item()):
            raise TrainingError(
                f"the loss is {result.loss.item()} at step {self.step}. A smaller learning_rate or "
                "gradient_clip_val may help"
            )
        self.optimizer.zero_grad()
        result.loss.backward()
        if config.gradient_clip_val is not None:
            by_norm = config.gradient_clip_algorithm == "norm"
            clip = torch.nn.utils.clip_grad_norm_ if by_norm else torch.nn.utils.clip_grad_value_
            clip(self.model.parameters(), config.gradient_clip_val)
        self.optimizer.step()
        self.step += 1
        kept = kept_average(self.step, config.ema_decay)
        if self.average is not None and kept is not None:
            with torch.no_grad():
                update_average([*self.average.parameters()], [*self.model.parameters()], kept)
        epoch, rest = divmod(self.step, config.steps_per_epoch)
        if rest == 0:
            self._training.adapt(epoch, self.progress, self.optimizer, self._averages())
        return result

    @property
    def progress(self) -> float:
        """Share of training that is done, in [0, 1]."""
        return self.step / self.config.max_steps

    def evaluate(self) -> float:
        """Mean PSNR of the validation views, dB. Raises ConfigError without a `val_dataset`."""
        if self.views is None:
            raise ConfigError("val_dataset: got None, expected the views to evaluate on")
        model = (self.average or self.model).eval()
        views = (on_device(self.views[index], self.device) for index in range(len(self.views)))
        return fmean(psnr(*render_view(model, view, self.scene.background)) for view in views)

    def save(self, path: str | Path, metrics: dict[str, float] | None = None) -> None:
        """Write a checkpoint, which `load`, `SVRasterLightningModule` and `neurocity-export` open.

        metrics: figures to note in it, by name. Raises TrainingError when the file cannot be written.
        """
        record = hyper_parameters("svraster", self.model.config, self.config, self.scene)
        del record["lightning_config"]["max_steps"]  # Lightning's configuration has none
        content = {
            # Prefixed as the state of a LightningModule that holds the model.
            "state_dict": (self.average or self.model).state_dict(prefix="model."),
            "current_model_state": self.model.state_dict(prefix="model."),
            "optimizer_states": [self.optimizer.state_dict()],
            "global_step": self.step,
            "epoch": self.step // self.config.steps_per_epoch,
            "rays_per_batch": self.config.rays_per_batch,
            "voxel_training": self._training.state(),
            "hyper_parameters": {**record, "metrics": metrics or {}},
            # Lightning opens no checkpoint without it.
            "pytorch-lightning_version": version("pytorch-lightning"),
        }
        write_content(content, Path(path))

    def load(self, path: str | Path) -> None:
        """Go on from a checkpoint that `save` or Lightning's training wrote.

        Raises CheckpointError for a file that is no checkpoint, or is one of another model.
        """
        content = read_content(Path(path))
        record = content["hyper_parameters"]
        if record["family"] != "svraster" or record["model_config"] != asdict(self.model.config):
            raise CheckpointError(
                f"{path}: is of {record['family']} with {record['model_config']}; this trainer's model is "
                f"{self.model.config}"
            )
        averaged = content["state_dict"]
        if any(name.startswith("exposure.") for name in averaged):
            raise CheckpointError(f"{path}: was trained with exposure, which this loop does not learn")
        _load(self.model, content.get("current_model_state", averaged))
        if self.average is not None:
            _load(self.average, averaged)
        self.step = int(content["global_step"])
        self._prepare()
        self.optimizer.load_state_dict(content["optimizer_states"][0])
        if "voxel_training" in content:
            self._training.load(content["voxel_training"])

    def _prepare(self) -> None:
        """What belongs to the voxels that the model has now."""
        config = self.config
        self._training = VoxelTraining(
            self.model, config, squares=config.square_side, transparent=self.scene.background is not None
        )
        self.optimizer = build_optimizer(config, parameter_groups(self.model, config))
        for group in self.optimizer.param_groups:
            group["initial_lr"] = group["lr"]

    def _averages(self) -> list[SVRaster]:
        return [] if self.average is None else [self.average]


def _load(model: SVRaster, state: dict[str, Tensor]) -> None:
    """Take the state of a LightningModule that holds such a model."""
    torch.nn.ModuleDict({"model": model}).load_state_dict(state)
