"""Training of SVRaster with Lightning (Sun et al. 2024, section 3.3)."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from pytorch_lightning.callbacks import Callback
from torch import Tensor

from neurocity.contract import SceneInfo
from neurocity.data.datasets import RayBatch, TrainingRays
from neurocity.svraster.core import SVRaster
from neurocity.svraster.training.config import SVRasterTrainingConfig
from neurocity.svraster.training.steps import VoxelTraining, parameter_groups
from neurocity.training.api import create_lightning_trainer, train_any_model
from neurocity.training.callbacks import VoxelStatisticsCallback
from neurocity.training.data import SceneDataModule
from neurocity.training.module import RadianceFieldModule

__all__ = [
    "SVRasterLightningConfig",
    "SVRasterLightningModule",
    "create_lightning_trainer",
    "train_svraster_lightning",
]


@dataclass(frozen=True, kw_only=True)
class SVRasterLightningConfig(SVRasterTrainingConfig):
    """Training of SVRaster with Lightning."""


class SVRasterLightningModule(RadianceFieldModule):
    """Trains an `SVRaster`; voxels are split and removed at the end of epochs, after their last step."""

    family = "svraster"
    model: SVRaster
    config: SVRasterLightningConfig

    def __init__(
        self,
        model_config: Any = None,
        lightning_config: Any = None,
        scene: SceneInfo | dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model_config, lightning_config, scene)
        self.rays_per_batch = self.config.rays_per_batch
        self.square_side = self.config.square_side
        self._training: VoxelTraining | None = None
        self._state_of_voxels: dict[str, Tensor] | None = None

    @property
    def training_of_voxels(self) -> VoxelTraining:
        """What a step does; made at first use, for the voxels that the model has by then."""
        if self._training is None:
            datamodule = getattr(self.trainer, "datamodule", None)
            in_squares = isinstance(datamodule, SceneDataModule) and self.trainer.world_size == 1
            self._training = VoxelTraining(
                self.model,
                self.config,
                squares=self.square_side if in_squares else 1,
                transparent=self.background is not None,
            )
            if self._state_of_voxels is not None:
                self._training.load(self._state_of_voxels)
        return self._training

    def figures(self) -> list[Callback]:
        return [*super().figures(), VoxelStatisticsCallback()]

    def parameter_groups(self) -> list[dict[str, Any]]:
        return parameter_groups(self.model, self.config)

    def start(self, rays: TrainingRays) -> None:
        """Start from the visual hull, or in an unbounded scene from what the cameras see."""
        self.training_of_voxels.start(rays, self.trainer.optimizers[0], self.averaged_models())
        self.parameters_replaced()

    def training_step(self, batch: RayBatch, index: int) -> Tensor:  # noqa: ARG002
        _, backdrop = self.target(batch)
        result = self.training_of_voxels.objective(batch, backdrop.t(), self.progress(), self.exposure)
        self.log_training(result.loss, rays=len(batch["rgba"]), samples=result.evaluated, mse=result.mse)
        return result.loss

    def on_train_batch_end(self, outputs: Any, batch: RayBatch, index: int) -> None:  # noqa: ARG002
        # Before the epoch's validation and checkpoint: they are of the voxels that training goes on with.
        if self.trainer.is_last_batch and self.training_of_voxels.adapt(
            self.current_epoch + 1, self.progress(), self.trainer.optimizers[0], self.averaged_models()
        ):
            self.parameters_replaced()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self._training is not None:
            checkpoint["voxel_training"] = self._training.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self._training, self._state_of_voxels = None, checkpoint.get("voxel_training")


train_svraster_lightning = partial(train_any_model, SVRasterLightningModule.family)
"""Train an `SVRaster` in one call, as `neurocity.training.api.train_any_model` does."""
