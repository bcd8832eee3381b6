"""Datasets as Lightning data."""

from collections.abc import Callable, Iterator

import pytorch_lightning as pl
from torch.utils.data import DataLoader, DistributedSampler

from neurocity.data.datasets import RayBatch, TrainingRays, ViewBatch, Views
from neurocity.training.module import RadianceFieldModule


class StepSampler(DistributedSampler[tuple[int, int, int]]):
    """Asks the trainer, before each batch, which step comes and what rays the model wants.

    It is the same for all processes: the dataset gives each of them its part of the batch.
    """

    def __init__(self, rays: TrainingRays, module: Callable[[], RadianceFieldModule]) -> None:
        super().__init__(rays, num_replicas=1, rank=0)
        self.module = module
        self.batches = len(rays)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for _ in range(self.batches):
            module = self.module()
            yield module.trainer.global_step, module.rays_per_batch, module.square_side


class SceneDataModule(pl.LightningDataModule):
    """Training rays, in batches of as many as the model wants, and validation views if there are any.

    Rays are made where the model trains; of several processes each takes a part of the same batch.
    """

    def __init__(self, train_dataset: TrainingRays, val_dataset: Views | None) -> None:
        super().__init__()
        self.train_dataset = train_dataset
        self.val_dataset = val_dataset

    def train_dataloader(self) -> DataLoader[RayBatch]:
        trainer = self._trainer()
        rays = self.train_dataset.to(trainer.strategy.root_device)
        rays = rays.part(trainer.global_rank, trainer.world_size)
        return DataLoader(rays, batch_size=None, sampler=StepSampler(rays, self._module))

    def val_dataloader(self) -> DataLoader[ViewBatch] | list[DataLoader[ViewBatch]]:
        return [] if self.val_dataset is None else DataLoader(self.val_dataset, batch_size=None)

    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None, "the data module is not attached to a trainer"
        return self.trainer

    def _module(self) -> RadianceFieldModule:
        module = self._trainer().lightning_module
        assert isinstance(module, RadianceFieldModule)
        return module
