"""Datasets as Lightning data."""

from collections.abc import Callable, Iterator

import pytorch_lightning as pl
from torch.utils.data import DataLoader, DistributedSampler

from neurocity.data.datasets import BatchIndex, RayBatch, TrainingRays, ViewBatch, Views
from neurocity.training.module import RadianceFieldModule


class StepSampler(DistributedSampler[BatchIndex]):
    """Asks before each batch which one the model wants.

    It is the same for all processes: the dataset gives each of them its part of the batch.
    """

    def __init__(self, rays: TrainingRays, next_batch: Callable[[], BatchIndex]) -> None:
        super().__init__(rays, num_replicas=1, rank=0)
        self.next_batch = next_batch

    def __iter__(self) -> Iterator[BatchIndex]:
        return (self.next_batch() for _ in range(len(self)))


class SceneDataModule(pl.LightningDataModule):
    """Training rays, in batches of as many as the model wants, and validation views if there are any.

    Rays are made where the model trains; of several processes each takes a part of the same batch.
    """

    def __init__(self, train_dataset: TrainingRays, val_dataset: Views | None) -> None:
        super().__init__()
        self.train_dataset = train_dataset
        self.val_dataset = val_dataset

    def train_dataloader(self) -> DataLoader[RayBatch]:
        trainer = self.trainer
        assert trainer is not None, "the data module is not attached to a trainer"
        module = trainer.lightning_module
        assert isinstance(module, RadianceFieldModule)
        rays = self.train_dataset.to(trainer.strategy.root_device)
        rays = rays.part(trainer.global_rank, trainer.world_size)
        return DataLoader(rays, batch_size=None, sampler=StepSampler(rays, module.next_batch))

    def val_dataloader(self) -> DataLoader[ViewBatch] | list[DataLoader[ViewBatch]]:
        return [] if self.val_dataset is None else DataLoader(self.val_dataset, batch_size=None)
