"""The LightningModule that all families share: optimiser, schedule, validation, checkpoint contents."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, LearningRateMonitor, WeightAveraging
from pytorch_lightning.plugins.precision import MixedPrecision
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from neurocity.checkpoint import hyper_parameters
from neurocity.contract import SceneInfo, scene_info_from_dict, to_dict
from neurocity.data.datasets import BatchIndex, RayBatch, TrainingRays, ViewBatch, Views, uncollated
from neurocity.data.scene_info import scene_info
from neurocity.errors import ConfigError, TrainingError
from neurocity.families import find_family
from neurocity.rendering.marched_field import MarchedRender
from neurocity.rendering.render import TrainingRender
from neurocity.training.budget import TrainingBudget
from neurocity.training.callbacks import GradientNorm, Throughput, WeightAverage
from neurocity.training.config import TrainingConfig
from neurocity.training.exposure import Exposure
from neurocity.training.metrics import image_metrics
from neurocity.training.optimization import build_optimizer, learning_rate_factor
from neurocity.training.views import render_view

MAX_RAYS = 2**18
"""A batch is never larger, however empty the scene."""

_Kind = TypeVar("_Kind")
_Render = TypeVar("_Render", TrainingRender, MarchedRender)

WHITE = (1.0, 1.0, 1.0)

FINITE_CHECK_STEPS = 50
"""On a GPU the loss is checked every so many steps and before a checkpoint: a check waits for the GPU."""


class RadianceFieldModule(pl.LightningModule):
    """Trains `self.model`, a family's render model. A family sets `family` and overrides `training_step`.

    model_config, lightning_config: the family's configurations, or plain dictionaries as a checkpoint has
    them; `lightning_config.model_config` may stand in for the first. scene: what the model is trained on;
    when None, it is taken from the datasets when training starts.
    Raises ConfigError for configurations that are missing, of another kind, or contradict each other.

    family: name in `neurocity.families`. rays_per_batch: how many rays the next batch should have, over all
    processes. square_side: pixels along the side of the squares in which they should come.
    """

    family: str
    square_side = 1

    def __init__(
        self,
        model_config: Any = None,
        lightning_config: Any = None,
        scene: SceneInfo | dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        family = find_family(self.family)
        if isinstance(model_config, TrainingConfig) and lightning_config is None:
            model_config, lightning_config = None, model_config
        self.config = _configuration(
            "lightning_config", lightning_config or {}, family.lightning_config_class()
        )
        given = [config for config in (model_config, self.config.model_config) if config is not None]
        configs = [_configuration("model_config", config, family.config_class()) for config in given]
        if not configs:
            raise ConfigError(
                f"model_config: got none, expected a {family.config_class().__name__}, alone or as the "
                "lightning_config's model_config"
            )
        if configs[0] != configs[-1]:
            raise ConfigError(
                f"model_config: got {configs[0]}, but the lightning_config holds {configs[-1]}; give one"
            )
        self.model: Any = family.model_class()(configs[0])
        self.exposure = Exposure() if self.config.exposure else None
        self.scene = scene_info_from_dict(scene) if isinstance(scene, dict) else scene
        self.rays_per_batch = 4096
        self.trained_rays = 0
        self.trained_samples = 0
        self.validation_metrics: dict[str, float] = {}
        self._fresh = True
        self._finite: Tensor | None = None
        self.save_hyperparameters(hyper_parameters(self.family, configs[0], self.config, self.scene))

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep `torch.compile` out of training steps: their shapes change. `forward` is compiled."""
        super().__init_subclass__(**options)
        if "training_step" in vars(cls):
            cls.training_step = torch.compiler.disable(cls.training_step)  # type: ignore[method-assign]

    def forward(self, *rays: Tensor) -> Any:
        """Render as the model does: origins [R, 3], directions [R, 3] and, where it takes them, radii."""
        return self.model(*rays)

    def start(self, rays: TrainingRays) -> None:
        """Called before the first step of a model that was never trained, in every process."""

    @property
    def background(self) -> tuple[float, float, float] | None:
        """What validation images are composited on."""
        return WHITE if self.scene is None else self.scene.background

    def progress(self) -> float:
        """Share of training that is done, in [0, 1]."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainingBudget):
                return callback.spent(self.trainer.global_step)
        steps = self.trainer.estimated_stepping_batches
        return min(self.trainer.global_step / steps, 1.0) if math.isfinite(steps) else 0.0

    def generator(self, stream: int = 0) -> torch.Generator:
        """Randomness of this step, on the module's device: it depends on the seed and the step alone.

        stream: tells apart the uses that a step has for it.
        """
        seed = hash((self.config.seed, self.trainer.global_step, stream)) % 2**63
        return torch.Generator(self.device).manual_seed(seed)

    def ask_for_rays(self, number: float) -> None:
        """Ask for about `number` rays in the next batch: a multiple of 64, which processes share equally."""
        self.rays_per_batch = 64 * max(1, min(round(number), MAX_RAYS) // 64)

    def next_batch(self) -> BatchIndex:
        """Which rays are to come next."""
        return BatchIndex(self.trainer.global_step, self.rays_per_batch, self.square_side)

    def sum_over_processes(self, value: float) -> float:
        """The sum of what every process gives; all of them must call this."""
        if self.trainer.world_size == 1:
            return value
        total = torch.tensor(float(value), dtype=torch.float64, device=self.device)
        return float(self.trainer.strategy.reduce(total, reduce_op="sum"))

    def averaged_modules(self) -> list[Any]:
        """The modules of this kind that hold averages of the weights; they change size as this one does."""
        averages = [
            callback._average_model
            for callback in self.trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging)
        ]
        return [average.module for average in averages if average is not None]

    def averaged_models(self) -> list[Any]:
        """The render models of `averaged_modules`."""
        return [module.model for module in self.averaged_modules()]

    def parameters_replaced(self) -> None:
        """Call this in every process after parameters were replaced by other tensors: DDP starts anew."""
        strategy = self.trainer.strategy
        if isinstance(strategy, DDPStrategy):
            strategy.model = self
            strategy.configure_ddp()

    def figures(self) -> list[Callback]:
        """What logs figures of a run beside its loss and metrics; a family adds its own."""
        return [GradientNorm(), Throughput()]

    def configure_callbacks(self) -> list[Callback]:
        """What every trainer gets unless it has its own: figures, and the average of the weights."""
        callbacks = self.figures()
        if self.trainer.loggers:
            callbacks.append(LearningRateMonitor())
        present = [type(callback) for callback in self.trainer.callbacks]  # type: ignore[attr-defined]
        if self.config.use_ema and not any(issubclass(kind, WeightAveraging) for kind in present):
            callbacks.append(WeightAverage(self.config.ema_decay))
        return [callback for callback in callbacks if type(callback) not in present]

    def setup(self, stage: str) -> None:
        """Let DDP expect steps that leave some parameters out: no sky, no samples, a stage's other branch."""
        if stage == "fit" and isinstance(self.trainer.strategy, DDPStrategy):
            self.trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Feature tables (three or more axes) without weight decay, network matrices with it.

        A group may carry an "lr" of its own; the schedule's factor applies to it likewise.
        """
        tables = [p for p in self.model.parameters() if p.dim() > 2]
        networks = [p for p in self.model.parameters() if p.dim() <= 2]
        return [
            {"params": tables, "weight_decay": 0.0},
            {"params": networks, "weight_decay": self.config.weight_decay},
        ]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        # In mixed precision Lightning clips no gradients of a fused optimiser.
        fused = not isinstance(self.trainer.precision_plugin, MixedPrecision)
        groups = self.parameter_groups()
        if self.exposure is not None:
            groups.append(self.exposure.parameter_group())
        optimizer = build_optimizer(self.config, groups, fused=fused)

        def factor(step: int) -> float:
            return learning_rate_factor(self.config, step=step, progress=self.progress())

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the trainer says, or else as the configuration says."""
        if gradient_clip_val is None:
            gradient_clip_val = self.config.gradient_clip_val
            gradient_clip_algorithm = gradient_clip_algorithm or self.config.gradient_clip_algorithm
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ARG002
        return uncollated(batch)

    def on_train_start(self) -> None:
        rays = _dataset(self.trainer.train_dataloader, TrainingRays)
        if self.exposure is not None:
            self._begin_exposure(self.exposure, rays)
        if rays is None:
            rank_zero_warn(
                f"{type(self).__name__}: the training data is no TrainingRays. Training starts "
                "without what these tell of the scene, and a checkpoint can be exported only if the "
                "module got a `scene`"
            )
            return
        if self.scene is None:
            views = _dataset(self.trainer.val_dataloaders, Views)
            self.scene = scene_info(rays, views, tuple(self.hparams["model_config"]["scene_bounds"]))
            self.hparams["scene"] = to_dict(self.scene)
        if self._fresh:
            self.start(rays)
            self._fresh = False

    def _begin_exposure(self, exposure: Exposure, rays: TrainingRays | None) -> None:
        """Raises ConfigError for data that do not number their photographs, or are not those of before."""
        if rays is None:
            raise ConfigError(
                "exposure: got True, but the training data is no TrainingRays, which numbers photographs"
            )
        before, now = len(exposure.logarithms), len(rays.frames)
        if before not in (0, now):
            raise ConfigError(
                f"exposure: was learnt of {before} training photographs, the data now have {now}; train "
                "anew, or on the data as they were"
            )
        if before == 0:
            for module in (self, *self.averaged_modules()):
                module.exposure.begin(now)
            self.parameters_replaced()

    def exposed(self, render: _Render, view_index: Tensor) -> _Render:
        """Rays rendered for training as their photographs, `view_index` [R], have them."""
        if self.exposure is None:
            return render
        return render._replace(rgb=self.exposure(render.rgb, render.opacity, view_index))

    def target(self, batch: RayBatch) -> tuple[Tensor, Tensor]:
        """Images over a random background: colours and backgrounds, [3, R] each."""
        color, alpha = batch["rgba"][:, :3].t(), batch["rgba"][:, 3]
        background = batch["noise"][:, :3].t()
        return color * alpha + background * (1.0 - alpha), background

    def log_training(self, loss: Tensor, *, rays: int, samples: int, mse: Tensor | None = None) -> None:
        """Log the loss and the PSNR, count rays and samples, and stop at a loss that is not finite.

        mse: mean squared error of colours, where the loss is not just that. Raises TrainingError.
        """
        loss = loss.detach()
        self._finite = loss.isfinite() if self._finite is None else self._finite & loss.isfinite()
        if loss.device.type == "cpu" or self.trainer.global_step % FINITE_CHECK_STEPS == 0:
            self._check_finite(lambda: f"the loss is {loss.item()} at step {self.trainer.global_step}")
        self.trained_rays += rays
        self.trained_samples += samples
        error = loss if mse is None else mse.detach()
        self.log("train/loss", loss, batch_size=rays)
        self.log("train/psnr", -10.0 * error.clamp_min(1e-10).log10(), batch_size=rays, prog_bar=True)

    def _check_finite(self, what: Callable[[], str]) -> None:
        if self._finite is not None and not bool(self._finite):
            raise TrainingError(
                f"{what()}; the last good checkpoint is kept. "
                "A smaller learning_rate or gradient_clip_val may help"
            )

    def on_validation_epoch_start(self) -> None:
        self.validation_metrics = {}

    @torch.compiler.disable
    def validation_step(self, batch: ViewBatch, index: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Render a view; log its loss and metrics against the image over the scene's background.

        Returns both as `image` and `truth`, [H, W, 3] in [0, 1], for callbacks that show them.
        """
        image, truth = render_view(self.model, batch, self.background)
        metrics = {"loss": torch.mean((image - truth) ** 2).item(), **image_metrics(image, truth)}
        for name, value in metrics.items():
            self.log(f"val/{name}", value, batch_size=1, prog_bar=name == "psnr", sync_dist=True)
        return {"image": image, "truth": truth}

    def on_validation_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        self.validation_metrics = {name: float(metrics[name]) for name in metrics if name.startswith("val/")}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._check_finite(lambda: f"the loss was not finite before step {self.trainer.global_step}")
        checkpoint["hyper_parameters"]["metrics"] = dict(self.validation_metrics)
        checkpoint["rays_per_batch"] = self.rays_per_batch

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        learnt = any(name.startswith("exposure.") for name in checkpoint["state_dict"])
        if learnt != self.config.exposure:
            raise ConfigError(
                f"exposure: got {self.config.exposure}, but the checkpoint was trained with {learnt}; go on "
                "as it began, or train anew"
            )
        self.rays_per_batch = int(checkpoint["rays_per_batch"])
        self._fresh = False


def _configuration(name: str, given: Any, kind: type) -> Any:
    """A configuration given as such or as plain data. Raises ConfigError for anything else."""
    if isinstance(given, kind):
        return given
    if not isinstance(given, dict):
        raise ConfigError(f"{name}: got a {type(given).__name__}, expected a {kind.__name__}")
    try:
        return kind(**given)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}") from None


def _dataset(loader: Any, kind: type[_Kind]) -> _Kind | None:
    """The dataset behind a loader, or behind subsets of it; None when it is of another kind."""
    dataset = getattr(loader, "dataset", None)
    while dataset is not None and not isinstance(dataset, kind):
        dataset = getattr(dataset, "dataset", None)
    return dataset
